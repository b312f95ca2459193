# Every command a developer uses. Each recipe is one command that works without just.

# Lists the recipes.
default:
    @just --list

# Simulates a scenario: `just run fleet-4096 --set requests=10000000`.
run *arguments:
    cargo run --release -- run {{arguments}}

# Simulates a scenario at many points: `just sweep default --axis iommu.iotlb.entries=256..4096:*2`.
sweep *arguments:
    cargo run --release -- sweep {{arguments}}

# Replays a trace: `just replay tests/fixtures/sriov-small.events.parquet`.
replay *arguments:
    cargo run --release -- replay {{arguments}}

# Every test, in the profile that `run` uses; `just test iotlb` only those with that in their name.
test *filter:
    cargo test --release --workspace --locked {{filter}}

# The tests with many more random cases.
test-long *filter:
    PORTCULLIS_CASES=20000 PROPTEST_CASES=20000 cargo test --release --workspace --locked {{filter}}

# Random and damaged input for a reader: `just fuzz scenario 1000000`; targets: packet, scenario, events_csv, events_parquet.
fuzz target cases='1000000':
    PORTCULLIS_FUZZ_CASES={{cases}} cargo test --release --locked --test fuzz {{target}}

# The engine's and the workloads' tests with debug assertions and overflow checks; no polars.
test-debug *filter:
    cargo test -p portcullis-engine -p portcullis-workloads --locked {{filter}}

# The Python examples of the documents, against reports of the release binary, in a virtual environment.
test-docs:
    cargo build --release --locked
    tests/python/run target/release/portcullis

# The notebooks, against the release binary, in a virtual environment; `just notebooks docs/figures` draws the documents' figures anew.
notebooks *figures:
    cargo build --release --locked
    reports/notebooks/run target/release/portcullis {{figures}}

# Formats every file.
format:
    cargo fmt --all
    rustfmt --edition 2024 engine/src/translation/replacement/*.rs

# What a review would say about form.
lint:
    cargo fmt --all --check
    rustfmt --edition 2024 --check engine/src/translation/replacement/*.rs
    cargo clippy --release --workspace --all-targets --locked -- -D warnings

# The API's documentation, under target/doc.
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --locked

# Measures; `just bench translation` only the benches with that in their name.
bench *filter:
    cargo bench --locked --bench '*' -- {{filter}}

# Runs each bench once, to see that it works.
bench-once:
    cargo bench --locked --bench '*' -- --test

# Measures the tables of docs/performance.md and writes them there, in about ten minutes on a machine that does nothing else;
# `just performance --quick` only sees that it works, `just performance --events FILE` compares caches on a trace of yours.
performance *arguments:
    benches/tables/run {{arguments}}

# Everything that must hold before a change lands.
ci:
    .ci/run
