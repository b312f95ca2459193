//! Translated requests that a device made up: what they reach where the IOMMU believes their mark, and that a context
//! entry without ATS blocks them.

use portcullis_engine::table::Column;

use crate::support::{Dma, Outcome, assert_within, builtin, column, custom, log, numbers, run, run_logged};

/// VFs 0 to 13 of `forged-ats` are honest; then one each.
const FORGER: u32 = 14;
const UNTRUSTED: u32 = 15;
/// Frames of each VF's buffer, from 4 GiB on, one VF after the other.
const FRAMES: u64 = 32;
const FIRST_FRAME: u64 = 1 << 20;

fn forged_ats(changes: &[&str]) -> Outcome {
    run_logged(&builtin("forged-ats", &[&["requests=160000"], changes].concat()))
}

/// The VF behind whose buffer a physical address lies.
fn owner(pa: u64) -> u64 {
    (pa / 4_096 - FIRST_FRAME) / FRAMES
}

/// DMAs of a VF with what became of their look-up in the device TLB.
fn of_vf(outcome: &Outcome, vf: u32) -> Vec<(Dma, Option<&'static str>)> {
    let Column::OptionalName(looked_up) = column(&outcome.requests, "device_tlb") else { panic!("names") };
    log(outcome).into_iter().zip(looked_up.iter().copied()).filter(|(dma, _)| dma.vf.2 == vf).collect()
}

/// Counts of DMAs forged, and of those among them that reached another's frame.
fn counts(outcome: &Outcome, vf: u32) -> [u64; 2] {
    ["forged", "forged_foreign"].map(|name| numbers(&outcome.tenants, name)[vf as usize])
}

#[test]
fn what_is_forged_reaches_any_frame_and_is_no_breach() {
    let outcome = forged_ats(&[]);
    let dmas = of_vf(&outcome, FORGER);
    let forged: Vec<Dma> =
        dmas.iter().filter(|(_, name)| *name == Some("forged")).map(|(dma, _)| *dma).collect();
    assert_within("share of what is forged", forged.len() as f64 / dmas.len() as f64, 0.2, 0.05);
    let mut hit = [0_u32; 16];
    for dma in &forged {
        let pa = dma.pa.expect("it is believed");
        assert_eq!((pa % 4_096, dma.hits, dma.misses), (dma.iova % 4_096, 0, 0), "{dma:?}");
        hit[owner(pa) as usize] += 1;
    }
    let expected = forged.len() as f64 / 16.0;
    for (vf, hit) in hit.into_iter().enumerate() {
        // Five standard deviations.
        let off = (f64::from(hit) - expected).abs();
        assert!(off < 5.0 * expected.sqrt(), "frames of VF {vf} are hit {hit} times, {expected} expected");
    }
    let foreign = forged.len() as u64 - u64::from(hit[FORGER as usize]);
    assert_eq!(counts(&outcome, FORGER), [forged.len() as u64, foreign]);
    // Whatever is honest goes where the buffer is, of whomever.
    for (dma, name) in (0..16).flat_map(|vf| of_vf(&outcome, vf)) {
        if let (Some(pa), true) = (dma.pa, name != Some("forged")) {
            assert_eq!(owner(pa), u64::from(dma.vf.2), "{dma:?}");
        }
    }
    let summary = &outcome.summary;
    assert_eq!((outcome.breach.as_ref(), summary.breach_total, summary.stale_total), (None, 0, 0));
    assert_eq!(summary.audited_total + forged.len() as u64, summary.dma_translated);
    assert!((0..FORGER).all(|vf| counts(&outcome, vf) == [0, 0]), "the others are honest");
}

#[test]
fn a_context_entry_without_ats_blocks_what_is_forged_and_costs_the_device_tlb() {
    let outcome = forged_ats(&[]);
    let (mut forged, mut honest) = (0, 0);
    for (dma, name) in of_vf(&outcome, UNTRUSTED) {
        if name == Some("forged") {
            forged += 1;
            assert_eq!((dma.fault, dma.pa), (Some("ats_disabled"), None));
        } else {
            honest += 1;
            assert_eq!((name, dma.fault, dma.hits + dma.misses), (None, None, 1), "the IOMMU looks it up");
        }
    }
    assert!(forged > 1_000 && honest > 1_000);
    assert_eq!(counts(&outcome, UNTRUSTED), [forged, 0]);
    assert_eq!(numbers(&outcome.tenants, "blocked_ats_disabled")[UNTRUSTED as usize], forged);
    assert_eq!(outcome.summary.blocked_ats_disabled, forged, "nobody else's");
    let [of_tenants, untrusted] =
        [0, UNTRUSTED].map(|vf| numbers(&outcome.tenants, "device_tlb_hits")[vf as usize]);
    assert!(of_tenants > 1_000 && untrusted == 0);
    let nobody = forged_ats(&["tenants.forger.ats=false"]).summary;
    assert!(nobody.forged > 2_000);
    assert_eq!((nobody.forged_foreign, nobody.blocked_ats_disabled), (0, nobody.forged));
}

/// Whose device may not translate is as if it had no TLB but for the way its DMAs take up to the link.
#[test]
fn an_honest_device_without_ats_reaches_what_it_would_have_reached() {
    let honest = ["requests=40000", "tenants.forger.forged_share=0", "tenants.untrusted.forged_share=0"];
    let of = |changes: &[&str]| {
        let outcome = forged_ats(&[&honest, changes].concat());
        let mut reached: Vec<_> =
            log(&outcome).into_iter().map(|dma| (dma.vf, dma.sequence, dma.pa, dma.fault)).collect();
        reached.sort_unstable();
        (reached, outcome.summary)
    };
    let (with, summary) = of(&[]);
    let (without, without_summary) = of(&["tenants.tenant.ats=false", "tenants.forger.ats=false"]);
    assert_eq!(with, without);
    assert_eq!((summary.forged, without_summary.forged), (0, 0));
    assert!(summary.device_tlb_hits > 0 && without_summary.device_tlb_hits == 0);
    assert_eq!(without_summary.iotlb_lookups, without_summary.dma_total, "the IOMMU translates every DMA");
}

/// Whose frames were reached is what happened, not a sample of it; and a warm-up is left out.
#[test]
fn what_is_forged_is_judged_whatever_the_audit() {
    let of = |changes: &[&str]| {
        let summary = run(&builtin("forged-ats", &[&["requests=80000"], changes].concat())).summary;
        (summary.forged, summary.forged_foreign, summary.audited_total)
    };
    let (forged, foreign, audited) = of(&[]);
    let (sampled, off) = (of(&["audit=sample"]), of(&["audit=off"]));
    assert_eq!([(sampled.0, sampled.1), (off.0, off.1)], [(forged, foreign); 2]);
    assert!(off.2 == 0 && sampled.2 < audited / 32);
    let warm = forged_ats(&["warmup_us=5000"]);
    let counted = of_vf(&warm, FORGER)
        .into_iter()
        .filter(|(dma, name)| *name == Some("forged") && dma.intended_ps >= 5_000_000_000);
    let reached: Vec<u64> = counted.map(|(dma, _)| owner(dma.pa.expect("believed"))).collect();
    let foreign = reached.iter().filter(|owner| **owner != u64::from(FORGER)).count() as u64;
    assert!(foreign > 100);
    assert_eq!(counts(&warm, FORGER), [reached.len() as u64, foreign]);
}

/// A VF without a domain has no context entry that could enable anything.
#[test]
fn without_a_domain_no_mark_is_believed() {
    let outcome = forged_ats(&["tenants.forger.attached=false", "tenants.forger.forged_share=1"]);
    let column = |name| numbers(&outcome.tenants, name)[FORGER as usize];
    assert!(column("forged") > 1_000);
    assert_eq!((column("blocked_no_context"), column("forged_foreign")), (column("forged"), 0));
}

/// What lies between buffers is nobody's, and to reach it counts.
#[test]
fn a_frame_between_buffers_is_nobodys() {
    let scenario = r#"
name = "gap"
requests = 4000
topology = { vfs_per_adapter = 2 }
device.tlb.entries = 8
[[tenants]]
name = "small"
count = 1
arrivals = { kind = "poisson", mops_per_vf = 1 }
memory = { pages = 1 }
forged_share = 1
sizes = 64
[[tenants]]
name = "large"
count = 1
arrivals = { kind = "poisson", mops_per_vf = 1 }
memory = { pages = 1, page_size = "2m" }
"#;
    // A frame, a gap of 511, and 512 frames of the other.
    let outcome = run_logged(&custom(scenario, &[]));
    assert_eq!(outcome.breach, None);
    let pas: Vec<u64> = of_vf(&outcome, 0).into_iter().map(|(dma, _)| dma.pa.expect("believed")).collect();
    let in_gap = pas.iter().filter(|pa| (1..512).contains(&(**pa / 4_096 - FIRST_FRAME))).count();
    assert_within("share of the gap", in_gap as f64 / pas.len() as f64, 511.0 / 1_024.0, 0.1);
    let own = pas.iter().filter(|pa| **pa / 4_096 == FIRST_FRAME).count() as u64;
    assert_eq!(counts(&outcome, 0), [pas.len() as u64, pas.len() as u64 - own]);
}
