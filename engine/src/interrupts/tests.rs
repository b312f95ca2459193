//! What is raised, masked and written.

use super::*;
use crate::escape::Span;
use crate::units::Picoseconds;

const fn at(time: u64) -> Picoseconds {
    Picoseconds(time)
}

fn counts(masks: bool, obeys: bool, warm_up: u64) -> MsiCounts {
    let spec = InterruptsSpec { vsync_hz: 1e11, completions_per_msi: 2 };
    let mut interrupts =
        Interrupts::new(&spec, &[obeys, true], masks, at(warm_up)).0.expect("it raises some");
    // MSIs of the first VF at 12, 14 and 50; vertical syncs at 10, 20, 30 and 40.
    for time in [14, 12, 11, 13, 50, 49] {
        interrupts.note_completed(0, at(time));
    }
    interrupts.note_window(None, Span { begin: at(12), end: at(20) });
    interrupts.settle(at(30), at(14));
    interrupts.finish(at(50))
}

#[test]
fn what_is_raised_in_a_window_is_written_inside_it_or_once_behind_it() {
    assert_eq!(counts(false, true, 0), MsiCounts { writes: 7, in_silence: 2, masked: 0 });
    assert_eq!(counts(true, true, 0), MsiCounts { writes: 6, in_silence: 0, masked: 2 });
    assert_eq!(counts(true, false, 0), MsiCounts { writes: 7, in_silence: 2, masked: 0 });
    // What was masked at 14 is written at 20.
    assert_eq!(counts(true, true, 14), MsiCounts { writes: 5, in_silence: 0, masked: 1 });
}
