//! A corpus of packets: hexadecimal digits in a scenario, or files that become such.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::document::{Document, Node, Value};
use super::{EscapesSpec, ScenarioError};

/// The bytes of a packet; in a scenario hexadecimal digits, two a byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketBytes(pub Vec<u8>);

impl PacketBytes {
    fn to_hex(&self) -> String {
        let mut text = String::with_capacity(2 * self.0.len());
        for byte in &self.0 {
            write!(text, "{byte:02x}").expect("text has room");
        }
        text
    }
}

impl Serialize for PacketBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for PacketBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Self).ok_or_else(|| D::Error::custom("hexadecimal digits, two a byte"))
    }
}

impl Document {
    /// Puts the packets of the files that the keys `escapes.corpus` of the classes name in their place, so that the scenario holds
    /// all it depends on.
    ///
    /// # Errors
    /// A file or directory that cannot be read, or is too long.
    pub(super) fn take_corpora(&mut self) -> Result<(), ScenarioError> {
        let Some(Value::Array(classes)) = self.root.get("tenants").map(|node| &node.value) else {
            return Ok(());
        };
        let mut found = Vec::new();
        for (number, class) in classes.iter().enumerate() {
            let corpus = class.get("escapes").and_then(|escapes| escapes.get("corpus"));
            let Some(Node { place, value: Value::Text(path) }) = corpus else { continue };
            let packets = self.read_corpus(path).map_err(|problem| {
                let key = self
                    .dotted(&["tenants", &number.to_string(), "escapes", "corpus"].map(ToOwned::to_owned));
                ScenarioError::at(self, *place, &key, format!("`{key}`: {problem}"))
            })?;
            let place = *place;
            let text = |packet: &PacketBytes| Node { place, value: Value::Text(packet.to_hex()) };
            found.push((number.to_string(), Value::Array(packets.iter().map(text).collect())));
        }
        for (number, packets) in found {
            let mut node = &mut self.root;
            for segment in ["tenants", &number, "escapes", "corpus"] {
                node = node.child_mut(segment).expect("found above");
            }
            node.value = packets;
        }
        Ok(())
    }

    /// The packets of a directory, in the order of its files' names, or of one file.
    fn read_corpus(&self, name: &str) -> Result<Vec<PacketBytes>, String> {
        let beside: PathBuf = Path::new(&self.origin).parent().unwrap_or(Path::new("")).join(name);
        let path = if beside.exists() { &*beside } else { Path::new(name) };
        let told = |error: io::Error| format!("cannot read {:?}: {error}", path.display().to_string());
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(told)?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            files = paths.collect::<Result<_, _>>().map_err(told)?;
            files.retain(|file| file.is_file());
            files.sort();
        }
        let mut left = EscapesSpec::CORPUS_BYTES_MAX as u64;
        let mut packets = Vec::new();
        for file in files {
            let mut bytes = Vec::new();
            File::open(&file)
                .and_then(|file| file.take(left + 1).read_to_end(&mut bytes))
                .map_err(|error| format!("cannot read {:?}: {error}", file.display().to_string()))?;
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| format!("{name:?} holds more than {} bytes", EscapesSpec::CORPUS_BYTES_MAX))?;
            packets.push(PacketBytes(bytes));
        }
        Ok(packets)
    }
}
