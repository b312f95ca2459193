//! temp
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use crate::case::{case, Case};
use crate::engine::run;
use crate::equality::{difference, reference};

fn check(case: &Case, batch: u32) -> Option<String> {
    let got = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let outcome = run(case, batch);
        let d = difference(case, &outcome, &reference(case, None));
        if d.is_some() { return d; }
        let o2 = run(case, 2048);
        if o2 != outcome {
            let (a, b) = (format!("{o2:#?}"), format!("{outcome:#?}"));
            let d: Vec<_> = a.lines().zip(b.lines()).enumerate().filter(|(_, (x, y))| x != y).take(6).map(|(n, (x, y))| format!("{n}: {} | {}", x.trim(), y.trim())).collect();
            let name = a.lines().take(a.lines().zip(b.lines()).position(|(x, y)| x != y).unwrap_or(0)).filter(|l| l.contains("name: \"")).last().unwrap_or("").to_owned();
            return Some(format!("batch {name} {} {d:?}", a.lines().count() as i64 - b.lines().count() as i64)); }
        None
    }));
    match got { Ok(d) => d, Err(e) => Some(format!("panic {:?}", e.downcast_ref::<String>().cloned().or(e.downcast_ref::<&str>().map(|s| s.to_string())))) }
}

#[test]
fn hunt() {
    let n: u32 = std::env::var("HUNT").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let seed: u8 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let only = std::env::var("ONLY").is_ok();
    std::panic::set_hook(Box::new(|_| {}));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut fails = 0;
    for at in 0..n {
        let mut tree = case().new_tree(&mut runner).unwrap();
        let c = tree.current();
        if only && !c.machine.switches.are_on() { continue; }
        let batch = [1, 3, 16, 40][at as usize % 4];
        if let Some(mut why) = check(&c, batch).filter(|w| std::env::var("WHY").map_or(true, |x| w.contains(&x))) {
            fails += 1;
            let mut last = c.clone();
            eprintln!("case {at} batch {batch} {:?} {:?} {:?} {:?} reuse {}: {}", c.machine.silence.mode, c.machine.silence.scope, c.machine.silence.skip, c.machine.topology.domain_scope, c.machine.silence.did_reuse, &why[..why.len().min(300)]);
            if fails > 3 { break; }
            if std::env::var("SHRINK").is_err() { continue; }
            let mut steps = 0;
            let mut more = tree.simplify();
            while more && steps < 600 {
                steps += 1;
                let c = tree.current();
                if (!only || c.machine.switches.are_on()) && let Some(w) = check(&c, batch).filter(|w| std::env::var("WHY").map_or(true, |x| w.contains(&x))) { why = w; last = c; more = tree.simplify(); } else { more = tree.complicate(); }
            }
            eprintln!("shrunk: {}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?} {:?} {:?}\n{:#?} {:?} batch {batch}", why, last.machine.topology,last.machine.scheduler, last.machine.link, last.machine.device, last.machine.iommu.iotlb, last.machine.iommu.walkers, (&last.machine.memory, &last.machine.iommu.invalidation), (&last.machine.silence,&last.machine.switches), (&last.traffic,&last.loops,&last.attached,last.warm_up_ps));
            #[allow(unsafe_code)] unsafe { std::env::set_var("DBG", "1"); }
            let _ = check(&last, batch);
            return;
        }
    }
    eprintln!("fails {fails} of {n}");
}
