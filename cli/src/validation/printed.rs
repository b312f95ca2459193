//! The rows as a table for a person, or as JSON for a program.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table};
use portcullis_workloads::validation::{Check, Section, Tolerance, Verdict};
use serde::Serialize;

use crate::summary::RULED;

/// A number with as many digits as the published figures have.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v < 1.0 => format!("{value:.4}"),
        v if v < 100.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}

/// Distances: a share, or a difference where the tolerance is one.
fn error(check: &Check, verdict: &Verdict) -> String {
    match check.tolerance {
        Tolerance::Absolute(_) => format!("{:+.4}", verdict.error),
        Tolerance::Relative(_) | Tolerance::AtMost(_) => format!("{:+.2} %", verdict.error * 100.0),
    }
}

fn tolerance(check: &Check) -> String {
    match check.tolerance {
        Tolerance::Absolute(most) => format!("± {most}"),
        Tolerance::Relative(most) => format!("± {:.1} %", most * 100.0),
        Tolerance::AtMost(most) => format!("≤ +{:.2} %", most * 100.0),
    }
}

/// A table a section, and what it comes to.
pub fn table(rows: &[(Check, Verdict)]) -> String {
    let mut text = String::new();
    for section in Section::ALL {
        let of_section: Vec<_> = rows.iter().filter(|(check, _)| check.section == section).collect();
        if of_section.is_empty() {
            continue;
        }
        let mut table = Table::new();
        table.load_style(RULED);
        table.set_header(["what", "source", "expected", "simulated", "", "error", "tolerance", "basis", ""]);
        for (check, verdict) in of_section {
            table.add_row([
                check.what.clone(),
                check.reference.name().into(),
                figure(check.expected),
                figure(verdict.simulated),
                check.figure.unit().into(),
                error(check, verdict),
                tolerance(check),
                check.basis.name().into(),
                if verdict.passed { "pass".into() } else { "MISS".into() },
            ]);
        }
        for column in table.column_iter_mut().filter(|column| [2, 3, 5].contains(&column.index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(text, "Section {}: {}\n{}\n", section.number(), section.title(), table.trim_fmt())
            .expect("a string takes all");
    }
    write_misses(rows, &mut text);
    let passed = rows.iter().filter(|(_, verdict)| verdict.passed).count();
    writeln!(text, "{passed} of {} rows are within their tolerance.", rows.len())
        .expect("a string takes all");
    text
}

/// Why rows miss, where that is known.
fn write_misses(rows: &[(Check, Verdict)], text: &mut String) {
    let missed: Vec<_> = rows.iter().filter(|(_, verdict)| !verdict.passed).collect();
    let mut reasons: Vec<&str> = missed.iter().filter_map(|(check, _)| check.known_miss).collect();
    reasons.dedup();
    for reason in reasons {
        writeln!(text, "Missed, and known to be: {reason}").expect("a string takes all");
        for (check, verdict) in missed.iter().filter(|(check, _)| check.known_miss == Some(reason)) {
            writeln!(text, "  {} ({})", check.what, error(check, verdict)).expect("a string takes all");
        }
        text.push('\n');
    }
}

/// The suite as JSON.
#[derive(Serialize)]
struct Document<'a> {
    rows: usize,
    passed: usize,
    missed: usize,
    checks: Vec<Row<'a>>,
}

/// A row as JSON.
#[derive(Serialize)]
struct Row<'a> {
    section: u8,
    what: &'a str,
    source: &'static str,
    unit: &'static str,
    expected: f64,
    simulated: f64,
    /// As a share of the expected figure where the tolerance is one, else in its unit.
    error: f64,
    tolerance: f64,
    tolerance_kind: &'static str,
    basis: &'static str,
    passed: bool,
    known_miss: Option<&'static str>,
}

/// One JSON object on a line.
pub fn json(rows: &[(Check, Verdict)]) -> String {
    let passed = rows.iter().filter(|(_, verdict)| verdict.passed).count();
    let checks: Vec<Row<'_>> = rows.iter().map(row).collect();
    let document = Document { rows: checks.len(), passed, missed: checks.len() - passed, checks };
    let mut text = serde_json::to_string(&document).expect("names and numbers are JSON");
    text.push('\n');
    text
}

fn row((check, verdict): &(Check, Verdict)) -> Row<'_> {
    let (tolerance_kind, tolerance) = match check.tolerance {
        Tolerance::Absolute(most) => ("absolute", most),
        Tolerance::Relative(most) => ("relative", most),
        Tolerance::AtMost(most) => ("at_most", most),
    };
    Row {
        section: check.section.number(),
        what: &check.what,
        source: check.reference.name(),
        unit: check.figure.unit(),
        expected: check.expected,
        simulated: verdict.simulated,
        error: verdict.error,
        tolerance,
        tolerance_kind,
        basis: check.basis.name(),
        passed: verdict.passed,
        known_miss: check.known_miss,
    }
}
