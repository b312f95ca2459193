//! Building the plan.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_engine::admission::AttachError;
use portcullis_engine::device_tlb::AtsPlan;
use portcullis_engine::escape::KnownEscapes;
use portcullis_engine::ids::{HostIndex, Iova, VfIndex};
use portcullis_engine::invalidation::StreamingPlan;
use portcullis_engine::plan::{BufferPlan, HostClass, RunPlan, TenantPlan, VmPlan};
use portcullis_engine::request::Transfer;
use portcullis_engine::traffic::{Silent, Source};
use portcullis_engine::units::Picoseconds;

use super::{ClassRate, HostGroup, Quotas, Shares};
use crate::scenario::{
    Aim, ArrivalKind, ArrivalsSpec, ClassMemory, Durations, EscapesSpec, PacketDma, PatternKind, Scenario,
    TenantClass, nearest,
};
use crate::source::{
    AliasTable, Arrivals, Clients, EscapeTables, Layout, Limit, PacketPart, PacketSource, Pattern, Stream,
    StreamRng, TenantEscapes, TenantSource, Think, Transfers, VmIdentity, When, permutation, stream,
    zipf_table,
};

impl Scenario {
    /// What the engine runs. The scenario must be valid, as [`Scenario::parse`] returns it.
    ///
    /// Requests are not logged; whoever wants that sets `log_requests` in the plan.
    ///
    /// # Panics
    /// If [`Scenario::validate`] would return an error.
    #[must_use]
    pub fn plan(&self) -> RunPlan {
        let groups = self.host_groups();
        let total_hz = self.total_hz();
        let duration = self.duration_us.map(us_to_ps);
        let expected_ps = |requests: u64| Picoseconds((requests as f64 / total_hz * 1e12 + 0.5) as u64);
        let expected_requests = self.expected_requests();
        let expected_of = |group: &HostGroup| match groups.len() {
            1 => expected_requests,
            _ => (expected_requests as f64 * (group.total_hz() / total_hz) + 0.5) as u64,
        };
        let host_classes = groups.iter().map(|group| HostClass {
            name: group.name.clone(),
            machine: group.machine.clone(),
            expected_requests: expected_of(group),
        });
        let host_classes = host_classes.collect();
        let expected_duration = duration.unwrap_or_else(|| expected_ps(expected_requests));
        let fleet = Fleet::new(self, &groups, expected_duration);
        RunPlan {
            name: self.name.clone(),
            seed: self.seed,
            host_classes,
            batch: self.engine.clone(),
            audit: self.audit,
            sabotage: self.sabotage,
            report: self.report.clone(),
            log_requests: false,
            classes: self.tenants.iter().map(|class| class.name.clone()).collect(),
            shares: self.class_shares(),
            tenants: Box::new(move |host, vf| fleet.tenant(host, vf)),
            expected_requests,
            expected_duration,
            warm_up: us_to_ps(self.warmup_us),
        }
    }
}

impl Scenario {
    /// The same without the classes of tenants of these indices: their VFs are there, with their memory, and intend
    /// nothing. Those of the other classes intend what they do in [`Self::plan`].
    ///
    /// # Panics
    /// If the scenario is not valid, or all its classes are left out.
    #[must_use]
    pub fn plan_without(&self, silent: &[u32]) -> RunPlan {
        let plan = self.plan();
        let (tenants, silent) = (plan.tenants, silent.to_vec());
        let of_group = |group: &HostGroup| {
            let heard = group.rates.iter().zip(0..).filter(|(_, class)| !silent.contains(class));
            let vf_hz = heard.map(|(rate, _)| f64::from(rate.vfs_per_adapter) * rate.per_vf_hz);
            group.adapters() as f64 * vf_hz.sum::<f64>()
        };
        let heard_hz: f64 = self.host_groups().iter().map(of_group).sum();
        let share = heard_hz / self.total_hz();
        RunPlan {
            tenants: Box::new(move |host, vf| {
                let tenant = tenants(host, vf);
                if !silent.contains(&tenant.class) {
                    return tenant;
                }
                TenantPlan { source: Box::new(Silent), escapes: None, ..tenant }
            }),
            expected_requests: (plan.expected_requests as f64 * share + 0.5) as u64,
            ..plan
        }
    }

    /// The index of a class of tenants.
    ///
    /// # Errors
    /// There is none of this name, in a sentence that suggests the nearest.
    pub fn class_index(&self, name: &str) -> Result<u32, String> {
        let names = || self.tenants.iter().map(|class| class.name.as_str());
        names().zip(0..).find(|(known, _)| *known == name).map(|(_, index)| index).ok_or_else(|| {
            let nearest = nearest(name, names()).unwrap_or_default();
            format!("the scenario {:?} has no tenant class {name:?}; did you mean {nearest:?}?", self.name)
        })
    }

    /// How many DMAs the tenants intend in all, or an estimate where a duration is given.
    ///
    /// # Panics
    /// If neither `requests` nor `duration_us` is given, which no valid scenario does.
    #[must_use]
    pub fn expected_requests(&self) -> u64 {
        let expected = |us: f64| (self.total_hz() * us_to_ps(us).as_seconds_f64() + 0.5) as u64;
        self.requests.or_else(|| self.duration_us.map(expected)).expect("a length is given")
    }
}

fn us_to_ps(us: f64) -> Picoseconds {
    Picoseconds((us * 1e6 + 0.5) as u64)
}

/// All that tenants are made of.
struct Fleet {
    seed: u64,
    groups: Vec<Group>,
    quotas: Option<Quotas>,
    until: Picoseconds,
    /// Escapes are sent before it.
    escapes_until: Picoseconds,
}

/// Hosts that are alike, and what their tenants are made of.
struct Group {
    /// The first of its hosts, and the one behind the last.
    hosts: core::ops::Range<u32>,
    adapters_per_host: u64,
    vfs_per_adapter: u32,
    /// Every class of tenants, whether the hosts carry it or not.
    classes: Vec<Class>,
}

/// A class, with what its VFs share.
struct Class {
    /// Its first VF on every adapter, and how many there are.
    first_vf: u32,
    vfs: u32,
    attached: Result<(), AttachError>,
    obeys_silence: bool,
    ats: AtsPlan,
    /// The class whose buffers its DMAs go to, where that is another.
    aims_at: Option<usize>,
    buffers: Vec<BufferPlan>,
    packet: Arc<[PacketPart]>,
    streaming: Option<StreamingPlan>,
    rate_hz: f64,
    arrivals: ArrivalsSpec,
    pattern: Pattern,
    layout: Layout,
    transfers: Transfers,
    vm: VmPlan,
    escapes: Option<(EscapesSpec, Arc<EscapeTables>)>,
}

impl Fleet {
    fn new(scenario: &Scenario, groups: &[HostGroup], escapes_until: Picoseconds) -> Self {
        let mut tables = Tables { seed: scenario.seed, ..Tables::default() };
        let mut first_host = 0;
        let made = groups.iter().map(|group| {
            let topology = &group.machine.topology;
            let hosts = first_host..first_host + topology.hosts;
            first_host = hosts.end;
            let mut first_vf = 0;
            let mut classes = Vec::with_capacity(group.rates.len());
            for (class, rate) in scenario.tenants.iter().zip(&group.rates) {
                let aim = class.aim(&scenario.tenants, &class.name).expect("a valid scenario");
                let known = group.machine.escape.known_escapes();
                classes.push(Class::new(class, &aim, *rate, first_vf, &known, &mut tables));
                first_vf += rate.vfs_per_adapter;
            }
            assert_eq!(first_vf, topology.vfs_per_adapter, "the counts of the classes add up");
            let (adapters_per_host, vfs_per_adapter) =
                (u64::from(topology.adapters_per_host), topology.vfs_per_adapter);
            Group { hosts, adapters_per_host, vfs_per_adapter, classes }
        });
        let made = made.collect();
        Self {
            seed: scenario.seed,
            groups: made,
            quotas: scenario.requests.map(|requests| Quotas::new(requests, &shares(groups))),
            until: scenario.duration_us.map_or(Picoseconds::MAX, us_to_ps),
            escapes_until,
        }
    }

    fn tenant(&self, host: HostIndex, vf: VfIndex) -> TenantPlan {
        let at = self.groups.partition_point(|group| group.hosts.end <= host.0);
        let group = &self.groups[at];
        let (adapter_of_host, in_adapter) = (vf.0 / group.vfs_per_adapter, vf.0 % group.vfs_per_adapter);
        let index = group.classes.partition_point(|class| class.first_vf + class.vfs <= in_adapter);
        let class = &group.classes[index];
        let adapter =
            u64::from(host.0 - group.hosts.start) * group.adapters_per_host + u64::from(adapter_of_host);
        let ordinal = adapter * u64::from(class.vfs) + u64::from(in_adapter - class.first_vf);
        let share = at * group.classes.len() + index;
        let requests = self.quotas.as_ref().map_or(u64::MAX, |quotas| quotas.of(share, ordinal));
        let limit = Limit { requests, until: self.until };
        let turn = f64::from(in_adapter - class.first_vf) / f64::from(class.vfs);
        let when = class.when(turn, |purpose| stream(self.seed, host, vf, purpose));
        let source: Box<dyn Source> = match when {
            When::Open(arrivals) if !class.packet.is_empty() => {
                Box::new(PacketSource::new(arrivals, Arc::clone(&class.packet), limit))
            }
            when => Box::new(TenantSource::new(
                (self.seed, host, vf),
                when,
                (&class.pattern, class.layout),
                class.transfers.clone(),
                limit,
            )),
        };
        TenantPlan {
            class: index as u32,
            vm: class.vm,
            attached: class.attached,
            obeys_silence: class.obeys_silence,
            aims_at: class.aims_at.map(|target| {
                let target = &group.classes[target];
                VfIndex(
                    vf.0 - in_adapter + target.first_vf + (in_adapter - class.first_vf) % target.vfs.max(1),
                )
            }),
            buffers: if class.streaming.is_some() { Vec::new() } else { class.buffers.clone() },
            streaming: class.streaming.clone(),
            ats: class.ats,
            packet_dmas: class.packet.len().max(1) as u32,
            source,
            escapes: class.escapes.as_ref().map(|(spec, tables)| {
                let stream = |purpose| stream(self.seed, host, vf, purpose);
                let who = VmIdentity { vm: vf.0, adapter: adapter_of_host };
                let tables = Arc::clone(tables);
                let arrivals = escape_arrivals(spec, stream(Stream::EscapeArrivals));
                let rng = stream(Stream::Escapes);
                Box::new(TenantEscapes::new(arrivals, self.escapes_until, rng, tables, who)) as Box<_>
            }),
        }
    }
}

/// When each VM of a class sends escapes.
fn escape_arrivals(spec: &EscapesSpec, rng: StreamRng) -> Arrivals {
    match (spec.on_us, spec.off_us) {
        (Some(on_us), Some(off_us)) => Arrivals::on_off(spec.packets_per_s, on_us, off_us, false, rng),
        _ => Arrivals::poisson(spec.packets_per_s, rng),
    }
}

/// The shares of every class of tenants on hosts of every class, host class by host class.
fn shares(groups: &[HostGroup]) -> Vec<Shares> {
    let of_group = |group: &HostGroup| {
        let adapters = group.adapters();
        let share = move |rate: &ClassRate| Shares {
            vfs: u64::from(rate.vfs_per_adapter) * adapters,
            per_vf_hz: rate.per_vf_hz,
        };
        group.rates.iter().map(share).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

impl Class {
    fn new(
        class: &TenantClass,
        aim: &Aim,
        rate: ClassRate,
        first_vf: u32,
        known: &KnownEscapes,
        tables: &mut Tables,
    ) -> Self {
        let memory = &class.memory;
        let pages = u32::try_from(aim.pages).expect("pages are bounded");
        let iova = Iova(memory.iova);
        Self {
            first_vf,
            vfs: rate.vfs_per_adapter,
            attached: class.attachment(),
            obeys_silence: class.obeys_silence,
            ats: class.ats_plan(),
            buffers: class.memories().iter().map(buffer_of).collect(),
            packet: class.packet.iter().map(part_of).collect(),
            streaming: class.streaming.as_ref().map(|streaming| StreamingPlan {
                buffers: class.arrivals.outstanding.expect(FILLED_IN),
                page_size: memory.page_size,
                iova,
                addresses: memory.pages,
                permissions: memory.permissions,
                unmap_after: Picoseconds::from_ns_f64(streaming.unmap_after_ns),
                poll: Picoseconds::from_ns_f64(streaming.poll_us * 1e3),
                reuse: streaming.iova_reuse,
                late_share: streaming.late_share,
                late_by: streaming.late_by,
            }),
            rate_hz: rate.per_vf_hz,
            arrivals: class.arrivals.clone(),
            pattern: tables.pattern(class, pages),
            aims_at: aim.class,
            layout: Layout {
                base: Iova(aim.iova),
                pages,
                page_size: aim.page_size,
                alignment: class.alignment,
                cross_pages: class.cross_pages,
            },
            transfers: Transfers::new(&class.sizes, class.read_share),
            vm: VmPlan { kind: class.vm.kind, escapes_enabled: class.vm.escapes_enabled },
            escapes: class.escapes.as_ref().map(|spec| {
                let tables = EscapeTables::new(spec, known);
                (spec.clone(), Arc::new(tables))
            }),
        }
    }

    /// When a VF sends, that comes after this share of its class's VFs on the adapter. A packet is one arrival.
    fn when(&self, turn: f64, stream: impl Fn(Stream) -> StreamRng) -> When {
        let spec = &self.arrivals;
        let rate_hz = self.rate_hz / self.packet.len().max(1) as f64;
        let rng = stream(Stream::Arrivals);
        let fixed = spec.durations == Some(Durations::Fixed);
        When::Open(match spec.kind {
            ArrivalKind::Constant => Arrivals::constant(rate_hz, rng),
            ArrivalKind::Poisson => Arrivals::poisson(rate_hz, rng),
            ArrivalKind::RoundRobin => Arrivals::in_turn(rate_hz, turn, rng),
            ArrivalKind::OnOff => {
                let (on_us, off_us) = (spec.on_us.expect(FILLED_IN), spec.off_us.expect(FILLED_IN));
                Arrivals::on_off(rate_hz, on_us, off_us, fixed, rng)
            }
            ArrivalKind::Closed => {
                let mean = Picoseconds::from_ns_f64(spec.think_ns.expect(FILLED_IN));
                let clients = spec.outstanding.expect(FILLED_IN);
                let clients = Clients::new(clients, Think { mean, fixed }, stream(Stream::Think));
                return When::Closed(clients);
            }
        })
    }
}

/// A buffer as the engine maps it.
fn buffer_of(memory: &ClassMemory) -> BufferPlan {
    BufferPlan {
        iova: Iova(memory.iova),
        page_size: memory.page_size,
        pages: memory.pages,
        permissions: memory.permissions,
        frames: memory.frames,
        hole_share: memory.hole_share,
    }
}

/// A DMA of a packet as its source emits it.
fn part_of(dma: &PacketDma) -> PacketPart {
    PacketPart {
        base: Iova(dma.iova),
        pages: dma.pages,
        page_bytes: dma.page_size.bytes(),
        packets_per_page: dma.packets_per_page,
        transfer: Transfer { length_bytes: dma.bytes, op: dma.op.op() },
    }
}

/// Tables by what they are made from, so that classes of equal patterns share them.
#[derive(Default)]
struct Tables {
    seed: u64,
    zipf: HashMap<(u32, u64), Arc<AliasTable>>,
    orders: HashMap<u32, Arc<[u32]>>,
}

const FILLED_IN: &str = "parsing writes down the keys that a kind uses";

impl Tables {
    fn pattern(&mut self, class: &TenantClass, pages: u32) -> Pattern {
        let (spec, seed) = (&class.pattern, self.seed);
        match spec.kind {
            PatternKind::Ring => Pattern::Ring,
            PatternKind::Uniform => Pattern::Uniform,
            PatternKind::Zipf => {
                let exponent = spec.exponent.expect(FILLED_IN);
                let table = self.zipf.entry((pages, exponent.to_bits()));
                Pattern::Table(Arc::clone(table.or_insert_with(|| zipf_table(seed, pages, exponent))))
            }
            PatternKind::Strided => Pattern::Strided { stride_pages: spec.stride_pages.expect(FILLED_IN) },
            PatternKind::HotCold => Pattern::HotCold {
                order: Arc::clone(
                    self.orders.entry(pages).or_insert_with(|| permutation(seed, pages).into()),
                ),
                hot_pages: spec.hot_pages(u64::from(pages)) as u32,
                hot_access_share: spec.hot_access_share.expect(FILLED_IN),
            },
            PatternKind::Stream => Pattern::Stream { copy_pages: spec.copy_pages.expect(FILLED_IN) as u32 },
        }
    }
}
