//! What the host tells about itself: threads and memory.

use std::num::NonZero;
use std::thread;

/// Threads a run takes unless it is told otherwise: what the system lets this process use.
pub fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The most memory this process has held so far, in bytes; 0 where the system does not say.
///
/// Linux's `VmHWM`, which starts at zero with the program; `getrusage` would also count what the
/// process held before it became this program.
pub fn peak_memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| high_water_bytes(&status))
}

/// The value of the line `VmHWM: <n> kB`; 0 without one.
fn high_water_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read_in_kibibytes() {
        assert_eq!(high_water_bytes("VmPeak:\t  99 kB\nVmHWM:\t   12 kB\nVmRSS:\t 3 kB\n"), 12 * 1024);
        assert_eq!(high_water_bytes("nothing of the kind"), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_touched_is_counted() {
        let before = peak_memory_bytes();
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak_memory_bytes() >= before.max(touched.len() as u64));
    }
}
