//! Running a target on a corpus and its mutations.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::memory::peak_bytes;
use crate::mutate::{Draw, mutate};
use crate::{corpus, targets};

/// One at a time: what allocates beside a target would be laid to its charge.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mutations to try: `PORTCULLIS_FUZZ_CASES`, or a number that takes a second.
fn cases(usual: usize) -> usize {
    std::env::var("PORTCULLIS_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// What a target may be asked for.
struct Limits {
    /// Mutations, unless the environment says otherwise.
    cases: usize,
    /// Longest input.
    input_bytes_max: usize,
    /// Memory that may be held at once, beside that for each byte of the input.
    held_bytes: usize,
    held_bytes_per_byte: usize,
}

fn fuzz(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>], limits: &Limits) {
    let _alone = alone();
    assert!(!seeds.is_empty(), "there is something to begin with");
    let try_one = |input: &[u8]| {
        let found = catch_unwind(AssertUnwindSafe(|| {
            let allowed = limits.held_bytes + limits.held_bytes_per_byte * input.len();
            // What the test harness's own threads allocate meanwhile is not the target's, and not there each time.
            let mut held = peak_bytes(|| target(input));
            for _ in 0..2 {
                if held > allowed {
                    held = held.min(peak_bytes(|| target(input)));
                }
            }
            assert!(held <= allowed, "{} bytes of input held {held} bytes at once", input.len());
        }));
        if let Err(panic) = found {
            let path = std::env::temp_dir().join(format!("portcullis-fuzz-{name}-{}", std::process::id()));
            fs::write(&path, input).expect("a file");
            eprintln!("the input is in {}; keep it in {}", path.display(), corpus::directory(name).display());
            resume_unwind(panic);
        }
    };
    // Tables that are made once are nobody's.
    let _ = catch_unwind(AssertUnwindSafe(|| target(&seeds[0])));
    seeds.iter().for_each(|seed| try_one(seed));
    let seed = std::env::var("PORTCULLIS_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut draw = Draw(seed);
    // Mutations of mutations, now and then begun anew.
    let mut input = Vec::new();
    for case in 0..cases(limits.cases) {
        if case % 8 == 0 {
            input.clone_from(&seeds[draw.below(seeds.len())]);
        }
        let other = &seeds[draw.below(seeds.len())];
        input = mutate(&input, other, limits.input_bytes_max, &mut draw);
        try_one(&input);
    }
}

#[test]
fn packet() {
    let limits =
        Limits { cases: 20_000, input_bytes_max: 140_000, held_bytes: 4_096, held_bytes_per_byte: 4 };
    fuzz("packet", targets::packet, &corpus::kept("packet"), &limits);
}

#[test]
fn scenario() {
    let limits =
        Limits { cases: 1_500, input_bytes_max: 16_384, held_bytes: 16 << 20, held_bytes_per_byte: 2_048 };
    let seeds = [corpus::kept("scenario"), corpus::built_in()].concat();
    fuzz("scenario", targets::scenario, &seeds, &limits);
}

#[test]
fn events_csv() {
    let limits =
        Limits { cases: 5_000, input_bytes_max: 16_384, held_bytes: 1 << 20, held_bytes_per_byte: 256 };
    fuzz("events_csv", targets::events_csv, &corpus::kept("events_csv"), &limits);
}

#[test]
fn events_parquet() {
    let limits =
        Limits { cases: 1_000, input_bytes_max: 65_536, held_bytes: 64 << 20, held_bytes_per_byte: 1_024 };
    fuzz("events_parquet", targets::events_parquet, &[corpus::parquet()], &limits);
}

/// Input that a target cannot take is found, and written to a file.
#[test]
fn a_target_that_panics_is_found() {
    let limits = Limits { cases: 200, input_bytes_max: 64, held_bytes: 1 << 20, held_bytes_per_byte: 16 };
    let fragile = |bytes: &[u8]| assert!(!bytes.contains(&b'!'));
    let hungry = |bytes: &[u8]| drop(vec![0_u8; bytes.iter().filter(|byte| **byte == b'!').count() << 22]);
    for target in [fragile as fn(&[u8]), hungry] {
        let found =
            catch_unwind(|| fuzz("self-test", target, &[b"quiet".to_vec(), b"loud!".to_vec()], &limits));
        assert!(found.is_err());
    }
}
