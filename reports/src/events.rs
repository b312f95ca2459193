//! Events of a replay from Parquet, in batches.

use std::ops::Range;
use std::path::{Path, PathBuf};

use polars_arrow::array::{Array, NullArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::ArrowDataType as Type;
use polars_arrow::types::NativeType;
use portcullis_engine::replay::{Event, EventClock, RawEvent};

use crate::error::ReportError;
use crate::parquet::{Chunk, ParquetFile};

/// Most rows that are decoded at once. Each time a row group is entered its dictionaries are decoded
/// anew, and its pages passed over: few, large slices.
const SLICE_ROWS: usize = 524_288;

/// Most events that are handed out at once.
const BATCH_EVENTS: usize = 65_536;

/// A trace in a Parquet file, read in file order.
///
/// Columns are those of [`RawEvent::COLUMNS`], in any order; one that is missing is empty in every
/// row. Numbers may be of any integer type, or text, decimal or `0x`. Memory is bounded by one row
/// group as it lies in the file and 524,288 decoded rows of it.
pub struct ParquetEvents {
    path: PathBuf,
    file: ParquetFile,
    /// Index in the file of each of [`RawEvent::COLUMNS`].
    columns: [Option<usize>; RawEvent::COLUMNS.len()],
    row_groups: Vec<usize>,
    /// The row group being read, its chunks, and the next row in it.
    row_group: usize,
    chunks: Option<[Option<Chunk>; RawEvent::COLUMNS.len()]>,
    next: usize,
    /// The rows that were decoded last, and how many of them were handed out.
    slice: Option<(Slice, usize)>,
    /// Events handed out so far.
    row: u64,
    clock: EventClock,
}

impl ParquetEvents {
    /// Opens a trace.
    ///
    /// # Errors
    /// If the file cannot be read or is no Parquet file, if it has a column that no trace has, none
    /// named `event`, or a column whose type cannot hold its values.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let file = ParquetFile::open(path)?;
        let mut columns = [None; RawEvent::COLUMNS.len()];
        for (index, field) in file.schema().iter_values().enumerate() {
            let name = field.name.as_str();
            let Some(place) = RawEvent::COLUMNS.iter().position(|column| *column == name) else {
                let known = RawEvent::COLUMNS.join(", ");
                return Err(ReportError::read(
                    path,
                    format!("unknown column `{}`; known are {known}", name.escape_debug()),
                ));
            };
            check_type(name, &field.dtype).map_err(|problem| ReportError::read(path, problem))?;
            columns[place] = Some(index);
        }
        if columns[EVENT].is_none() {
            return Err(ReportError::read(path, "it has no column `event`"));
        }
        let row_groups = file.row_groups();
        Ok(Self {
            path: path.to_owned(),
            file,
            columns,
            row_groups,
            row_group: 0,
            chunks: None,
            next: 0,
            slice: None,
            row: 0,
            clock: EventClock::default(),
        })
    }

    /// How many events the file holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.row_groups.iter().map(|&rows| rows as u64).sum()
    }

    /// Whether the file holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces `events` by the next ones; `false`, and no events, after the last.
    ///
    /// # Errors
    /// If the file is damaged, or names the first row that has no meaning.
    pub fn next_batch(&mut self, events: &mut Vec<Event>) -> Result<bool, ReportError> {
        events.clear();
        let (slice, used) = match self.slice.take() {
            Some((slice, used)) if used < slice.rows => (slice, used),
            _ => match self.next_rows()? {
                Some(rows) => (self.decode(rows)?, 0),
                None => return Ok(false),
            },
        };
        let end = slice.rows.min(used + BATCH_EVENTS);
        events.reserve(end - used);
        for index in used..end {
            let event = slice.event(index, &mut self.clock).map_err(|problem| ReportError::Row {
                path: self.path.clone(),
                row: self.row + (index - used) as u64,
                problem,
            })?;
            events.push(event);
        }
        self.row += (end - used) as u64;
        self.slice = Some((slice, end));
        Ok(true)
    }

    /// The next rows of the current row group, or of the next that has any.
    fn next_rows(&mut self) -> Result<Option<Range<usize>>, ReportError> {
        loop {
            let Some(&rows) = self.row_groups.get(self.row_group) else { return Ok(None) };
            if self.next < rows {
                let start = self.next;
                self.next = rows.min(start + SLICE_ROWS);
                if self.chunks.is_none() {
                    self.chunks = Some(self.read_chunks()?);
                }
                return Ok(Some(start..self.next));
            }
            self.chunks = None;
            self.next = 0;
            self.row_group += 1;
        }
    }

    fn read_chunks(&mut self) -> Result<[Option<Chunk>; RawEvent::COLUMNS.len()], ReportError> {
        let mut chunks = [const { None }; RawEvent::COLUMNS.len()];
        for (chunk, column) in chunks.iter_mut().zip(self.columns) {
            if let Some(column) = column {
                *chunk = Some(self.file.read_chunk(self.row_group, column)?);
            }
        }
        Ok(chunks)
    }

    fn decode(&self, rows: Range<usize>) -> Result<Slice, ReportError> {
        let chunks = self.chunks.as_ref().expect("read with the row group");
        let array = |column: usize| match &chunks[column] {
            Some(chunk) => self.file.decode(chunk, rows.clone()),
            None => Ok(NullArray::new(Type::Null, rows.len()).boxed()),
        };
        let numbers = |column: usize| {
            Numbers::new(&*array(column)?).map_err(|(index, problem)| ReportError::Row {
                path: self.path.clone(),
                row: self.row + index as u64,
                problem: format!("`{}` {problem}", RawEvent::COLUMNS[column]),
            })
        };
        let texts = |column: usize| Ok::<_, ReportError>(Texts::new(array(column)?));
        Ok(Slice {
            rows: rows.len(),
            time_ns: numbers(TIME_NS)?,
            event: texts(EVENT)?,
            device: numbers(DEVICE)?,
            domain: numbers(DOMAIN)?,
            iova: numbers(IOVA)?,
            pa: numbers(PA)?,
            size: numbers(SIZE)?,
            perm: texts(PERM)?,
            length: numbers(LENGTH)?,
            op: texts(OP)?,
        })
    }
}

/// Places in [`RawEvent::COLUMNS`].
const TIME_NS: usize = place("time_ns");
const EVENT: usize = place("event");
const DEVICE: usize = place("device");
const DOMAIN: usize = place("domain");
const IOVA: usize = place("iova");
const PA: usize = place("pa");
const SIZE: usize = place("size");
const PERM: usize = place("perm");
const LENGTH: usize = place("length");
const OP: usize = place("op");

/// The place of a column in [`RawEvent::COLUMNS`], found by the compiler.
const fn place(name: &str) -> usize {
    let mut index = 0;
    while !same(RawEvent::COLUMNS[index].as_bytes(), name.as_bytes()) {
        index += 1;
    }
    index
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    a.len() == b.len()
}

/// Whether cells of this type can hold the column's values.
fn check_type(name: &str, dtype: &Type) -> Result<(), String> {
    let text = matches!(name, "event" | "perm" | "op");
    let integer = matches!(
        dtype,
        Type::Int8
            | Type::Int16
            | Type::Int32
            | Type::Int64
            | Type::UInt8
            | Type::UInt16
            | Type::UInt32
            | Type::UInt64
    );
    match dtype {
        Type::Null | Type::Utf8View => Ok(()),
        // A text column without a value is often stored as the narrowest integer.
        _ if integer && !text => Ok(()),
        _ => {
            let wanted = if text { "text" } else { "integers or text" };
            Err(format!("column `{name}` holds {dtype:?}; it must hold {wanted}"))
        }
    }
}

/// The decoded columns of some rows.
struct Slice {
    rows: usize,
    time_ns: Numbers,
    event: Texts,
    device: Numbers,
    domain: Numbers,
    iova: Numbers,
    pa: Numbers,
    size: Numbers,
    perm: Texts,
    length: Numbers,
    op: Texts,
}

impl Slice {
    fn event(&self, row: usize, clock: &mut EventClock) -> Result<Event, String> {
        let raw = RawEvent {
            time_ns: self.time_ns.get(row),
            event: self.event.get(row).unwrap_or_default(),
            device: self.device.get(row),
            domain: self.domain.get(row),
            iova: self.iova.get(row),
            pa: self.pa.get(row),
            size: self.size.get(row),
            perm: self.perm.get(row),
            length: self.length.get(row),
            op: self.op.get(row),
        };
        clock.check(raw.time_ns)?;
        raw.parse()
    }
}

/// A column of numbers; no values at all where every cell is empty.
struct Numbers {
    values: Vec<u64>,
    /// Which cells hold a value; `None` if all do.
    filled: Option<Bitmap>,
}

impl Numbers {
    /// From an array of a type that [`check_type`] let pass.
    ///
    /// # Errors
    /// The index of the first cell that is no number from 0 to 2^64 - 1, and why.
    fn new(array: &dyn Array) -> Result<Self, (usize, String)> {
        let any = array.as_any();
        macro_rules! integers {
            ($($type:ty)+) => {
                $(if let Some(array) = any.downcast_ref::<PrimitiveArray<$type>>() {
                    return Self::from_integers(array);
                })+
            };
        }
        integers!(u64 u32 i64 i32 u16 u8 i16 i8);
        match any.downcast_ref::<Utf8ViewArray>() {
            Some(array) => Self::from_text(array),
            None => Ok(Self { values: Vec::new(), filled: Some(Bitmap::new_zeroed(array.len())) }),
        }
    }

    fn from_integers<T>(array: &PrimitiveArray<T>) -> Result<Self, (usize, String)>
    where
        T: NativeType + TryInto<u64>,
    {
        if array.null_count() == array.len() {
            return Ok(Self { values: Vec::new(), filled: Some(Bitmap::new_zeroed(array.len())) });
        }
        let mut values = Vec::with_capacity(array.len());
        for (index, &value) in array.values().iter().enumerate() {
            values.push(match value.try_into() {
                Ok(value) => value,
                // What lies under a null means nothing.
                Err(_) if array.is_null(index) => 0,
                Err(_) => return Err((index, format!("is {value}; it must not be negative"))),
            });
        }
        Ok(Self { values, filled: array.validity().cloned() })
    }

    fn from_text(array: &Utf8ViewArray) -> Result<Self, (usize, String)> {
        let mut values = Vec::with_capacity(array.len());
        let mut filled = Vec::with_capacity(array.len());
        for (index, text) in array.iter().enumerate() {
            let text = text.unwrap_or_default();
            filled.push(!text.is_empty());
            values.push(if text.is_empty() { 0 } else { parse_number(text).map_err(|why| (index, why))? });
        }
        Ok(Self { values, filled: Some(filled.into_iter().collect()) })
    }

    fn get(&self, row: usize) -> Option<u64> {
        match &self.filled {
            Some(filled) if !filled.get_bit(row) => None,
            _ => Some(self.values[row]),
        }
    }
}

/// A number as traces write it: decimal, or hexadecimal after `0x`.
fn parse_number(text: &str) -> Result<u64, String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let number = if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() };
    number.ok_or_else(|| format!("is {text:?}; it must be a number from 0 to 2^64 - 1, decimal or 0x"))
}

/// A column of text; `None` where every cell is empty.
struct Texts(Option<Utf8ViewArray>);

impl Texts {
    fn new(array: Box<dyn Array>) -> Self {
        Self(array.as_any().downcast_ref::<Utf8ViewArray>().cloned())
    }

    /// The cell; empty text is an empty cell.
    fn get(&self, row: usize) -> Option<&str> {
        self.0.as_ref()?.get(row).filter(|text| !text.is_empty())
    }
}
