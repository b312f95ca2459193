//! Lists of switches and of events of VMs that stand in files: the scenario takes their rows over.

use std::fs;
use std::path::{Path, PathBuf};

use super::ScenarioError;
use super::document::{Document, Node, Value};

/// The cells of a row, each by the name of its column.
type Row = Vec<(String, Value)>;

/// A list that may stand in a file.
struct Listing {
    /// Its section; its key is `list`.
    section: &'static str,
    /// The columns that its file may have, and whether they must be there.
    columns: &'static [(&'static str, bool)],
}

const LISTINGS: [Listing; 2] = [
    Listing {
        section: "switches",
        columns: &[("at_us", true), ("host", false), ("adapter", false), ("vf", false)],
    },
    Listing {
        section: "lifecycle",
        columns: &[("at_us", true), ("event", true), ("host", false), ("adapter", false), ("vf", false)],
    },
];

/// Bytes that a file may have.
const FILE_BYTES_MAX: u64 = 1 << 26;

impl Document {
    /// Puts the rows of the files that `switches.list` and `lifecycle.list` name in their place, the scenario's and those of
    /// classes of hosts, so that the scenario holds all it depends on.
    ///
    /// # Errors
    /// A file that cannot be read, or one of its lines.
    pub(super) fn take_event_files(&mut self) -> Result<(), ScenarioError> {
        let classes = match self.root.get("hosts").map(|node| &node.value) {
            Some(Value::Array(classes)) => classes.len(),
            _ => 0,
        };
        for listing in &LISTINGS {
            let of_class = |class: usize| vec!["hosts".to_owned(), class.to_string()];
            let scopes = core::iter::once(Vec::new()).chain((0..classes).map(of_class));
            for scope in scopes {
                let path: Vec<String> =
                    scope.into_iter().chain([listing.section.to_owned(), "list".to_owned()]).collect();
                self.take_event_file(&path, listing)?;
            }
        }
        Ok(())
    }

    fn take_event_file(&mut self, path: &[String], listing: &Listing) -> Result<(), ScenarioError> {
        let mut node = &self.root;
        for segment in path {
            let Some(child) = node.child(segment) else { return Ok(()) };
            node = child;
        }
        let Node { place, value: Value::Text(file) } = node else { return Ok(()) };
        let place = *place;
        let rows = self.read_events(file, listing).map_err(|problem| {
            let key = self.dotted(path);
            ScenarioError::at(self, place, &key, format!("`{key}`: {problem}"))
        })?;
        let table = |row: Row| {
            let cells = row.into_iter().map(|(name, value)| (name, Node { place, value }));
            Node { place, value: Value::Table(cells.collect()) }
        };
        let rows = rows.into_iter().map(table).collect();
        let mut node = &mut self.root;
        for segment in path {
            node = node.child_mut(segment).expect("found above");
        }
        node.value = Value::Array(rows);
        Ok(())
    }

    /// The rows of a CSV file, which is beside the scenario, or else where it is said to be.
    fn read_events(&self, name: &str, listing: &Listing) -> Result<Vec<Row>, String> {
        let beside: PathBuf = Path::new(&self.origin).parent().unwrap_or(Path::new("")).join(name);
        let path = if beside.exists() { &*beside } else { Path::new(name) };
        let told = |error: std::io::Error| format!("cannot read {:?}: {error}", path.display().to_string());
        if fs::metadata(path).map_err(told)?.len() > FILE_BYTES_MAX {
            return Err(format!("{name:?} holds more than {FILE_BYTES_MAX} bytes"));
        }
        let text = fs::read_to_string(path).map_err(told)?;
        rows_of(&text, listing).map_err(|(line, problem)| format!("{name}:{line}: {problem}"))
    }
}

/// The rows of a text with a header, each cell by the name of its column; or the line that is wrong, and why.
fn rows_of(text: &str, listing: &Listing) -> Result<Vec<Row>, (usize, String)> {
    let mut lines = text.lines().zip(1..);
    let (header, _) = lines.next().ok_or((1, "the header is missing".to_owned()))?;
    let columns: Vec<&str> = header.trim_end_matches('\r').split(',').map(str::trim).collect();
    let names = || listing.columns.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for (number, column) in columns.iter().enumerate() {
        if !listing.columns.iter().any(|(name, _)| name == column) {
            return Err((1, format!("there is no column {column:?}; there are {}", names())));
        }
        if columns[..number].contains(column) {
            return Err((1, format!("the column `{column}` is there twice")));
        }
    }
    if let Some((missing, _)) =
        listing.columns.iter().find(|(name, needed)| *needed && !columns.contains(name))
    {
        return Err((1, format!("the column `{missing}` is missing")));
    }
    let filled = lines.filter(|(line, _)| !line.trim().is_empty());
    filled
        .map(|(line, number)| {
            row_of(line.trim_end_matches('\r'), &columns).map_err(|problem| (number, problem))
        })
        .collect()
}

fn row_of(line: &str, columns: &[&str]) -> Result<Row, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        return Err(format!("there are {} cells, and {} columns", cells.len(), columns.len()));
    }
    let filled = columns.iter().zip(cells).filter(|(column, cell)| !cell.is_empty() || needs_a_value(column));
    filled.map(|(column, cell)| Ok(((*column).to_owned(), value_of(column, cell)?))).collect()
}

/// Whether a column has no default.
fn needs_a_value(column: &str) -> bool {
    matches!(column, "at_us" | "event")
}

fn value_of(column: &str, cell: &str) -> Result<Value, String> {
    match column {
        "at_us" => match cell.parse::<f64>() {
            Ok(at_us) if at_us.is_finite() => Ok(Value::Float(at_us)),
            _ => Err(format!("`at_us` is {cell:?}, which is no number")),
        },
        "event" if ["start", "stop", "migrate"].contains(&cell) => Ok(Value::Text(cell.to_owned())),
        "event" => Err(format!("`event` is {cell:?}; it must be `start`, `stop` or `migrate`")),
        _ => match cell.parse::<u32>() {
            Ok(index) => Ok(Value::Integer(index.into())),
            Err(_) => Err(format!("`{column}` is {cell:?}, which is no index")),
        },
    }
}
