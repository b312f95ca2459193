//! Packets of escapes for benches: a class's own, in one piece of memory.

use portcullis_engine::escape::{
    CaptureBuffer, FilterPolicy, Handles, Sender, Verdict, adapter_handle, judge_packet,
};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::topology::VmKind;
use portcullis_workloads::{Override, Scenario};

/// Packets of one VM.
pub struct Packets {
    memory: Vec<u8>,
    /// Where each begins and ends.
    spans: Vec<(u32, u32)>,
    sender: Sender,
    policy: FilterPolicy,
}

const SCENARIO: &str = r#"
name = "packets"
duration_us = 1e6
[topology]
vfs_per_adapter = 1
[[tenants]]
name = "vm"
arrivals = { mops_per_vf = 1.0 }
escapes = { packets_per_s = 1e6 }
"#;

impl Packets {
    /// The first `count` packets of a VM with this mix, as TOML.
    ///
    /// # Panics
    /// If the mix is none.
    #[must_use]
    pub fn new(count: usize, kind: VmKind, mix: &str) -> Self {
        let mix = Override::new("tenants.vm.escapes.mix", mix);
        let sizes = Override::new("tenants.vm.escapes.sizes", "8");
        let scenario = Scenario::parse("packets", SCENARIO, &[mix, sizes]).expect("a scenario");
        let tenant = (scenario.plan().tenants)(HostIndex(0), VfIndex(0));
        let mut source = tenant.escapes.expect("it sends escapes");
        let (mut memory, mut spans) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let begin = memory.len() as u32;
            source.emit(&mut memory);
            spans.push((begin, memory.len() as u32));
        }
        let sender = Sender {
            vm: 0,
            kind,
            escapes_enabled: true,
            adapter: adapter_handle(0),
            handles: Handles::of_vm(0),
        };
        Self { memory, spans, sender, policy: scenario.escape.policy() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Copies, parses and judges each, as the engine does: the verdicts become a column.
    ///
    /// # Panics
    /// If the column is not as long as there are packets.
    pub fn judge(&self, buffer: &mut CaptureBuffer, verdicts: &mut [Verdict]) {
        assert_eq!(verdicts.len(), self.spans.len(), "a verdict a packet");
        for (&(begin, end), verdict) in self.spans.iter().zip(verdicts) {
            let memory = &self.memory[begin as usize..end as usize];
            *verdict = judge_packet(&memory, &self.sender, &self.policy, buffer);
        }
    }
}
