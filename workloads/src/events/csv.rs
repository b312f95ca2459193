//! Traces as CSV.

use std::io::{Chain, Read};

use csv::{ByteRecord, ReaderBuilder, Terminator};
use portcullis_engine::replay::{Event, EventClock, RawEvent};

use super::EventError;

/// Reads the events of a trace in the order of the file.
///
/// The first line names the columns, in any order; columns that no event of the trace uses may be
/// missing, unknown ones are an error. Cells are empty where a column does not apply to the event: a
/// value there is an error, for it is most often a value in the wrong column. Numbers are decimal or
/// begin with `0x`. Blanks around a cell do not count, nor do empty lines.
pub struct CsvEvents<R: Read> {
    lines: Lines<R>,
    columns: Columns,
    clock: EventClock,
    /// Whether an error was returned; nothing is read after one.
    failed: bool,
}

impl<R: Read> CsvEvents<R> {
    /// Reads the header of a trace called `origin` in errors.
    ///
    /// # Errors
    /// An empty file, or a header that is none.
    pub fn new(origin: &str, input: R) -> Result<Self, EventError> {
        let mut lines = Lines::new(origin, input);
        if !lines.read()? {
            let problem = "the file is empty; a trace begins with a line of column names";
            return Err(EventError::at(origin, None, problem));
        }
        let columns = Columns::parse(&lines.record).map_err(|problem| lines.error(problem))?;
        Ok(Self { lines, columns, clock: EventClock::default(), failed: false })
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
        if !self.lines.read()? {
            return Ok(None);
        }
        let event = self.columns.raw_event(&self.lines.record).and_then(|raw| {
            self.clock.check(raw.time_ns)?;
            raw.parse()
        });
        event.map(Some).map_err(|problem| self.lines.error(problem))
    }
}

/// The rows of a file with the lines they stand on.
///
/// The reader's own position of a row is where it began to look for it: before empty lines, and before
/// the second half of a line end of two bytes. So rows end at `\n` alone (a `\r` before it is a blank
/// around the last cell), the last row too, and a row's line is counted back from the reader's place
/// behind it.
struct Lines<R: Read> {
    origin: String,
    reader: csv::Reader<Chain<R, &'static [u8]>>,
    record: ByteRecord,
}

impl<R: Read> Lines<R> {
    fn new(origin: &str, input: R) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(input.chain(&b"\n"[..]));
        Self { origin: origin.to_owned(), reader, record: ByteRecord::new() }
    }

    /// Reads the next row that is not empty; `false` after the last.
    fn read(&mut self) -> Result<bool, EventError> {
        loop {
            let more = self.reader.read_byte_record(&mut self.record).map_err(|error| {
                EventError::at(&self.origin, None, format!("the trace cannot be read: {error}"))
            })?;
            if !more || self.record.len() > 1 || !self.record[0].trim_ascii().is_empty() {
                return Ok(more);
            }
        }
    }

    /// An error in the row that was read last.
    fn error(&self, problem: String) -> EventError {
        let within = self.record.iter().flatten().filter(|byte| **byte == b'\n').count();
        // A quote that nobody closes swallows every line end to the last byte of the file.
        let unclosed = self.record.as_slice().ends_with(b"\n");
        let behind = self.reader.position().line() - within as u64;
        let line = if unclosed { behind } else { behind - 1 };
        EventError::at(&self.origin, Some(line), problem)
    }
}

/// Where each column stands, in the order of [`RawEvent::COLUMNS`].
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    places: [Option<usize>; RawEvent::COLUMNS.len()],
    /// Cells of a row.
    count: usize,
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
        let mut columns = Self { count: header.len(), ..Self::default() };
        for (position, name) in header.iter().enumerate() {
            let name = text(name.trim_ascii(), "the header")?;
            let Some(column) = RawEvent::COLUMNS.iter().position(|column| *column == name) else {
                return Err(unknown_column(name));
            };
            if columns.places[column].replace(position).is_some() {
                return Err(format!("the column `{name}` stands twice in the header"));
            }
        }
        if columns.places[EVENT].is_none() {
            return Err(String::from("the header has no column `event`"));
        }
        Ok(columns)
    }

    fn raw_event<'r>(&self, record: &'r ByteRecord) -> Result<RawEvent<'r>, String> {
        if record.len() != self.count {
            return Err(format!(
                "the row has {} cells; the header names {} columns",
                record.len(),
                self.count
            ));
        }
        let cell = |column: usize| {
            let cell = self.places[column].and_then(|position| record.get(position)).map(<[u8]>::trim_ascii);
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
