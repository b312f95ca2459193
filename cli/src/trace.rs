//! A trace of events, CSV or Parquet, as its content tells.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;

use portcullis_engine::replay::Event;
use portcullis_reports::ParquetEvents;
use portcullis_workloads::CsvEvents;

use crate::failure::Failure;

/// What every Parquet file begins with.
const PARQUET_MAGIC: &[u8] = b"PAR1";
/// How much of a file is looked at before it is taken for CSV; its first line must end in there.
const PREFIX_BYTES: u64 = 1 << 16;
/// Events that are read from CSV at once.
const CSV_BATCH: usize = 1 << 16;

/// What was looked at, and what follows.
type Input = Chain<Cursor<Vec<u8>>, BufReader<File>>;

/// A trace that is being read.
pub enum Trace {
    /// Lines of text, from a file or a pipe.
    Csv(Box<CsvEvents<Input>>),
    /// Columns, from a file.
    Parquet(Box<ParquetEvents>),
}

impl Trace {
    /// Opens the trace at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is neither CSV nor Parquet with the columns of a trace.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let refuse = |problem: &dyn std::fmt::Display| {
            Failure::bad_input(format_args!("cannot read `{}`: {problem}", path.display()))
        };
        let mut file = File::open(path).map_err(|error| refuse(&error))?;
        let mut prefix = Vec::new();
        match file.by_ref().take(PREFIX_BYTES).read_to_end(&mut prefix) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                return Err(refuse(&"it is a directory"));
            }
            Err(error) => return Err(refuse(&error)),
            Ok(_) => {}
        }
        if prefix.starts_with(PARQUET_MAGIC) {
            return Ok(Self::Parquet(Box::new(ParquetEvents::open(path)?)));
        }
        let first_line = prefix.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let endless = first_line.len() as u64 == PREFIX_BYTES;
        if endless || first_line.contains(&0) {
            return Err(refuse(&"it is neither CSV nor Parquet"));
        }
        let input = Cursor::new(prefix).chain(BufReader::new(file));
        let events = CsvEvents::new(&path.display().to_string(), input).map_err(Failure::bad_input)?;
        Ok(Self::Csv(Box::new(events)))
    }

    /// How many events it holds; 0 where that is not known before the end.
    pub fn len(&self) -> u64 {
        match self {
            Self::Csv(_) => 0,
            Self::Parquet(events) => events.len(),
        }
    }

    /// Replaces `events` by the next ones; `false`, and no events, after the last.
    ///
    /// # Errors
    /// The first row that has no meaning, or a failure to read.
    pub fn next_batch(&mut self, events: &mut Vec<Event>) -> Result<bool, Failure> {
        match self {
            Self::Csv(csv) => {
                events.clear();
                csv.next_batch(events, CSV_BATCH).map_err(Failure::bad_input)?;
                Ok(!events.is_empty())
            }
            Self::Parquet(parquet) => Ok(parquet.next_batch(events)?),
        }
    }
}
