//! Devices that go on sending while they are to be silent: what they meet, and what the others lose by them.

use crate::support::{Outcome, custom, numbers, overrides, run};
use portcullis_workloads::Scenario;

/// An adapter on which domains are switched, with tenants that are silent meanwhile and one that is not.
const DISOBEDIENT: &str = r#"
name = "disobedient"
requests = 80_000

[topology]
adapters_per_host = 2
vfs_per_adapter = 4

[host]
on_switch_fault = "record"

[switches]
schedule = "periodic"
every_us = 200

[[tenants]]
name = "obedient"
count = 3
sizes = 64
arrivals = { kind = "poisson", mops_per_vf = 1.0 }

[[tenants]]
name = "rogue"
count = 1
obeys_silence = false
sizes = 64
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

/// A column of the tenants' table, summed over the VFs of a class by the last index of theirs within the adapter.
fn of(outcome: &Outcome, name: &str, rogue: bool) -> u64 {
    let vfs = numbers(&outcome.tenants, "vf");
    let of_class = numbers(&outcome.tenants, name).into_iter().zip(vfs).filter(|(_, vf)| (*vf == 3) == rogue);
    of_class.map(|(value, _)| value).sum()
}

#[test]
fn who_goes_on_meets_its_own_domain_in_the_midst_of_a_switch() {
    for scope in ["silence.scope=adapter", "silence.scope=vf"] {
        let outcome = run(&custom(DISOBEDIENT, &[scope]));
        let summary = &outcome.summary;
        assert!(summary.switches > 100, "{} switches", summary.switches);
        assert_eq!((summary.breach_total, summary.stale_total), (0, 0), "{scope}: the IOMMU holds");
        assert_eq!(outcome.breach, None);
        // A switch of its own domain is one of four, and it loses what it sends from detachment to attachment.
        assert!(of(&outcome, "switch_faults", true) > 50, "{scope}: {} faults", summary.switch_faults);
        assert_eq!(
            of(&outcome, "switch_faults", false),
            0,
            "{scope}: others are silent, and their domains safe"
        );
        assert_eq!(of(&outcome, "dma_held", true), 0, "{scope}");
        assert!(of(&outcome, "dma_held", false) > 1_000, "{scope}");
        assert_eq!(summary.dma_total, 80_000);
    }
}

#[test]
fn where_everybody_obeys_nobody_faults() {
    let outcome = run(&custom(DISOBEDIENT, &["tenants.rogue.obeys_silence=true"]));
    assert_eq!(outcome.summary.switch_faults, 0);
    assert!(of(&outcome, "dma_held", true) > 100);
}

#[test]
fn disobedience_is_refused_where_it_means_nothing() {
    for (change, names) in [
        ("switches.schedule=none", "switches.schedule"),
        ("silence.mode=atomic_replace", "silence.mode"),
        ("failures.begin_share=0.5", "failures"),
        ("device.tlb.entries=64", "device.tlb.entries"),
        ("report.attribution=true", "report.attribution"),
    ] {
        let error =
            Scenario::parse("test", DISOBEDIENT, &overrides(&[change])).expect_err(change).to_string();
        assert!(error.contains("obeys_silence") && error.contains(names), "{change}: {error}");
    }
}
