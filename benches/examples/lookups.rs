//! Look-ups for other cache simulators, and what the engine makes of them. `benches/tables/` runs both.
//!
//! - `lookups dump FILE COUNT`: writes the look-ups of dense-1024, Zipf's law over 1,024 tenants of 4,096 pages each, in the
//!   order in which they reach the IOMMU, as libCacheSim's `oracleGeneral`;
//! - `lookups ARM FILE ENTRIES`: sends a file through an empty cache of so many entries, once, and prints look-ups, misses and
//!   the seconds that took, reading the file aside, as JSON. Arms: `iotlb`, the engine's IOTLB alone, fully associative, LRU;
//!   `iotlb-8-ways`, the same in sets of 8, indexed by hash; `iotlb-fifo`, fully associative, FIFO; `replay`, fully associative,
//!   LRU, every look-up a DMA; `lru-crate`, the cache of that crate.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use portcullis_benches::captured::Captured;
use portcullis_benches::cases::endless_plan;
use portcullis_benches::lookups::{
    Arm, FULL, Lookup, LruCrateArm, RECORD_BYTES, ReplayArm, fifo_arm, lru_arm, record, records,
};
use portcullis_engine::ids::Iova;
use portcullis_engine::translation::Ways;

const USAGE: &str = "usage: lookups dump FILE COUNT | lookups ARM FILE ENTRIES";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, file, number] = arguments.as_slice() else { panic!("{USAGE}") };
    let number: u32 = number.parse().expect(USAGE);
    if what == "dump" {
        dump(file, number);
        return;
    }
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let records = records(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    match what.as_str() {
        "iotlb" => measure(lru_arm(number, FULL), records),
        "iotlb-8-ways" => measure(lru_arm(number, Ways::Count(8)), records),
        "iotlb-fifo" => measure(fifo_arm(number), records),
        "replay" => measure(ReplayArm::new(number, FULL, records), records),
        "lru-crate" => measure(LruCrateArm::new(number), records),
        _ => panic!("{USAGE}"),
    }
}

fn dump(file: &str, count: u32) {
    let columns = Captured::new(&endless_plan("dense-1024", &[]), count as usize).columns;
    let mut output = BufWriter::new(File::create(file).unwrap_or_else(|error| panic!("{file}: {error}")));
    for (tenant, iova) in columns.tenant.iter().zip(&columns.iova).take(count as usize) {
        let written = output.write_all(&record(Lookup::object(*tenant, Iova(*iova))));
        written.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    output.flush().unwrap_or_else(|error| panic!("{file}: {error}"));
}

fn measure(mut arm: impl Arm, records: &[[u8; RECORD_BYTES]]) {
    let start = Instant::now();
    arm.look_up(records);
    let seconds = start.elapsed().as_secs_f64();
    println!(r#"{{"lookups": {}, "misses": {}, "seconds": {seconds}}}"#, records.len(), arm.misses());
}
