//! `machine`: the values of a machine below those of a scenario.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf, is_separator};

use portcullis_engine::link::{DeviceSpec, LinkSpec};
use portcullis_engine::memory::MemorySpec;
use portcullis_engine::translation::IommuSpec;
use serde::Deserialize;

use super::deserialize::deserialize;
use super::document::{Document, Node, Place, Value};
use super::overrides::exclude_each_other;
use super::{Scenario, ScenarioError, nearest};
use crate::machines::{ANY_MACHINE, machine, machines};

/// Longest file of a machine that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The sections of a scenario that a machine fills in.
const SECTIONS: [&str; 4] = ["link", "device", "iommu", "memory"];

/// What a machine's text may hold: read for its errors alone.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MachineText {
    name: String,
    description: String,
    link: LinkSpec,
    device: DeviceSpec,
    iommu: IommuSpec,
    memory: MemorySpec,
}

impl Document {
    /// Puts the values of the machine that the key `machine` names below what this document says itself: a
    /// key that stands here, or whose rival does, keeps its value.
    ///
    /// # Errors
    /// There is no such machine, or its text is wrong.
    pub(super) fn take_machine(&mut self) -> Result<(), ScenarioError> {
        let Some(Node { place, value: Value::Text(name) }) = self.root.get("machine") else { return Ok(()) };
        let (origin, text) =
            self.find_machine(name).map_err(|problem| ScenarioError::at(self, *place, "machine", problem))?;
        self.underlay(machine_document(&origin, &text)?);
        self.underlay(machine_document(ANY_MACHINE.name, ANY_MACHINE.toml)?);
        Ok(())
    }

    /// What a machine's text is called, and the text: a built-in one, or a file beside the scenario's, or
    /// one in the working directory.
    fn find_machine(&self, name: &str) -> Result<(String, String), String> {
        if let Some(built_in) = machine(name) {
            return Ok((format!("machine {name}"), built_in.toml.to_owned()));
        }
        let beside: PathBuf = Path::new(&self.origin).parent().unwrap_or(Path::new("")).join(name);
        let path = if beside.exists() { &*beside } else { Path::new(name) };
        if !name.ends_with(".toml") && !name.contains(is_separator) && !path.exists() {
            let names = machines().iter().map(|machine| machine.name);
            let near = nearest(name, names.clone()).unwrap_or_default();
            let likely = strsim::jaro_winkler(name, near) > 0.7;
            let hint = if likely { format!("did you mean {near:?}?") } else { list(names) };
            return Err(format!("`machine` is {name:?}, which is no machine's name and no file; {hint}"));
        }
        let text = read(path).map_err(|problem| format!("cannot read machine `{name}`: {problem}"))?;
        Ok((path.display().to_string(), text))
    }

    /// Puts what `below` says in the places that this document leaves empty.
    fn underlay(&mut self, below: Self) {
        let layer = self.layers.len();
        self.layers.push(below.origin);
        fill_places(&mut self.root, below.root, layer, &mut Vec::new());
    }
}

/// The sections of a machine's text, checked as far as it can be alone.
fn machine_document(origin: &str, text: &str) -> Result<Document, ScenarioError> {
    let mut document = Document::parse(origin, text)?;
    document.check_exclusive()?;
    let known_keys = || {
        let in_section = |key: &String| key.split('.').next().is_some_and(|first| SECTIONS.contains(&first));
        Scenario::known_keys().into_iter().filter(in_section).collect()
    };
    deserialize::<MachineText>(&document, &known_keys)?;
    if let Value::Table(entries) = &mut document.root.value {
        entries.retain(|(key, _)| SECTIONS.contains(&key.as_str()));
    }
    Ok(document)
}

fn fill_places(above: &mut Node, below: Node, layer: usize, path: &mut Vec<String>) {
    let (Value::Table(entries), Value::Table(offered)) = (&mut above.value, below.value) else { return };
    for (key, mut node) in offered {
        if let Some((_, there)) = entries.iter_mut().find(|(name, _)| *name == key) {
            path.push(key);
            fill_places(there, node, layer, path);
            path.pop();
            continue;
        }
        if entries.iter().any(|(name, _)| exclude_each_other(path, name, &key)) {
            continue;
        }
        move_to(&mut node, layer);
        entries.push((key, node));
    }
}

/// Has every place below `node` name the layer.
fn move_to(node: &mut Node, layer: usize) {
    if let Place::Line(line) = node.place {
        node.place = Place::Layer(layer, line);
    }
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().for_each(|(_, child)| move_to(child, layer)),
        Value::Array(items) => items.iter_mut().for_each(|child| move_to(child, layer)),
        _ => {}
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("there are {}", names.collect::<Vec<_>>().join(", "))
}

/// The text of a file, if it is text of a sensible length.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    match file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err("it is a directory".into()),
        Err(error) => Err(error.to_string()),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(format!("it is longer than {FILE_BYTES_MAX} bytes"))
        }
        Ok(_) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into()),
    }
}
