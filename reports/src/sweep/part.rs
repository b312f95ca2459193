//! A point's directory: whether it is there, and whole.

use std::fs;
use std::io;
use std::path::Path;

use crate::checksum;
use crate::directory::foreign_entry;
use crate::manifest::Manifest;
use crate::schema::{Extras, run_tables, table_file_name};

/// What is expected of a finished point.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its number.
    pub point: u64,
    /// Its scenario in full, as TOML.
    pub scenario_toml: &'a str,
    /// Which tables it has beside those that every run has.
    pub extras: Extras,
}

/// The state of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointState {
    /// It is still to be simulated.
    Missing,
    /// It was there but damaged, and is removed: it is to be simulated again.
    Damaged(String),
    /// It is there, every byte as it was written.
    Finished,
    /// Something is in its place that Portcullis did not write.
    Foreign(String),
}

/// The state of the point's directory, which is not touched.
pub(super) fn state(directory: &Path, expected: Expected<'_>) -> PointState {
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return PointState::Missing,
        Err(error) => return PointState::Foreign(error.to_string()),
        Ok(metadata) if !metadata.is_dir() => return PointState::Foreign("it is not a directory".into()),
        Ok(_) => {}
    }
    let Err(damage) = check(directory, expected) else { return PointState::Finished };
    match foreign_entry(directory) {
        Ok(None) => PointState::Damaged(damage),
        Ok(Some(name)) => PointState::Foreign(format!("Portcullis did not write `{name}` in it")),
        Err(error) => PointState::Foreign(format!("it cannot be listed: {error}")),
    }
}

/// Every byte of the point is as it was written, or what is wrong.
fn check(directory: &Path, expected: Expected<'_>) -> Result<(), String> {
    let manifest = Manifest::read(directory).map_err(|error| error.to_string())?;
    if manifest.point != Some(expected.point) || manifest.scenario_toml != expected.scenario_toml {
        return Err("its manifest is another point's".into());
    }
    for table in run_tables(expected.extras) {
        let name = table_file_name(table.name);
        let Some(file) = manifest.files.iter().find(|file| file.name == name) else {
            return Err(format!("its manifest lacks `{name}`"));
        };
        match checksum::of_file(&directory.join(&name)) {
            Err(error) => return Err(format!("`{name}` cannot be read: {error}")),
            Ok((bytes, _)) if bytes != file.bytes => {
                return Err(format!("`{name}` has {bytes} bytes, not {}", file.bytes));
            }
            Ok((_, checksum)) if checksum != file.checksum => {
                return Err(format!("`{name}` does not match its checksum"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}
