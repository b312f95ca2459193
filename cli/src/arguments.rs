//! The command line's grammar and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use portcullis_reports::sweep::Shard;
use portcullis_workloads::Override;
use portcullis_workloads::validation::Section;

use crate::failure::Failure;

/// Most threads a run may be given.
const THREADS_MAX: usize = 1_024;

/// The program's version and the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PORTCULLIS_COMMIT"), ")");

/// Simulates how hosts isolate the tenants who share their GPUs: every DMA of every virtual
/// function through its IOMMU domain.
#[derive(Debug, Parser)]
#[command(name = "portcullis", bin_name = "portcullis", version = VERSION, after_help = AFTER_HELP)]
#[command(max_term_width = 100, arg_required_else_help = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  portcullis run                                   the default scenario, report under runs/
  portcullis run noisy-neighbour --seed 7          a built-in scenario, other random draws
  portcullis sweep default --axis iommu.iotlb.entries=256..4096:*2
                                                   the same at many points, into one data set
  portcullis replay trace.events.parquet           drive the IOMMU by a recorded trace
  portcullis validate                              theory and measurements beside the simulation
  portcullis scenarios                             which built-in scenarios there are

Exit codes: 0 success, 1 the run failed, 2 bad input, 130 interrupted.";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate a scenario and write a report
    Run(RunArguments),
    /// Simulate a scenario at many points and write a data set
    Sweep(SweepArguments),
    /// Drive the IOMMU by a trace of events and write a report
    Replay(ReplayArguments),
    /// Reproduce closed forms and published measurements, and print them beside the simulation
    Validate(ValidateArguments),
    /// List the built-in scenarios, or print one as TOML
    Scenarios(ScenariosArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Print the manual page
    Man,
}

const RUN_AFTER_HELP: &str = "\
Examples:
  portcullis run
  portcullis run fleet-4096 --set requests=100000000 --threads 2
  portcullis run default --set iommu.iotlb.entries=256 --set iommu.iotlb.ways=full --json
  portcullis run my-scenario.toml --audit off --out results/first
  portcullis run noisy-neighbour --alone           what do the others cost each class?
  portcullis run rogue-vf --without scan           what does one class cost the others?
  portcullis run switch-storm --trace-events t.json  to be drawn by ui.perfetto.dev

A scenario to start from: `portcullis scenarios default`; every key: docs/scenarios.md.";

/// `portcullis run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_AFTER_HELP)]
pub struct RunArguments {
    /// A built-in scenario's name, or the path of a TOML file
    #[arg(default_value = "default")]
    pub scenario: String,

    /// Set a key of the scenario to a value, both as in TOML; may be given several times, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// The seed of every random draw, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Threads to simulate with, 1 to 1024; results do not depend on it [default: all processors]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<usize>,

    /// Which translations an independent owner map judges, instead of the scenario's choice
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub audit: Option<AuditLevel>,

    /// Log every DMA, a row each, to requests.parquet
    #[arg(long)]
    pub log_requests: bool,

    /// Write the timeline also as trace events, for Perfetto and Chrome's tracing, with counters of what waits and is under way,
    /// at 2,000 instants if `report.levels` does not say otherwise; FILE must not exist
    #[arg(long, value_name = "FILE")]
    pub trace_events: Option<PathBuf>,

    /// Simulate also with CLASS alone, the other classes intending nothing, and write its slowdown to
    /// slowdown.parquet; may be given several times; without =CLASS each class in turn
    #[arg(long, value_name = "CLASS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub alone: Vec<String>,

    /// Simulate also without CLASS, which then intends nothing, and write what it costs the other classes to
    /// slowdown.parquet; may be given several times: without all of them at once
    #[arg(long, value_name = "CLASS", conflicts_with = "alone")]
    pub without: Vec<String>,

    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArguments,
}

const SWEEP_AFTER_HELP: &str = "\
Values of an axis: a list (4,8,full), a range that multiplies (16..1024:*2) or adds (0.1..0.9:0.1),
or both mixed (1..8:*2,12,16..64:16); ranges include their end if they meet it.

Examples:
  portcullis sweep default --axis iommu.iotlb.entries=256..4096:*2 --axis iommu.iotlb.ways=4,8,full
  portcullis sweep noisy-neighbour --axis tenants.noisy.arrivals.mops_per_vf=1,5,20 --repeat 5
  portcullis sweep fleet-4096 --zip --axis topology.hosts=16,32,64 --axis requests=1000000,2000000,4000000
  portcullis sweep dense-1024 --axis iommu.walkers.count=4..64:*2 --shard 1/2 --out shared/walkers
  portcullis sweep my-sweep.toml --dry-run

The same command goes on where it stopped. A sweep file is TOML: scenario, [axes], and optionally
zip, repeat and set. Keys are those of a scenario; the columns for the axes have their names.
Exit codes: 0 success, 1 a point failed or the disk is full, 2 bad input, 130 interrupted.";

/// `portcullis sweep`.
#[derive(Debug, Args)]
#[command(after_help = SWEEP_AFTER_HELP)]
pub struct SweepArguments {
    /// A built-in scenario's name, or the path of a TOML file: a scenario's, or a sweep's with a section `axes`
    pub scenario: String,

    /// Sweep a key of the scenario over values; may be given several times, the last axis turns fastest
    #[arg(long = "axis", value_name = "KEY=VALUES")]
    pub axes: Vec<String>,

    /// Advance the axes together, in place of every combination of their values
    #[arg(long)]
    pub zip: bool,

    /// Simulate each combination with N seeds, from the scenario's on, and write intervals.parquet
    #[arg(long, value_name = "N")]
    pub repeat: Option<u64>,

    /// Set a key of the scenario to a value at every point; may be given several times, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// The seed of every random draw, instead of the scenario's
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Which translations an independent owner map judges, instead of the scenario's choice
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub audit: Option<AuditLevel>,

    /// Log every DMA of every point, a row each, to its requests.parquet
    #[arg(long)]
    pub log_requests: bool,

    /// Points simulated at once, 1 to 1024, each on one thread [default: all processors]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub jobs: Option<usize>,

    /// Simulate only the points of shard I of N, counted from 1; shards may share a directory
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE, hide_default_value = true)]
    pub shard: Shard,

    /// List the points with their expected DMAs, and simulate nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print what was done as one JSON object on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Show no progress bar; there is none either when stderr is no terminal
    #[arg(long)]
    pub quiet: bool,

    /// The directory of the data set; a sweep begun there goes on [default: runs/NAME-sweep]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Start anew in a directory that holds a sweep of Portcullis and nothing else
    #[arg(long)]
    pub force: bool,
}

const REPLAY_AFTER_HELP: &str = "\
Examples:
  portcullis replay trace.events.parquet
  portcullis replay trace.csv --set iommu.iotlb.entries=64 --set iommu.iotlb.ways=full --json

A trace has the columns time_ns (optional), event, device, domain, iova, pa, size, perm, length
and op; whether it is CSV or Parquet is told by its content. Keys for --set: seed, audit,
iommu.iotlb.entries, iommu.iotlb.ways, iommu.iotlb.replacement, iommu.iotlb.index.";

/// `portcullis replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_AFTER_HELP)]
pub struct ReplayArguments {
    /// The trace: CSV with a header, or Parquet
    pub events: PathBuf,

    /// Set a key of the IOMMU to a value, both as in TOML; may be given several times, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// The seed of random replacement [default: 1]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Which translations an independent owner map judges [default: full]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub audit: Option<AuditLevel>,

    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// What `run` and `replay` have in common: where the report goes and what is printed.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Print the row of summary.parquet as one JSON object on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Show no progress bar; there is none either when stderr is no terminal
    #[arg(long)]
    pub quiet: bool,

    /// The directory of the report; it must not exist [default: runs/NAME-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Replace the directory if it holds a report of Portcullis and nothing else, and the file of trace events
    #[arg(long)]
    pub force: bool,
}

const VALIDATE_AFTER_HELP: &str = "\
Examples:
  portcullis validate
  portcullis validate --section 3 --section 4 --json

Sections: 1 closed forms, 2 PCIe efficiency, 3 latency and 4 throughput under IOTLB misses.
A row is calibrated where parameters were fitted to that very curve, predicted elsewhere.
Sources and how to read the table: docs/validation.md.

Exit codes: 0 every row is within its tolerance, 1 a row is not, 2 bad input, 130 interrupted.";

/// `portcullis validate`.
#[derive(Debug, Args)]
#[command(after_help = VALIDATE_AFTER_HELP)]
pub struct ValidateArguments {
    /// Only this section; may be given several times [default: all]
    #[arg(long = "section", value_name = "N", value_parser = section, allow_negative_numbers = true)]
    pub sections: Vec<Section>,

    /// Print one JSON object on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,

    /// Runs simulated at once, 1 to 1024, each on one thread [default: all processors]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<usize>,

    /// Show no progress bar; there is none either when stderr is no terminal
    #[arg(long)]
    pub quiet: bool,
}

/// `portcullis scenarios`.
#[derive(Debug, Args)]
pub struct ScenariosArguments {
    /// The scenario, or machine, to print as TOML
    pub name: Option<String>,

    /// List or print machines, in place of scenarios
    #[arg(long)]
    pub machines: bool,
}

/// `portcullis completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}

/// `--audit`: the values of the key `audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditLevel {
    /// Every translation
    Full,
    /// Every 64th DMA of each VF; in a replay, of the trace
    Sample,
    /// None: breaches go unseen
    Off,
}

impl AuditLevel {
    /// The value as a scenario writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sample => "sample",
            Self::Off => "off",
        }
    }
}

/// What `--set`, then `--seed` and `--audit` change; the last change of a key wins.
///
/// # Errors
/// A `--set` that is not of the form `KEY=VALUE`.
pub fn overrides(
    settings: &[String],
    seed: Option<u64>,
    audit: Option<AuditLevel>,
) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::with_capacity(settings.len() + 2);
    for setting in settings {
        overrides.push(setting.parse().map_err(Failure::bad_input)?);
    }
    overrides.extend(seed.map(|seed| Override::new("seed", seed.to_string())));
    overrides.extend(audit.map(|audit| Override::new("audit", audit.name())));
    Ok(overrides)
}

/// The value of `--seed`.
fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("it must be a whole number from 0 to {}", u64::MAX))
}

/// The value of `--threads`.
fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=THREADS_MAX) => Ok(threads),
        _ => Err(format!("it must lie between 1 and {THREADS_MAX}")),
    }
}

/// The value of `--section`.
fn section(text: &str) -> Result<Section, String> {
    let numbers = || Section::ALL.map(|section| section.number().to_string()).join(", ");
    text.parse().ok().and_then(Section::of_number).ok_or_else(|| format!("it must be one of {}", numbers()))
}

/// What clap has to say about a command line, in one sentence: the message and its tips, without
/// the usage and the pointer to `--help`.
pub fn complaint(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let (message, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let tips = rest.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
    std::iter::once(message).chain(tips).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_complaint_is_one_sentence() {
        let said = |line: &str| {
            let error = Arguments::try_parse_from(line.split(' ')).expect_err("bad command line");
            crate::failure::one_line(&complaint(&error))
        };
        assert_eq!(
            said("portcullis run --thread 2"),
            "unexpected argument '--thread' found; a similar argument exists: '--threads'"
        );
        assert_eq!(
            said("portcullis run --threads 0"),
            "invalid value '0' for '--threads <N>': it must lie between 1 and 1024"
        );
        assert_eq!(said("portcullis replay"), "the following required arguments were not provided: <EVENTS>");
    }
}
