//! What completed of each VF in each window: a pass of its own, and only where it is asked for.

use bevy_ecs::component::Component;

use super::components::{Over, Window};
use crate::units::Picoseconds;

/// What completed of one VF in one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantWindow {
    /// The window.
    pub number: u64,
    /// The VF, by its index within the host.
    pub vf: u32,
    /// What completed.
    pub window: Window,
}

/// The windows of each VF that are still open and in which something of it completed, on the host.
///
/// Each VF has one at hand, in which most of what completes of it next falls. One that it turns away from is put
/// away: at most one a DMA until the windows are closed the next time, and from then on one a VF and open window.
#[derive(Component, Clone, Debug, Default)]
pub struct TenantWindows {
    length: Picoseconds,
    /// The window each VF used last; none where they are not asked for.
    current: Vec<Current>,
    /// Those put away, in any order; a VF may have several of one window.
    put_away: Vec<TenantWindow>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Current {
    number: u64,
    start: Picoseconds,
    window: Window,
}

impl TenantWindows {
    /// Windows of `length` for `vfs` VFs, 0 where they are not asked for.
    #[must_use]
    pub fn new(length: Picoseconds, vfs: u32) -> Self {
        Self { length, current: vec![Current::default(); vfs as usize], put_away: Vec::new() }
    }

    /// Whether they are asked for.
    #[inline]
    #[must_use]
    pub fn are_on(&self) -> bool {
        !self.current.is_empty()
    }

    /// Counts a request of a VF.
    #[inline]
    pub fn count(&mut self, vf: u32, over: &Over, translated: bool) {
        let current = &mut self.current[vf as usize];
        if over.end.0.wrapping_sub(current.start.0) >= self.length.0 {
            turn_to(current, vf, over.end, self.length, &mut self.put_away);
        }
        current.window.add(over, translated);
    }

    /// Takes every window that ends at or before `until` and in which something of a VF completed, in the order of
    /// windows and VFs.
    pub fn close_until(&mut self, until: Picoseconds) -> Vec<TenantWindow> {
        if !self.are_on() {
            return Vec::new();
        }
        let first_open = until.0 / self.length.0;
        for (current, vf) in self.current.iter_mut().zip(0..) {
            if current.number < first_open {
                put_away(current, vf, &mut self.put_away);
            }
        }
        self.put_away.sort_by_key(|one| (one.number, one.vf));
        self.put_away.dedup_by(|next, one| {
            let same = (next.number, next.vf) == (one.number, one.vf);
            if same {
                one.window.merge(&next.window);
            }
            same
        });
        let closed = self.put_away.partition_point(|one| one.number < first_open);
        self.put_away.drain(..closed).collect()
    }
}

#[cold]
#[inline(never)]
fn turn_to(
    current: &mut Current,
    vf: u32,
    time: Picoseconds,
    length: Picoseconds,
    away: &mut Vec<TenantWindow>,
) {
    put_away(current, vf, away);
    let number = time.0 / length.0;
    *current = Current { number, start: Picoseconds(number * length.0), window: Window::default() };
}

/// Puts the current window of a VF among the others, if anything completed in it, and empties it.
fn put_away(current: &mut Current, vf: u32, away: &mut Vec<TenantWindow>) {
    let window = core::mem::take(&mut current.window);
    if window.translated + window.blocked > 0 {
        away.push(TenantWindow { number: current.number, vf, window });
    }
}
