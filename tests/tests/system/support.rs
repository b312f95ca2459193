//! What several files share.

use std::path::{Path, PathBuf};

use portcullis_engine::table::{Column, Table};

/// The directory of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// A column by its name.
pub fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    let at = table.fields.iter().position(|field| field.name == name);
    &table.columns[at.unwrap_or_else(|| panic!("`{}` has no column `{name}`", table.name))]
}

/// The cells of a column of whole numbers.
pub fn numbers(table: &Table, name: &str) -> Vec<u64> {
    match column(table, name) {
        Column::U32(cells) => cells.iter().map(|cell| u64::from(*cell)).collect(),
        Column::U64(cells) => cells.clone(),
        other => panic!("`{name}` is no column of whole numbers: {other:?}"),
    }
}

/// The cells of a column of whole numbers that may be absent.
pub fn optional_numbers(table: &Table, name: &str) -> Vec<Option<u64>> {
    let Column::OptionalU64(cells) = column(table, name) else { panic!("`{name}` may not be absent") };
    cells.clone()
}
