//! What became of the VMs of a VF.

use bevy_ecs::component::Component;

use super::components::VfLifecycle;
use super::spec::VmEventKind;
use super::states::VfState;
use super::steps::Step;
use crate::silence::Switched;
use crate::units::Picoseconds;

/// The events of a VF's VMs whose switches are over; those of the warm-up are left out.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmBooks {
    /// VMs that started.
    pub starts: u64,
    /// From the times at which they were to start until they ran, summed.
    pub start_ps: u128,
    /// VMs that stopped.
    pub stops: u64,
    /// VMs that moved.
    pub migrations: u64,
    /// From their pauses until they ran again, summed.
    pub blackout_ps: u128,
    /// The longest.
    pub blackout_max: Picoseconds,
}

impl VmBooks {
    /// The domain of a VF was detached, or another attached.
    pub fn add(&mut self, switched: &Switched) {
        match switched.due.step {
            Step::Detach(event) if event.kind == VmEventKind::Stop => self.stops += 1,
            Step::Attach(event) => {
                let took = switched.resumed_at - event.time;
                if event.kind == VmEventKind::Migrate {
                    self.migrations += 1;
                    self.blackout_ps += u128::from(took.0);
                    self.blackout_max = self.blackout_max.max(took);
                } else {
                    self.starts += 1;
                    self.start_ps += u128::from(took.0);
                }
            }
            _ => {}
        }
    }
}

/// The states that a VF went through with a switch of its domain, and when it entered them.
#[must_use]
pub fn states_of(lifecycle: &mut VfLifecycle, switched: &Switched) -> Vec<(Picoseconds, VfState)> {
    match switched.due.step {
        Step::Replace | Step::Hold { .. } => Vec::new(),
        Step::Detach(event) => {
            let mut states = Vec::new();
            let mut resets_at = event.time;
            if event.kind == VmEventKind::Migrate {
                states.extend(lifecycle.go_through([(event.time, VfState::Paused)]));
                resets_at = switched.from;
            }
            states.extend(lifecycle.go_through([
                (resets_at, VfState::Resetting),
                (switched.silent.detached_at, VfState::PoweredDown),
                (switched.invalidated_at, VfState::Destroyed),
            ]));
            states
        }
        Step::Attach(_) => lifecycle
            .go_through([
                (switched.from, VfState::Created),
                (switched.suspended_at, VfState::BusBound),
                (switched.silent.quiet_at, VfState::Resourced),
                (switched.attached_at, VfState::Attached),
                (switched.resumed_at, VfState::Running),
            ])
            .to_vec(),
    }
}
