//! Bug checks: a host that a fault or a hang ends, for good or until it has rebooted.
//!
//! A DMA that is blocked may be the host's end, as its policy says ([`HostSpec`]); so may hangs, if there are too many, and a driver that
//! does not return. From then on nothing is looked up, and whatever
//! is not over is lost: each request that was intended before the host is back and would complete after it went down is aborted
//! ([`Crashes::aborts`]). Sources, links and schedulers of switches go on as if nothing had happened: what they offer to a host
//! that is down is lost load. Caches are empty when it is back. Since a request may complete long after it was looked up, it
//! is booked only when look-ups have come as far ([`hold_back`]): then it is known whether its host was up.

mod components;
mod spec;
mod systems;

pub use components::*;
pub use spec::*;
pub use systems::*;
