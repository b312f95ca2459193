//! The scenarios that come with Portcullis.

/// A scenario that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// The question it answers, in one line.
    pub question: &'static str,
    /// Its text, comments included.
    pub toml: &'static str,
}

macro_rules! builtins {
    ($($name:literal: $question:literal),+ $(,)?) => {
        &[$(Builtin {
            name: $name,
            question: $question,
            toml: include_str!(concat!("../scenarios/", $name, ".toml")),
        }),+]
    };
}

/// Names and questions stand here a second time so that a list needs no parsing; a test holds them
/// against the texts.
static BUILTINS: &[Builtin] = builtins! {
    "default": "How do 31 VFs of mixed tenants share one GPU's link, IOTLB and walkers?",
    "gpu-copy-2m": "How close do large copies over 2 MiB pages come to the link's bandwidth?",
    "nic-rings": "What do a map and an unmap a packet cost, and what does it save to defer invalidations?",
    "noisy-neighbour": "What does one tenant that thrashes the IOTLB cost its quiet neighbours?",
    "iotlb-thrash": "Does dividing IOTLB and walkers among classes isolate victims from one that thrashes them?",
    "rogue-vf": "What do hostile DMAs reach, and what do they cost the tenants beside them?",
    "forged-ats": "What does a device reach whose translated requests are believed, and what does it cost not to believe them?",
    "fleet-4096": "How do 4,096 VFs on 64 hosts fare with a hashed IOTLB at 60 % of the link?",
    "dense-1024": "Can one adapter carry 1,024 VFs whose pages far outnumber the IOTLB's entries?",
    "mixed-fleet": "Which hosts of a mixed fleet does translation hold back: dense, training or old ones?",
    "multi-tenant-cliff": "Where does a NIC's own TLB give way as tenants are added, and what repairs it?",
    "secure-vms": "Who gets a GPU, and which escapes does the filter let each kind of VM send to its driver?",
    "escape-flood": "What does a VM that floods the host with escapes cost the others, and how much of it reaches the driver?",
    "switch-storm": "What do VMs that come and go on dense GPUs cost those that stay?",
    "migration": "What does a live migration cost the VM that moves, and its neighbours?",
    "silence-vs-atomic": "What does silence cost an adapter, a VF alone, and nobody where hardware replaces domains at once?",
    "unsafe-switch": "What goes wrong when a domain is switched and steps of the protocol are left out?",
    "time-slices": "What do SR-IOV's queues give over slices of time, in latency and throughput, and what does conserving work save?",
    "window-sweep": "What do IOTLB misses cost a device that touches N pages at random?",
};

/// Every scenario that is built in, in the order in which they are listed.
#[must_use]
pub fn builtins() -> &'static [Builtin] {
    BUILTINS
}

/// The built-in scenario called `name`.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}
