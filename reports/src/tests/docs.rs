//! `docs/schema.md` says what the row types say.

use std::{env, fs};

use crate::{Extras, run_tables, schema_markdown};

use super::repository;

const BEGIN: &str = "<!-- generated from the row types; `UPDATE_DOCS=1 cargo test --release --workspace --locked schema_md` rewrites it -->\n";
const END: &str = "<!-- end of the generated part -->\n";

#[test]
fn schema_md_is_up_to_date() {
    let path = repository("docs/schema.md");
    let text = fs::read_to_string(&path).expect("docs/schema.md");
    let (before, rest) = text.split_once(BEGIN).expect("the begin mark");
    let (_, after) = rest.split_once(END).expect("the end mark");
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", schema_markdown());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &fresh).expect("docs/schema.md is writable");
    } else {
        assert!(
            text == fresh,
            "docs/schema.md is out of date: run \
             `UPDATE_DOCS=1 cargo test --release --workspace --locked schema_md` and commit it"
        );
    }
}

#[test]
fn every_column_is_described_with_its_type_and_unit() {
    let text = schema_markdown();
    for table in run_tables(Extras::ALL) {
        for field in table.fields {
            assert!(text.contains(&format!("| `{}` |", field.name)), "{}", field.name);
            assert!(!field.meaning.trim().is_empty(), "{}", field.name);
        }
    }
    for line in [
        "| `wall_dma_per_s` | Float64 | 1/s |",
        "| `wall_build_s` | Float64 | s |",
        "| `fault_iova` | UInt64, may be null | address |",
        "| `fault` | String, may be null |  |",
        "| `read_gbps` | Float64 | Gb/s |",
        "| `latency_p99_ns` | UInt64 | ns |",
        "| `intended_ps` | UInt64 | ps |",
        "| `fault_overflow` | Boolean |  |",
        "| `host` | UInt32 |  |",
        "| `hosts` | UInt32 | count |",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
