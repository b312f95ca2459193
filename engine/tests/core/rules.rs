//! The comparison finds every rule that is broken: otherwise it proves nothing of that rule.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::case::case;
use crate::engine::run;
use crate::equality::{difference, reference};
use crate::reference::Rule;

#[test]
fn every_broken_rule_is_found() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut unfound = Rule::ALL.to_vec();
    let mut tried = 0;
    while !unfound.is_empty() {
        assert!(tried < 8_000, "not found in {tried} cases: {unfound:?}");
        tried += 1;
        let case = case().new_tree(&mut runner).expect("a case").current();
        let outcome = run(&case, 16);
        assert_eq!(difference(&case, &outcome, &reference(&case, None)), None);
        unfound.retain(|rule| difference(&case, &outcome, &reference(&case, Some(*rule))).is_none());
    }
}
