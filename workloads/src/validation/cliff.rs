//! Section 6: the cliff of many tenants on a device's own TLB (HyperTRIO's workload, as HyperSIO runs it).
//!
//! What is expected is computed anew by a plain model of the published description: slots, a list of recently used
//! pages, and nothing else of the engine.

use std::collections::{BTreeSet, VecDeque};

use super::check::scenario;
use super::{Basis, Check, Figure, Reference, Section, Tolerance};

const SCENARIO: &str = include_str!("../../scenarios/multi-tenant-cliff.toml");

/// Tenants: far below the cliff, at its edge, behind it, and far behind.
const TENANTS: [usize; 9] = [4, 16, 21, 22, 23, 32, 48, 64, 256];

/// Entries of the TLB, and pages that each tenant uses at a time.
const ENTRIES: usize = 64;
const PAGES: usize = 3;
const PACKETS: usize = 60_000;
const PACKET_BITS: f64 = 1_542.0 * 8.0;
/// Times in ns: a slot, the link one way, a walk to a small and to a large page, a hit.
const SLOT: u64 = 61;
const LINK: u64 = 450;
const WALKS: [u64; PAGES] = [50, 100, 50];
const HIT: u64 = 2;
/// Packets of a tenant that go to one of its large pages before they go to the next of 32.
const PACKETS_PER_PAGE: usize = 1_500;

pub(super) fn checks() -> Vec<Check> {
    let of_pending = |pending: usize| TENANTS.into_iter().map(move |tenants| bandwidth(tenants, pending));
    of_pending(1).chain([all_miss()]).chain(of_pending(32)).collect()
}

/// A row: the bandwidth of so many tenants, with so many translations under way when a packet is accepted.
fn bandwidth(tenants: usize, pending: usize) -> Check {
    let fits = if PAGES * tenants <= ENTRIES { "fit" } else { "do not fit" };
    Check {
        section: Section::Cliff,
        what: format!("{tenants} tenants, whose pages {fits}, {pending} pending: a plain model"),
        reference: Reference::Theory,
        expected: plain_model(tenants, pending),
        tolerance: Tolerance::Relative(0.005),
        basis: Basis::Predicted,
        figure: Figure::Packets(PAGES as u32, PACKET_BITS),
        runs: vec![run(tenants, pending)],
        known_miss: None,
    }
}

/// Every translation of a packet misses: it takes a walk to a large page and the link both ways, in whole slots.
fn all_miss() -> Check {
    let slots = (HIT + 2 * LINK + WALKS[1]).div_ceil(SLOT);
    Check {
        what: String::from("64 tenants, 1 pending: a packet takes 17 slots"),
        expected: PACKET_BITS / (slots * SLOT) as f64,
        ..bandwidth(64, 1)
    }
}

/// The published link takes no time for a byte: ours carries one of the payload.
fn run(tenants: usize, pending: usize) -> crate::Scenario {
    scenario(
        SCENARIO,
        &[
            format!("topology.vfs_per_adapter={tenants}"),
            format!("device.tlb.pending={pending}"),
            String::from("tenants.guests.packet.1.bytes=1"),
        ],
    )
}

/// A tenant's page, by both their numbers.
type Page = (usize, usize);

/// When a translation ends, which it is, and the page that it brings.
type Translation = (u64, usize, Option<Page>);

/// Gb/s of the tenants' packets in strict turn, slot after slot.
fn plain_model(tenants: usize, pending: usize) -> f64 {
    let mut recent: VecDeque<Page> = VecDeque::new();
    let mut under_way: BTreeSet<Translation> = BTreeSet::new();
    let (mut accepted, mut started, mut now) = (0, 0, 0);
    while accepted < PACKETS {
        while let Some(&(end, number, page)) = under_way.first().filter(|(end, ..)| *end <= now) {
            under_way.remove(&(end, number, page));
            if let Some(page) = page.filter(|page| !recent.contains(page)) {
                recent.push_back(page);
                if recent.len() > ENTRIES {
                    recent.pop_front();
                }
            }
        }
        if under_way.len() < pending {
            let (tenant, packet) = (accepted % tenants, accepted / tenants);
            for (which, walk) in WALKS.into_iter().enumerate() {
                let page = (tenant, if which == 1 { PAGES + packet / PACKETS_PER_PAGE % 32 } else { which });
                let there = recent.iter().position(|recent| *recent == page);
                if let Some(at) = there {
                    recent.remove(at);
                    recent.push_back(page);
                }
                let ends = now + HIT + if there.is_some() { 0 } else { 2 * LINK + walk };
                under_way.insert((ends, started, there.is_none().then_some(page)));
                started += 1;
            }
            accepted += 1;
        }
        now += SLOT;
    }
    let last = under_way.last().map_or(0, |(end, ..)| *end);
    PACKETS as f64 * PACKET_BITS / now.max(last) as f64
}
