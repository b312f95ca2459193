//! Temporary.
use crate::case::{Case, case};
use crate::engine::run;
use crate::equality::{difference, reference};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn verdict(case: &Case, batches: &[u32]) -> Option<String> {
    let outcome = std::panic::catch_unwind(|| {
        let expected = reference(case, None);
        batches.iter().find_map(|batch| {
            difference(case, &run(case, *batch), &expected).map(|d| format!("batch {batch}: {d}"))
        })
    });
    match outcome {
        Ok(d) => d,
        Err(p) => Some(format!(
            "panic {:?}",
            p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string()))
        )),
    }
}

#[test]
fn hunt() {
    let seed: u8 = std::env::var("HUNT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let n: u32 = std::env::var("HUNT").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let only = std::env::var("HUNT_ONLY").is_ok();
    std::panic::set_hook(Box::new(|_| {}));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut tried, mut bad) = (0, 0);
    let started = std::time::Instant::now();
    while tried < n {
        let mut case = case().new_tree(&mut runner).expect("a case").current();
        if only && !(case.machine.device.tlb.is_on() && case.machine.switches.are_on()) {
            continue;
        }
        tried += 1;
        if std::env::var("HUNT_AT").is_ok_and(|at| at.parse::<u32>().unwrap() != tried) {
            continue;
        }
        if std::env::var("HUNT_AT").is_ok() {
            let o = run(&case, 16);
            eprintln!(
                "switches {} {} slot {} gap {} every {}",
                o.summary.switches,
                o.summary.switches_aborted,
                case.machine.device.slot_ns,
                case.machine.switches.gap_us,
                case.machine.switches.every_us
            );
        }
        let batches = [1, 3 + tried % 37, 2048];
        let Some(first) = verdict(&case, &batches) else { continue };
        bad += 1;
        eprintln!("#### case {tried}: {first}");
        if bad > 3 {
            panic!("{bad} bad");
        }
        // Shrink.
        let mut changed = true;
        while changed {
            changed = false;
            for vf in 0..case.traffic.len() {
                let mut at = 0;
                while at < case.traffic[vf].len() {
                    let mut less = case.clone();
                    less.traffic[vf].remove(at);
                    if verdict(&less, &batches).is_some() {
                        case = less;
                        changed = true;
                    } else {
                        at += 1;
                    }
                }
            }
            let mut at = 0;
            while at < case.machine.switches.list.len() && case.machine.switches.list.len() > 1 {
                let mut less = case.clone();
                less.machine.switches.list.remove(at);
                if verdict(&less, &batches).is_some() {
                    case = less;
                    changed = true;
                } else {
                    at += 1;
                }
            }
            for edit in [
                |c: &mut Case| c.attribution = false,
                |c: &mut Case| c.miss_causes = false,
                |c: &mut Case| c.packet_dmas = 1,
                |c: &mut Case| c.warm_up_ps = 0,
                |c: &mut Case| c.machine.device.slot_ns = 0.0,
                |c: &mut Case| c.machine.device.outstanding = 0,
                |c: &mut Case| c.machine.device.read_tags = 64,
                |c: &mut Case| c.machine.link.flow_credits = 64,
                |c: &mut Case| c.machine.device.max_read_mops = 0.0,
                |c: &mut Case| c.machine.device.max_write_mops = 0.0,
                |c: &mut Case| c.machine.silence.skip.clear(),
                |c: &mut Case| c.machine.scheduler.vf_queue_entries = 64,
                |c: &mut Case| c.machine.device.tlb.pending = 64,
                |c: &mut Case| c.machine.iommu.walkers.queue_entries = 64,
                |c: &mut Case| c.machine.device.retire = portcullis_engine::link::Retire::OutOfOrder,
                |c: &mut Case| c.machine.device.write_order = portcullis_engine::link::WriteOrder::Relaxed,
                |c: &mut Case| c.loops.fill(None),
            ] {
                let mut less = case.clone();
                edit(&mut less);
                if format!("{less:?}") != format!("{case:?}") && verdict(&less, &batches).is_some() {
                    case = less;
                    changed = true;
                }
            }
        }
        if std::env::var("HUNT_DBG").is_ok() {
            unsafe { std::env::set_var("DBG", "1") };
            let _ =
                std::panic::catch_unwind(|| run(&case, std::env::var("HUNT_DBG").unwrap().parse().unwrap()));
            panic!("done");
        }
        eprintln!("shrunk: {:?}\n{case:#?}", verdict(&case, &batches));
    }
    eprintln!("{tried} cases, {bad} bad, {:?}", started.elapsed());
    assert_eq!(bad, 0);
}

#[test]
fn new_rules() {
    use crate::reference::Rule;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut unfound = Rule::ALL[113..].to_vec();
    let n: u32 = std::env::var("HUNT").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for tried in 1..=n {
        let case = case().new_tree(&mut runner).expect("a case").current();
        if !(case.machine.device.tlb.is_on() && case.machine.switches.are_on()) {
            continue;
        }
        let outcome = run(&case, 16);
        assert_eq!(difference(&case, &outcome, &reference(&case, None)), None);
        unfound.retain(|rule| {
            let found =
                std::panic::catch_unwind(|| difference(&case, &outcome, &reference(&case, Some(*rule))))
                    .map_or_else(|_| Some("PANIC".to_owned()), |d| d);
            if let Some(found) = &found {
                eprintln!("{tried}: {rule:?} {}", found.chars().take(90).collect::<String>());
            }
            found.is_none()
        });
        if unfound.is_empty() {
            return;
        }
    }
    eprintln!("unfound: {unfound:?}");
}
