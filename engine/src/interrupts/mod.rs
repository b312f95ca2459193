//! Message-signalled interrupts that devices raise: for completions, and for vertical syncs.
//!
//! An MSI is a posted write to the interrupt range. It is exempt from silence and from translation, is counted, and takes
//! no time on the link. Inside exclusive windows (`silence`) the driver may mask interrupts: what is raised then is held until the
//! end of the window, and each source writes once for all of it. Everything is counted from times of completions and
//! windows, so that it depends on nothing else. Invariant: an MSI is counted once its time and the windows around it are known.

mod components;
mod spec;
mod systems;
#[cfg(test)]
mod tests;

pub use components::*;
pub use spec::*;
pub use systems::*;
