//! Interrupts, counted again from the log of requests and the timeline.

use portcullis_engine::silence::SilenceScope;
use portcullis_workloads::Scenario;

use crate::support::{
    Outcome, VfPlace, custom, log, names, numbers, optional_numbers, run_logged, vf_places,
};

/// Two GPUs whose domains are switched while they read, and raise interrupts: for every third completion of a VF, and 300,000
/// vertical syncs a second.
const INTERRUPTED: &str = r#"
name = "interrupted"
requests = 80_000
warmup_us = 200

[topology]
adapters_per_host = 2
vfs_per_adapter = 3

[interrupts]
completions_per_msi = 3
vsync_hz = 300_000

[switches]
schedule = "poisson"
every_us = 150

[silence]
quiesce_us = 0

[report]
timeline_rows_per_host = 1_000_000

[[tenants]]
name = "open"
count = 2
read_share = 0.5
sizes = 512
memory = { pages = 8 }
arrivals = { kind = "poisson", mops_per_vf = 2.0 }

[[tenants]]
name = "closed"
read_share = 0.2
sizes = 4096
memory = { pages = 8 }
arrivals = { kind = "closed", outstanding = 16, think_ns = 200 }
"#;

const VFS: u32 = 3;
/// The display of an adapter, beside its VFs.
const DISPLAY: u32 = VFS;

/// The exclusive windows, by whose domain is switched: from the end of the drain to that of `end_exclusive`.
fn windows(outcome: &Outcome) -> Vec<(VfPlace, u64, u64)> {
    let timeline = &outcome.timeline;
    let (details, begins) = (names(timeline, "detail"), numbers(timeline, "time_ps"));
    let ends = optional_numbers(timeline, "end_ps");
    let rows = |name: &'static str| {
        let places = vf_places(timeline).into_iter().enumerate();
        let mut rows: Vec<_> =
            places.filter(|(row, _)| details[*row] == name).map(|(row, place)| (place, row)).collect();
        rows.sort_by_key(|(place, row)| (*place, begins[*row]));
        rows
    };
    let pairs = rows("begin_exclusive").into_iter().zip(rows("end_exclusive"));
    pairs.map(|((place, first), (_, last))| (place, begins[first], ends[last].expect("an end"))).collect()
}

/// What each vector of each adapter raises, in order.
fn raised(scenario: &Scenario, outcome: &Outcome) -> Vec<((u32, u32), Vec<u64>)> {
    let dmas = log(outcome);
    let end = dmas.iter().map(|dma| dma.completed_ps).max().expect("a DMA");
    let mut raised = Vec::new();
    for adapter in 0..scenario.topology.adapters_per_host {
        for vf in 0..VFS {
            let own = dmas.iter().filter(|dma| dma.vf == (0, adapter, vf));
            let mut completed: Vec<_> = own.map(|dma| dma.completed_ps).collect();
            completed.sort_unstable();
            raised.push(((adapter, vf), completed.chunks_exact(3).map(|three| three[2]).collect()));
        }
        let vsyncs = (1..).map(|number| (f64::from(number) * 1e12 / 300_000.0).round() as u64);
        raised.push(((adapter, DISPLAY), vsyncs.take_while(|time| *time < end).collect()));
    }
    raised
}

/// MSIs written, of these in windows, and interrupts masked: vector by vector, window by window.
fn counted_again(scenario: &Scenario, outcome: &Outcome) -> (u64, u64, u64) {
    let warm_up = (scenario.warmup_us * 1e6) as u64;
    let windows = windows(outcome);
    let alone = scenario.silence.scope == SilenceScope::Vf;
    let (mut writes, mut in_silence, mut masked) = (0, 0, 0);
    for ((adapter, vector), times) in raised(scenario, outcome) {
        let silences = |of: &&(VfPlace, u64, u64)| {
            let (_, of_adapter, vf) = of.0;
            of_adapter == adapter && (!alone || vf == vector)
        };
        let own: Vec<_> = windows.iter().filter(silences).map(|(_, begin, end)| (*begin, *end)).collect();
        let mut delivered = std::collections::BTreeSet::new();
        for time in times {
            let window = own.iter().find(|(begin, end)| (*begin..*end).contains(&time));
            let counted = u64::from(time >= warm_up);
            match window {
                Some((_, end)) if scenario.silence.mask_interrupts => {
                    masked += counted;
                    delivered.insert(*end);
                }
                window => {
                    writes += counted;
                    in_silence += u64::from(window.is_some()) * counted;
                }
            }
        }
        writes += delivered.iter().filter(|end| **end >= warm_up).count() as u64;
    }
    (writes, in_silence, masked)
}

#[test]
fn interrupts_are_those_of_completions_windows_and_vertical_syncs() {
    for scope in ["silence.scope=adapter", "silence.scope=vf"] {
        for masks in ["silence.mask_interrupts=true", "silence.mask_interrupts=false"] {
            let scenario = custom(INTERRUPTED, &[scope, masks]);
            let outcome = run_logged(&scenario);
            let summary = &outcome.summary;
            assert!(summary.switches > 20 && summary.timeline_dropped == 0, "{summary:?}");
            let found = (summary.msi_writes, summary.msi_in_silence, summary.msi_masked);
            assert_eq!(found, counted_again(&scenario, &outcome), "{scope}, {masks}");
            // Windows of an adapter take in its vertical syncs; in those of a VF alone at most its last writes are complete.
            let (inside, masked) = (summary.msi_in_silence, summary.msi_masked);
            let (some, none) =
                if scenario.silence.mask_interrupts { (masked, inside) } else { (inside, masked) };
            assert_eq!((some > 0 || scope.ends_with("vf"), none), (true, 0), "{scope}, {masks}: {summary:?}");
        }
    }
}

/// A window takes some 17 us, and so five vertical syncs: what is masked of them is written once.
#[test]
fn what_was_masked_is_written_once() {
    let changes = [
        "interrupts.completions_per_msi=0",
        "switches.schedule=periodic",
        "switches.every_us=100",
        "silence.end_us=1",
        "warmup_us=0",
    ];
    let of = |masks: &str| run_logged(&custom(INTERRUPTED, &[&changes[..], &[masks]].concat())).summary;
    let (masking, open) = (of("silence.mask_interrupts=true"), of("silence.mask_interrupts=false"));
    assert_eq!((masking.msi_in_silence, open.msi_masked), (0, 0));
    // The same interrupts: those in windows are masked, or written inside them.
    assert_eq!(masking.msi_masked, open.msi_in_silence);
    let coalesced = open.msi_writes - masking.msi_writes;
    assert!(coalesced > 0 && masking.msi_masked - coalesced <= masking.switches, "{masking:?} {open:?}");
}

/// A device that does not obey silence raises interrupts in it, masked or not.
#[test]
fn devices_that_do_not_obey_write_in_silence() {
    let changes =
        ["interrupts.vsync_hz=0", "tenants.closed.obeys_silence=false", "host.on_switch_fault=record"];
    let scenario = custom(INTERRUPTED, &changes);
    let outcome = run_logged(&scenario);
    assert!(outcome.summary.msi_in_silence > 100, "{:?}", outcome.summary);
}
