//! What translation costs with an object a thing, as simulators are often written: requests behind a
//! trait, tenants that own a hash map of pages, sets that are lists of boxed entries.
//!
//! Hits, misses and addresses are those of the bare loop; only the layout differs.

use std::collections::{HashMap, VecDeque};

use portcullis_engine::domain::PageTable;
use portcullis_engine::ids::Iova;

use crate::bare_loop::{WAYS, set_of};
use crate::captured::Requests;

/// A request, whatever kind it is.
trait Request {
    fn tenant(&self) -> u16;
    fn iova(&self) -> u64;
    fn complete(&mut self, physical: u64);
    fn physical(&self) -> u64;
}

struct DmaRequest {
    tenant: u16,
    iova: u64,
    physical: u64,
}

impl Request for DmaRequest {
    fn tenant(&self) -> u16 {
        self.tenant
    }
    fn iova(&self) -> u64 {
        self.iova
    }
    fn complete(&mut self, physical: u64) {
        self.physical = physical;
    }
    fn physical(&self) -> u64 {
        self.physical
    }
}

/// A tenant with its page table.
struct Tenant {
    frames: HashMap<u64, u64>,
}

/// A cached translation.
struct Entry {
    tenant: u16,
    page: u64,
    frame: u64,
}

/// Tenants, and an IOTLB whose sets are lists with the youngest entry in front.
pub struct BoxedObjects {
    tenants: HashMap<u16, Box<Tenant>>,
    sets: Vec<VecDeque<Box<Entry>>>,
}

impl BoxedObjects {
    /// An empty IOTLB of `sets` sets, over every page of every tenant.
    ///
    /// # Panics
    /// If there are 2^16 tenants or more.
    #[must_use]
    pub fn new(sets: u32, tables: &[PageTable]) -> Self {
        let tenant = |table: &PageTable| {
            let frames = table.iter().map(|leaf| (leaf.base.0 >> 12, leaf.target.0)).collect();
            Box::new(Tenant { frames })
        };
        let number = |number: usize| u16::try_from(number).expect("few tenants");
        Self {
            tenants: tables.iter().enumerate().map(|(at, table)| (number(at), tenant(table))).collect(),
            sets: (0..sets).map(|_| VecDeque::new()).collect(),
        }
    }

    /// Translates the requests in order, one physical address each, appended to `addresses`; returns how
    /// many hit.
    pub fn translate(&mut self, requests: Requests<'_>, addresses: &mut Vec<u64>) -> u64 {
        let rows = requests.tenant.iter().zip(requests.iova);
        let mut objects: Vec<Box<dyn Request>> = rows
            .map(|(&tenant, &iova)| Box::new(DmaRequest { tenant, iova, physical: 0 }) as Box<dyn Request>)
            .collect();
        let mut hits = 0;
        for request in &mut objects {
            let (frame, hit) = self.look_up(request.tenant(), request.iova());
            hits += u64::from(hit);
            let physical = frame | (request.iova() & 0xFFF);
            request.complete(physical);
        }
        addresses.extend(objects.iter().map(|request| request.physical()));
        hits
    }

    /// The frame of a page, and whether it was cached; it is afterwards.
    fn look_up(&mut self, tenant: u16, iova: u64) -> (u64, bool) {
        let page = iova >> 12;
        let at = set_of(tenant, Iova(iova), self.sets.len() as u32);
        let set = &mut self.sets[at as usize];
        if let Some(way) = set.iter().position(|entry| entry.tenant == tenant && entry.page == page) {
            let entry = set.remove(way).expect("just found");
            let frame = entry.frame;
            set.push_front(entry);
            return (frame, true);
        }
        let frame = self.tenants[&tenant].frames[&page];
        if set.len() == WAYS {
            set.pop_back();
        }
        set.push_front(Box::new(Entry { tenant, page, frame }));
        (frame, false)
    }
}
