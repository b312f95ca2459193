//! Random replays: the engine equals the reference; its mapping entities equal its page tables;
//! nothing depends on how a trace is cut; and the comparison finds every rule that is broken.

use std::collections::BTreeSet;

use portcullis_engine::domain::{Domain, Leaf, Mapping, PageTable};
use portcullis_engine::replay::Replay;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::plain_iotlb::POLICIES;
use crate::random::{Case, case};
use crate::reference::{Reference, Rule};
use crate::trace::{Fed, Results, batches, column, replay};

/// Cases a property is tried on: `PORTCULLIS_CASES`, or a number that takes seconds.
fn cases() -> u32 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

/// What the reference says of a case, with one rule broken or none.
fn reference(case: &Case, broken: Option<Rule>) -> Results {
    let mut reference = Reference::new(&case.plan, broken);
    case.events.iter().for_each(|event| reference.apply(event));
    reference.finish()
}

/// The first difference between what the engine and the reference left, in words.
fn difference(case: &Case, here: &Results, there: &Results) -> Option<String> {
    for (here, there) in [(&here.requests, &there.requests), (&here.refused, &there.refused)] {
        if here.len() != there.len() {
            return Some(format!("{}: reference {} rows, engine {}", here.name, there.len(), here.len()));
        }
        for field in here.fields {
            let (here_cells, there_cells) = (column(here, field.name), column(there, field.name));
            if here_cells != there_cells {
                let cells = format!("reference {there_cells:?}, engine {here_cells:?}");
                return Some(format!("{} of {}: {cells}; events {:?}", field.name, here.name, case.events));
            }
        }
    }
    (here.summary != there.summary)
        .then(|| format!("reference {:?}, engine {:?}", there.summary, here.summary))
}

/// Leaves in an order of their own, each with its domain's number, and the mappings of the same.
type Known = (u32, u64, u64, u64, u8);

fn known(domain: u32, leaf: &Leaf) -> Known {
    (domain, leaf.base.0, 1, leaf.size.bytes(), leaf.permissions as u8)
}

/// What the mapping entities hold, and what the page tables hold; nothing may be there twice.
fn mappings_and_leaves(replay: &mut Replay) -> (BTreeSet<Known>, Vec<(u32, Leaf)>) {
    let world = replay.world_mut();
    let mappings: Vec<Mapping> = world.query::<&Mapping>().iter(world).copied().collect();
    let mapped: BTreeSet<Known> = mappings
        .iter()
        .map(|mapping| {
            let domain = world.get::<Domain>(mapping.domain).expect("a mapping belongs to a domain").id.0;
            (domain, mapping.iova.0, mapping.pages, mapping.page_size.bytes(), mapping.permissions as u8)
        })
        .collect();
    assert_eq!(mapped.len(), mappings.len(), "no mapping is there twice");
    let mut leaves: Vec<(u32, Leaf)> = world
        .query::<(&Domain, &PageTable)>()
        .iter(world)
        .flat_map(|(domain, table)| table.iter().map(|leaf| (domain.id.0, leaf)))
        .collect();
    leaves.sort_by_key(|(domain, leaf)| (*domain, leaf.base));
    (mapped, leaves)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_equals_the_reference(case in case()) {
        let here = replay(&case.plan, &case.events, &case.cuts);
        prop_assert_eq!(difference(&case, &here, &reference(&case, None)), None);
    }

    #[test]
    fn mappings_equal_leaves_at_the_end_of_every_batch(case in case()) {
        let mut fed = Fed::new(&case.plan);
        let mut reference = Reference::new(&case.plan, None);
        for batch in batches(&case.events, &case.cuts) {
            fed.replay.apply(batch);
            batch.iter().for_each(|event| reference.apply(event));
            let (mappings, leaves) = mappings_and_leaves(&mut fed.replay);
            let of_leaves: BTreeSet<Known> = leaves.iter().map(|(domain, leaf)| known(*domain, leaf)).collect();
            prop_assert_eq!(&mappings, &of_leaves);
            prop_assert_eq!(leaves, reference.leaves());
        }
    }

    #[test]
    fn tables_depend_on_nothing_but_the_trace(case in case()) {
        let once = replay(&case.plan, &case.events, &case.cuts);
        prop_assert_eq!(&once, &replay(&case.plan, &case.events, &case.cuts));
        prop_assert_eq!(&once, &replay(&case.plan, &case.events, &[]));
        // Rows that nobody takes while the replay goes are there at its end.
        let mut late = Fed::new(&case.plan);
        batches(&case.events, &case.cuts).into_iter().for_each(|batch| late.replay.apply(batch));
        prop_assert_eq!(&once, &late.finish());
    }
}

/// Random cases, the same ones each time.
fn fixed_cases() -> impl Iterator<Item = Case> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    core::iter::from_fn(move || Some(case().new_tree(&mut runner).expect("a case").current()))
}

#[test]
fn every_broken_rule_is_found() {
    let mut unfound = Rule::ALL.to_vec();
    for case in fixed_cases().take(1_000) {
        let here = replay(&case.plan, &case.events, &case.cuts);
        assert_eq!(difference(&case, &here, &reference(&case, None)), None);
        unfound.retain(|rule| difference(&case, &here, &reference(&case, Some(*rule))).is_none());
        if unfound.is_empty() {
            return;
        }
    }
    panic!("not found: {unfound:?}");
}

/// A comparison proves nothing of what its cases never reach.
#[test]
fn random_traces_reach_every_corner() {
    let mut reached = BTreeSet::new();
    for case in fixed_cases().take(300) {
        let results = reference(&case, None);
        let summary = &results.summary;
        let wide = if case.plan.iotlb.ways() > 16 { "wide" } else { "narrow" };
        let corners = [
            ("evictions", summary.iotlb_evictions),
            ("invalidated", summary.iotlb_invalidated),
            ("stale", summary.stale_total),
            ("hits", summary.iotlb_hits),
            ("no_context", summary.blocked_no_context),
            ("bad_length", summary.blocked_bad_length),
            ("address_overflow", summary.blocked_address_overflow),
            ("not_mapped", summary.blocked_not_mapped),
            ("no_permission", summary.blocked_no_permission),
        ];
        let policy = case.plan.iotlb.replacement;
        for (corner, count) in corners {
            if count > 0 {
                reached.insert(format!("{wide} {policy:?} {corner}"));
            }
        }
        let reasons = format!("{:?}", column(&results.refused, "reason"));
        for reason in ["overlap", "misaligned", "not_a_leaf", "not_attached"] {
            if reasons.contains(reason) {
                reached.insert(reason.to_owned());
            }
        }
    }
    assert_eq!(reached.len(), 2 * POLICIES.len() * 9 + 4, "{reached:#?}");
}
