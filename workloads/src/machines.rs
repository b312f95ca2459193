//! The machines that come with Portcullis: what measurements say of real ones, as data.

/// A machine that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Its text, comments included.
    pub toml: &'static str,
}

macro_rules! machines {
    ($($name:literal: $description:literal),+ $(,)?) => {
        &[$(Machine {
            name: $name,
            description: $description,
            toml: include_str!(concat!("../machines/", $name, ".toml")),
        }),+]
    };
}

/// Names and descriptions stand here a second time so that a list needs no parsing; a test holds them
/// against the texts.
static MACHINES: &[Machine] = machines! {
    "broadwell": "Xeon E5-2630 v4 with a Gen3 x8 device, as pcie-bench measured it",
    "haswell": "Xeon E5-2620 v3 with a Gen3 x8 device, as pcie-bench measured it",
    "cascade-lake": "Cascade Lake Xeon with a 100 Gb/s NIC, as Fast & Safe IO Memory Protection measured it",
    "generic-gen4": "A server with a Gen4 x16 device; modelled",
    "generic-gen5": "A server with a Gen5 x16 device; modelled",
};

/// What every machine has that does not say otherwise.
pub(crate) static ANY_MACHINE: Machine = Machine {
    name: "any machine",
    description: "What every machine has that does not say otherwise",
    toml: include_str!("../machines/any.toml"),
};

/// Every machine that is built in, in the order in which they are listed.
#[must_use]
pub fn machines() -> &'static [Machine] {
    MACHINES
}

/// The built-in machine called `name`.
#[must_use]
pub fn machine(name: &str) -> Option<&'static Machine> {
    MACHINES.iter().find(|machine| machine.name == name)
}
