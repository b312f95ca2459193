//! `portcullis replay`: drives the IOMMU by a trace and writes the report.

use std::path::Path;
use std::time::Instant;

use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, Replay, ReplayPlan, ReplayResult};
use portcullis_engine::translation::{IotlbIndex, Ways, replacement::ReplacementPolicy};
use portcullis_reports::replay_tables;
use portcullis_workloads::ReplaySettings;
use serde::Serialize;

use crate::arguments::{ReplayArguments, overrides};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{About, Report};
use crate::trace::Trace;
use crate::{host, interrupt, stdout, summary};

/// Replays, writes the report, prints the summary.
///
/// # Errors
/// The trace, a setting or the output is bad, the disk fails, isolation was broken, or the user
/// asked to stop.
pub fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    interrupt::install()?;
    let overrides = overrides(&arguments.settings, arguments.seed, arguments.audit)?;
    let settings = ReplaySettings::parse(&overrides).map_err(Failure::bad_input)?;
    let mut trace = Trace::open(&arguments.events)?;

    let name = trace_name(&arguments.events);
    let about = About {
        command: "replay",
        name: name.clone(),
        scenario_toml: settings_toml(&settings),
        trace: Some(name.clone()),
        point: None,
        alone: Vec::new(),
        without: Vec::new(),
        seed: settings.seed,
        threads: 1,
    };
    let mut report = Report::open(about, &arguments.output, replay_tables())?;
    let bar = Progress::new("events", trace.len(), arguments.output.quiet);
    let plan = ReplayPlan { trace: name, seed: settings.seed, iotlb: settings.iotlb, audit: settings.audit };
    let ReplayResult { summary, tables, breach } = drive(plan, &mut trace, &bar, &mut report)?;
    drop(bar);

    report.write(tables)?;
    report.write([std::iter::once(summary.clone()).collect()])?;
    let path = report.publish()?;
    let text =
        if arguments.output.json { summary::json(summary) } else { summary::of_replay(&summary, &path) };
    stdout::write(text.as_bytes())?;
    breach.map_or(Ok(()), |breach| Err(Failure::failed(breach)))
}

/// Applies every event in order; rows go to the report as they become final.
fn drive(
    plan: ReplayPlan,
    trace: &mut Trace,
    bar: &Progress,
    report: &mut Report,
) -> Result<ReplayResult, Failure> {
    let clock = Instant::now();
    let mut replay = Replay::new(plan).map_err(Failure::bad_input)?;
    let mut events: Vec<Event> = Vec::new();
    let mut done = 0;
    while trace.next_batch(&mut events)? {
        interrupt::check()?;
        replay.apply(&events);
        report.write(replay.drain_tables())?;
        done += events.len() as u64;
        bar.update(done, String::new);
    }
    let mut result = replay.finish();
    let simulate_s = clock.elapsed().as_secs_f64();
    result.summary.wall_simulate_s = simulate_s;
    result.summary.wall_events_per_s = result.summary.events_total as f64 / simulate_s;
    result.summary.wall_peak_memory_bytes = host::peak_memory_bytes();
    Ok(result)
}

/// The settings as `--set` takes them: a TOML text of every key.
fn settings_toml(settings: &ReplaySettings) -> String {
    #[derive(Serialize)]
    struct Document {
        seed: u64,
        audit: Audit,
        iommu: Iommu,
    }
    #[derive(Serialize)]
    struct Iommu {
        iotlb: Iotlb,
    }
    #[derive(Serialize)]
    struct Iotlb {
        entries: u32,
        ways: Ways,
        replacement: ReplacementPolicy,
        index: IotlbIndex,
    }
    let &ReplaySettings { seed, audit, ref iotlb } = settings;
    let iotlb = Iotlb {
        entries: iotlb.entries,
        ways: iotlb.ways,
        replacement: iotlb.replacement,
        index: iotlb.index,
    };
    toml::to_string(&Document { seed, audit, iommu: Iommu { iotlb } }).expect("numbers and names are TOML")
}

/// What the trace is called in the report: its file's name up to the first dot, without characters
/// that a directory's name had better not have.
fn trace_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.trim_start_matches('.').split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = stem.chars().take(64).map(plain).collect();
    if name.is_empty() { String::from("trace") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_written_as_they_are_set() {
        let text = settings_toml(&ReplaySettings::default());
        for key in ReplaySettings::KEYS {
            let last = key.rsplit('.').next().expect("a key has a last name");
            assert!(text.contains(&format!("{last} = ")), "{key} is missing in {text}");
        }
    }

    #[test]
    fn a_trace_goes_by_its_file_without_endings() {
        let named = |path: &str| trace_name(Path::new(path));
        assert_eq!(named("some/where/sriov-small.events.parquet"), "sriov-small");
        assert_eq!(named("a b/ä name.csv"), "__name");
        assert_eq!(named("/"), "trace");
        assert_eq!(named(".hidden.csv"), "hidden");
    }
}
