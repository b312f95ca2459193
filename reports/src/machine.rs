//! The machine a report was made on: enough to compare `wall_*` columns, nothing that names it.

use std::fs;

use serde::{Deserialize, Serialize};

/// Processor, memory and system of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor model, where the system tells.
    pub cpu: Option<String>,
    /// Logical cores this process may use.
    pub logical_cores: u64,
    /// Memory in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
    /// Operating system and architecture, such as `linux x86_64`.
    pub os: String,
}

impl Machine {
    /// The machine this process runs on.
    #[must_use]
    pub fn detect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: cpu_model(&read("/proc/cpuinfo")),
            logical_cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// The value of the first line `key : value`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

pub(crate) fn cpu_model(cpuinfo: &str) -> Option<String> {
    value_of(cpuinfo, "model name").map(String::from)
}

pub(crate) fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kibibytes: u64 = value_of(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}
