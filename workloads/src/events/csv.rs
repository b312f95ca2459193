//! Traces as CSV.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, ReaderBuilder, Trim};
use portcullis_engine::replay::{Event, EventClock, RawEvent};

use super::EventError;

/// Reads the events of a trace in the order of the file.
///
/// The first line names the columns, in any order; columns that no event of the trace uses may be
/// missing, unknown ones are an error. Cells are empty where a column does not apply to the event: a
/// value there is an error, for it is most often a value in the wrong column. Numbers are decimal or
/// begin with `0x`. Blanks around a cell do not count, nor do empty lines.
pub struct CsvEvents<R: Read> {
    origin: String,
    reader: csv::Reader<R>,
    columns: Columns,
    clock: EventClock,
    record: ByteRecord,
    /// Whether an error was returned; nothing is read after one.
    failed: bool,
}

/// Where each column stands, in the order of [`RawEvent::COLUMNS`].
#[derive(Clone, Copy, Debug, Default)]
struct Columns([Option<usize>; RawEvent::COLUMNS.len()]);

impl<R: Read> CsvEvents<R> {
    /// Reads the header of a trace called `origin` in errors.
    ///
    /// # Errors
    /// An empty file, or a header that is none.
    pub fn new(origin: &str, input: R) -> Result<Self, EventError> {
        let mut reader = ReaderBuilder::new().has_headers(true).trim(Trim::All).from_reader(input);
        let header = reader.byte_headers().map_err(|error| describe(origin, &error))?;
        let columns = Columns::parse(header)
            .map_err(|problem| EventError::at(origin, (!header.is_empty()).then_some(1), problem))?;
        Ok(Self {
            origin: origin.to_owned(),
            reader,
            columns,
            clock: EventClock::default(),
            record: ByteRecord::new(),
            failed: false,
        })
    }

    /// Appends at most `max` events to `events`; returns whether there may be more.
    ///
    /// # Errors
    /// The first row that is malformed, or a failure to read. The events before it are appended.
    pub fn next_batch(&mut self, events: &mut Vec<Event>, max: usize) -> Result<bool, EventError> {
        for _ in 0..max {
            match self.next() {
                Some(event) => events.push(event?),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn read(&mut self) -> Result<Option<Event>, EventError> {
        let more = self.reader.read_byte_record(&mut self.record);
        if !more.map_err(|error| describe(&self.origin, &error))? {
            return Ok(None);
        }
        let event = self.columns.raw_event(&self.record).and_then(|raw| {
            self.clock.check(raw.time_ns)?;
            raw.parse()
        });
        let line = self.record.position().map(csv::Position::line);
        event.map(Some).map_err(|problem| EventError::at(&self.origin, line, problem))
    }
}

impl<R: Read> Iterator for CsvEvents<R> {
    type Item = Result<Event, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let event = self.read().transpose();
        self.failed = matches!(event, Some(Err(_)));
        event
    }
}

impl Columns {
    fn parse(header: &ByteRecord) -> Result<Self, String> {
        if header.is_empty() {
            return Err(String::from("the file is empty; a trace begins with a line of column names"));
        }
        let mut columns = Self::default();
        for (position, name) in header.iter().enumerate() {
            let name = text(name, "the header")?;
            let Some(column) = RawEvent::COLUMNS.iter().position(|column| *column == name) else {
                return Err(unknown_column(name));
            };
            if columns.0[column].replace(position).is_some() {
                return Err(format!("the column `{name}` stands twice in the header"));
            }
        }
        if columns.0[EVENT].is_none() {
            return Err(String::from("the header has no column `event`"));
        }
        Ok(columns)
    }

    fn raw_event<'r>(&self, record: &'r ByteRecord) -> Result<RawEvent<'r>, String> {
        let cell = |column: usize| {
            let cell = self.0[column].and_then(|position| record.get(position));
            cell.filter(|cell| !cell.is_empty())
        };
        let name = |column: usize| cell(column).map(|cell| text(cell, RawEvent::COLUMNS[column])).transpose();
        let number =
            |column: usize| cell(column).map(|cell| number(cell, RawEvent::COLUMNS[column])).transpose();
        Ok(RawEvent {
            time_ns: number(0)?,
            event: name(EVENT)?.unwrap_or_default(),
            device: number(2)?,
            domain: number(3)?,
            iova: number(4)?,
            pa: number(5)?,
            size: number(6)?,
            perm: name(7)?,
            length: number(8)?,
            op: name(9)?,
        })
    }
}

/// Where `event` stands in [`RawEvent::COLUMNS`].
const EVENT: usize = 1;

fn unknown_column(name: &str) -> String {
    let near = RawEvent::COLUMNS
        .into_iter()
        .map(|column| (strsim::normalized_damerau_levenshtein(name, column), column))
        .fold(
            (0.5, None),
            |best, (likeness, column)| {
                if likeness >= best.0 { (likeness, Some(column)) } else { best }
            },
        );
    match near.1 {
        Some(column) => format!("unknown column {}; did you mean `{column}`?", shown(name.as_bytes())),
        None => {
            format!("unknown column {}; a trace has {}", shown(name.as_bytes()), RawEvent::COLUMNS.join(", "))
        }
    }
}

fn text<'r>(cell: &'r [u8], column: &str) -> Result<&'r str, String> {
    std::str::from_utf8(cell).map_err(|_| format!("{column} holds {}, which is no text", shown(cell)))
}

/// A whole number, decimal or `0x`.
fn number(cell: &[u8], column: &str) -> Result<u64, String> {
    let parsed = match cell {
        [b'0', b'x' | b'X', digits @ ..] => digits_of(digits, 16),
        digits => digits_of(digits, 10),
    };
    parsed.ok_or_else(|| {
        format!("`{column}` is {}; it must be a whole number below 2^64, decimal or 0x", shown(cell))
    })
}

fn digits_of(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(base)?;
        value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
    })
}

/// A cell in quotes, with what cannot be printed escaped, cut short where it is long.
fn shown(cell: &[u8]) -> String {
    let dots = if cell.len() > 40 { "..." } else { "" };
    format!("\"{}\"{dots}", cell[..cell.len().min(40)].escape_ascii())
}

/// An error of the CSV reader in a sentence.
fn describe(origin: &str, error: &csv::Error) -> EventError {
    let line = error.position().map(csv::Position::line);
    match error.kind() {
        ErrorKind::Io(error) => EventError::at(origin, None, format!("cannot be read: {error}")),
        ErrorKind::UnequalLengths { expected_len, len, .. } => EventError::at(
            origin,
            line,
            format!("the row has {len} cells; the header names {expected_len} columns"),
        ),
        _ => EventError::at(origin, line, format!("this is no CSV: {error}")),
    }
}
