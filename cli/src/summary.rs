//! What is printed at the end: a table for a person, or one JSON object for a program.

use std::path::Path;

use comfy_table::{CellAlignment, LineStyle, Table as TextTable, TableStyle};
use portcullis_engine::account::{EscapeRow, EvictionRow, SlowdownRow, SummaryRow};
use portcullis_engine::attribution::{Cause, ClassLatency};
use portcullis_engine::replay::ReplaySummaryRow;
use portcullis_engine::table::{Column, Field, Row, Table};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::human::{bytes, count, counted, gigabits, nanoseconds, number, percent, seconds};

/// A rule above, below and under the header, and nothing else.
pub const RULED: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The lines of a summary: what, and how much.
pub type Lines = Vec<(&'static str, String)>;

/// `row` as one flat JSON object on a line, its keys in the order of the columns; NaN and infinities are null.
pub fn json(row: impl Row) -> String {
    let table: Table = std::iter::once(row).collect();
    let mut text = serde_json::to_string(&OnlyRow(&table)).expect("names and numbers are JSON");
    text.push('\n');
    text
}

/// The only row of a table.
struct OnlyRow<'a>(&'a Table);

impl Serialize for OnlyRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.fields.len()))?;
        for (Field { name, .. }, column) in self.0.fields.iter().zip(&self.0.columns) {
            match column {
                Column::U32(cells) => object.serialize_entry(name, &cells[0])?,
                Column::U64(cells) => object.serialize_entry(name, &cells[0])?,
                Column::OptionalU64(cells) => object.serialize_entry(name, &cells[0])?,
                Column::F64(cells) => object.serialize_entry(name, &cells[0])?,
                Column::OptionalF64(cells) => object.serialize_entry(name, &cells[0])?,
                Column::Bool(cells) => object.serialize_entry(name, &cells[0])?,
                Column::Text(cells) => object.serialize_entry(name, &cells[0])?,
                Column::OptionalText(cells) => object.serialize_entry(name, &cells[0])?,
                Column::Name(cells) => object.serialize_entry(name, &cells[0])?,
                Column::OptionalName(cells) => object.serialize_entry(name, &cells[0])?,
            }
        }
        object.end()
    }
}

/// A run's summary for a person.
pub fn of_run(row: &SummaryRow, report: &Path) -> String {
    let title = format!(
        "{}: {}, {}, seed {}",
        row.scenario,
        counted(row.hosts.into(), "host"),
        counted(row.vfs, "VF"),
        row.seed
    );
    let mut lines = Lines::new();
    run_traffic(row, &mut lines);
    run_translation(row, &mut lines);
    run_isolation(row, &mut lines);
    run_switches(row, &mut lines);
    run_turns(row, &mut lines);
    run_escapes(row, &mut lines);
    lines.push(("fairness", format!("{:.4} (Jain's index over tenants, 1 is fair)", row.fairness_jain)));
    lines.push((
        "speed",
        format!(
            "{} DMAs a second, {} to build, {} to simulate",
            number(row.wall_dma_per_s),
            seconds(row.wall_build_s),
            seconds(row.wall_simulate_s)
        ),
    ));
    lines.push(("peak memory", bytes(row.wall_peak_memory_bytes)));
    lines.push(("report", report.display().to_string()));
    layout(&title, lines)
}

/// What the others cost each class that also ran alone, or without some; nothing where none did.
pub fn of_slowdowns(rows: &[SlowdownRow]) -> String {
    let of_classes = || rows.iter().filter(|row| row.vf.is_none());
    if of_classes().next().is_none() {
        return String::new();
    }
    let mut table = TextTable::new();
    let header = [
        "class",
        "VFs",
        "slowdown",
        "of p99",
        "of service",
        "latency alone",
        "together",
        "p99 alone",
        "together",
    ];
    table.load_style(RULED).set_header(header);
    table.add_rows(of_classes().map(|row| {
        [
            row.class.clone(),
            count(row.vfs),
            times(row.slowdown),
            times(row.slowdown_p99),
            times(row.slowdown_service),
            nanoseconds(row.latency_mean_alone_ns),
            nanoseconds(row.latency_mean_ns),
            nanoseconds(row.latency_p99_alone_ns as f64),
            nanoseconds(row.latency_p99_ns as f64),
        ]
    }));
    align_numbers(&mut table, header.len());
    format!(
        "\nslowdown: mean latency together with all classes, over that of the class alone, or without those left out\n{}\n",
        table.trim_fmt()
    )
}

/// All columns but the first are numbers.
fn align_numbers(table: &mut TextTable, columns: usize) {
    for column in 1..columns {
        if let Some(numbers) = table.column_mut(column) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Where the time of all DMAs went, and of each class where there are several; nothing where nobody asks.
pub fn of_latency(classes: &[ClassLatency]) -> String {
    let shown = if classes.len() == 2 { &classes[..1] } else { classes };
    if shown.is_empty() {
        return String::new();
    }
    let mut table = TextTable::new();
    let names = shown.iter().map(|of_class| of_class.class.clone());
    table.load_style(RULED).set_header(std::iter::once(String::from("cause")).chain(names));
    table.add_rows(Cause::ALL.into_iter().map(|cause| {
        let of_classes = shown.iter().map(move |of_class| {
            format!("{} {:>6}", nanoseconds(of_class.mean_ns(cause)), percent(of_class.share(cause)))
        });
        std::iter::once(cause.name().replace('_', " ")).chain(of_classes).collect::<Vec<_>>()
    }));
    align_numbers(&mut table, shown.len() + 1);
    format!("\nlatency by cause: mean a DMA, and its share\n{}\n", table.trim_fmt())
}

/// Who evicted whom; nothing where nobody asks.
pub fn of_evictions(rows: &[EvictionRow]) -> String {
    let classes = rows.iter().filter(|row| row.evictor_class == rows[0].evictor_class).count();
    if rows.is_empty() {
        return String::new();
    }
    let mut table = TextTable::new();
    let victims = rows[..classes].iter().map(|row| row.victim_class.clone());
    table.load_style(RULED).set_header(std::iter::once(String::from("evictor")).chain(victims));
    table.add_rows(rows.chunks(classes).map(|of_evictor| {
        let counts = of_evictor.iter().map(|row| count(row.evictions));
        std::iter::once(of_evictor[0].evictor_class.clone()).chain(counts).collect::<Vec<_>>()
    }));
    align_numbers(&mut table, classes + 1);
    format!("\nevictions: entries of each class that DMAs of a class replaced\n{}\n", table.trim_fmt())
}

/// How many times as much; a dash where nothing counts.
fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| String::from("-"), |ratio| format!("{ratio:.3}"))
}

/// What the tenants got: time, DMAs, throughput, latency.
fn run_traffic(row: &SummaryRow, lines: &mut Lines) {
    lines.push(("simulated time", nanoseconds(row.simulated_ns)));
    if row.warmup_ns > 0.0 {
        let warm_up = nanoseconds(row.warmup_ns);
        lines.push(("warm-up", format!("{warm_up}, {} not counted", counted(row.dma_warmup, "DMA"))));
    }
    lines.push((
        "DMAs",
        format!(
            "{} ({} reads, {} writes)",
            count(row.dma_total),
            count(row.dma_reads),
            count(row.dma_writes)
        ),
    ));
    lines.push((
        "throughput",
        format!("read {}, write {}", gigabits(row.read_gbps), gigabits(row.write_gbps)),
    ));
    lines.push((
        "links busy",
        format!(
            "to hosts {}, from hosts {}",
            percent(row.upstream_utilisation),
            percent(row.downstream_utilisation)
        ),
    ));
    lines.push((
        "latency",
        format!(
            "p50 {}, p99 {}, p99.9 {}, max {}",
            nanoseconds(row.latency_p50_ns as f64),
            nanoseconds(row.latency_p99_ns as f64),
            nanoseconds(row.latency_p999_ns as f64),
            nanoseconds(row.latency_max_ns)
        ),
    ));
    lines.push((
        "service time",
        format!("mean {}, max {}", nanoseconds(row.service_mean_ns), nanoseconds(row.service_max_ns)),
    ));
}

/// What the IOMMUs did.
fn run_translation(row: &SummaryRow, lines: &mut Lines) {
    lines.push(("IOTLB", iotlb(row.iotlb_hit_ratio, row.iotlb_hits, row.iotlb_misses)));
    if let (Some(cold), Some(capacity), Some(conflict), Some(invalidation)) = (
        row.iotlb_misses_cold,
        row.iotlb_misses_capacity,
        row.iotlb_misses_conflict,
        row.iotlb_misses_invalidation,
    ) {
        let [cold, capacity, conflict] = [cold, capacity, conflict].map(count);
        let causes = format!(
            "{cold} cold, {capacity} for capacity, {conflict} for conflicts, {} for invalidations",
            count(invalidation)
        );
        lines.push(("misses", causes));
    }
    lines.push((
        "walks",
        format!("{} ({} misses joined one under way)", count(row.walks), count(row.iotlb_misses_joined)),
    ));
    lines.push((
        "walkers",
        format!(
            "{} busy, a walk waits {} for one on average",
            percent(row.walker_utilisation),
            nanoseconds(row.walk_wait_mean_ns)
        ),
    ));
    lines.push((
        "stalls",
        format!(
            "{} at a full VF queue, {} at a full walker queue ({} in all)",
            count(row.dma_source_stalled),
            count(row.walker_queue_stalls),
            nanoseconds(row.walker_stall_ns)
        ),
    ));
}

/// Whether the tenants were kept apart.
fn run_isolation(row: &SummaryRow, lines: &mut Lines) {
    let reasons = [
        ("no context", row.blocked_no_context),
        ("not mapped", row.blocked_not_mapped),
        ("no permission", row.blocked_no_permission),
        ("ATS disabled", row.blocked_ats_disabled),
    ];
    lines.push(("blocked", blocked(row.dma_blocked, &reasons)));
    lines.push(("stale", counted(row.stale_total, "page")));
    lines.push(("breach", breach(row.breach_total, row.audited_total)));
    if row.forged > 0 {
        let forged = counted(row.forged, "DMA");
        let foreign = count(row.forged_foreign);
        lines.push(("forged", format!("{forged} marked as translated, {foreign} to frames of others")));
    }
    if row.cross_tenant_total > 0 {
        lines.push((
            "cross-tenant",
            format!("{} through a shared domain", counted(row.cross_tenant_total, "DMA")),
        ));
    }
}

/// What switches of domains took, and from whom; nothing where there were none.
fn run_switches(row: &SummaryRow, lines: &mut Lines) {
    if row.switches + row.switches_refused == 0 {
        return;
    }
    let failed = [
        ("refused", row.switches_refused),
        ("aborted", row.switches_aborted),
        ("failed", row.switches_failed),
    ];
    let failed = failed.into_iter().filter(|(_, switches)| *switches > 0);
    let failed: String = failed.map(|(what, switches)| format!(", {} {what}", count(switches))).collect();
    lines.push((
        "switches",
        format!(
            "{} of domains, mean {}, max {}{failed}",
            count(row.switches),
            nanoseconds(row.switch_mean_ns),
            nanoseconds(row.switch_max_ns)
        ),
    ));
    lines.push((
        "silence",
        format!(
            "{} of all VFs, {} held back for {} on average",
            nanoseconds(row.silence_ns),
            counted(row.dma_held, "DMA"),
            nanoseconds(row.held_mean_ns)
        ),
    ));
    let lost = [("aborted", row.dma_aborted), ("starved", row.dma_starved)];
    let lost: Vec<String> = lost
        .into_iter()
        .filter(|(_, dmas)| *dmas > 0)
        .map(|(fate, dmas)| format!("{} {fate}", counted(dmas, "DMA")))
        .collect();
    if !lost.is_empty() {
        let wait = nanoseconds(row.lost_wait_mean_ns);
        lines.push(("lost", format!("{}, which had waited {wait} on average", lost.join(", "))));
    }
    lines.push((
        "availability",
        format!(
            "{} of a VF's time, all held back gone {} after a switch on average, {} at most",
            percent(row.availability),
            nanoseconds(row.recovery_mean_ns),
            nanoseconds(row.recovery_max_ns)
        ),
    ));
    if row.dma_held > 0 {
        let [held, recovering, others] =
            [row.disturbed_mean_ns, row.recovering_mean_ns, row.undisturbed_mean_ns].map(nanoseconds);
        let after = format!("of {} behind them {recovering}", count(row.dma_recovering));
        lines.push((
            "disturbed",
            format!("latency of those held back {held}, {after}, of the others {others}"),
        ));
    }
    if row.switch_faults > 0 {
        lines.push(("mid-switch", format!("{} met no domain", counted(row.switch_faults, "DMA"))));
    }
}

/// What slices of time and interrupts there were; nothing where there were none.
fn run_turns(row: &SummaryRow, lines: &mut Lines) {
    if row.slices > 0 {
        let wait = nanoseconds(row.slice_wait_mean_ns);
        let [slices, used] = [row.slices, row.slices_used].map(count);
        lines
            .push(("slices", format!("{slices} of VFs, {used} used, DMAs waited {wait} for one on average")));
    }
    if row.msi_writes + row.msi_masked > 0 {
        let [writes, inside, masked] = [row.msi_writes, row.msi_in_silence, row.msi_masked].map(count);
        lines.push((
            "interrupts",
            format!("{writes} MSIs, {inside} of them in silence; {masked} were masked"),
        ));
    }
}

/// Who was admitted, and what the filter let through; nothing where neither was asked.
fn run_escapes(row: &SummaryRow, lines: &mut Lines) {
    if row.vms_refused > 0 {
        lines.push(("not admitted", format!("{} of {}", counted(row.vms_refused, "VM"), count(row.vfs))));
    }
    if row.escapes_total == 0 {
        return;
    }
    lines.push((
        "escapes",
        format!(
            "{} ({} allowed, {} denied, {} deferred)",
            count(row.escapes_total),
            count(row.escapes_allowed),
            count(row.escapes_denied),
            count(row.escapes_deferred)
        ),
    ));
    lines.push((
        "exposed",
        format!("{} reached the driver with a payload it does not know", counted(row.kmd_exposed, "escape")),
    ));
    if row.escape_stalls > 0 {
        let stalls = counted(row.escape_stalls, "stall");
        lines.push(("driver", format!("{stalls} by escapes, {} in all", nanoseconds(row.escape_stall_ns))));
    }
}

/// Escapes of one tenant class that met one fate, of whatever kind they are.
#[derive(Default)]
struct Fate {
    packets: u64,
    exposed: u64,
    latency_sum_ns: f64,
    latency_max_ns: f64,
}

/// What became of the escapes, by tenant class, decision and reason; nothing where there were none.
pub fn of_escapes(rows: &[EscapeRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut fates: Vec<([&str; 4], Fate)> = Vec::new();
    for row in rows {
        let key = [&row.class, row.vm_kind, row.decision, row.reason];
        let at = fates.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            fates.push((key, Fate::default()));
            fates.len() - 1
        });
        let fate = &mut fates[at].1;
        fate.packets += row.packets;
        fate.exposed += row.kmd_exposed;
        fate.latency_sum_ns += row.latency_mean_ns * row.packets as f64;
        fate.latency_max_ns = fate.latency_max_ns.max(row.latency_max_ns);
    }
    let mut table = TextTable::new();
    let header = ["class", "kind", "decision", "reason", "packets", "exposed", "mean latency", "max"];
    table.load_style(RULED).set_header(header);
    table.add_rows(fates.iter().map(|([class, kind, decision, reason], fate)| {
        [
            (*class).to_owned(),
            (*kind).to_owned(),
            (*decision).to_owned(),
            (*reason).to_owned(),
            count(fate.packets),
            count(fate.exposed),
            nanoseconds(fate.latency_sum_ns / fate.packets as f64),
            nanoseconds(fate.latency_max_ns),
        ]
    }));
    for column in 4..header.len() {
        if let Some(numbers) = table.column_mut(column) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!(
        "\nescapes: what the filter decided, and the time from sending to decision\n{}\n",
        table.trim_fmt()
    )
}

/// A replay's summary for a person.
pub fn of_replay(row: &ReplaySummaryRow, report: &Path) -> String {
    let title = format!(
        "{}: {}, {}, {}",
        row.trace,
        counted(row.events_total, "event"),
        counted(row.devices, "device"),
        counted(row.domains, "domain")
    );
    let reasons = [
        ("no context", row.blocked_no_context),
        ("bad length", row.blocked_bad_length),
        ("address overflow", row.blocked_address_overflow),
        ("not mapped", row.blocked_not_mapped),
        ("no permission", row.blocked_no_permission),
    ];
    let lines = vec![
        ("DMAs", format!("{} ({} translated)", count(row.dma_total), count(row.dma_translated))),
        ("IOTLB", iotlb(row.iotlb_hit_ratio, row.iotlb_hits, row.iotlb_misses)),
        (
            "entries",
            format!("{} evicted, {} invalidated", count(row.iotlb_evictions), count(row.iotlb_invalidated)),
        ),
        ("walks", format!("{} ({} faulted)", count(row.walks), count(row.walks_faulted))),
        ("blocked", blocked(row.dma_blocked, &reasons)),
        ("stale", counted(row.stale_total, "page")),
        ("breach", breach(row.breach_total, row.audited_total)),
        ("refused", counted(row.refused_total, "event")),
        ("leaves mapped", format!("{} at the end", count(row.leaves_mapped))),
        (
            "speed",
            format!(
                "{} events a second, {} to replay",
                number(row.wall_events_per_s),
                seconds(row.wall_simulate_s)
            ),
        ),
        ("peak memory", bytes(row.wall_peak_memory_bytes)),
        ("report", report.display().to_string()),
    ];
    layout(&title, lines)
}

/// How look-ups went.
fn iotlb(hit_ratio: f64, hits: u64, misses: u64) -> String {
    format!("hit ratio {hit_ratio:.4} ({} hits, {} misses)", count(hits), count(misses))
}

/// How many DMAs were blocked, and why.
fn blocked(total: u64, reasons: &[(&str, u64)]) -> String {
    let reasons: Vec<String> = reasons
        .iter()
        .filter(|(_, dmas)| *dmas > 0)
        .map(|(reason, dmas)| format!("{} {reason}", count(*dmas)))
        .collect();
    if reasons.is_empty() { count(total) } else { format!("{} ({})", count(total), reasons.join(", ")) }
}

/// What the owner map found, as far as it was asked.
fn breach(found: u64, audited: u64) -> String {
    match audited {
        0 => String::from("not audited"),
        _ => format!("{} in {} audited translations", count(found), count(audited)),
    }
}

/// A title over two columns.
pub fn layout(title: &str, lines: Lines) -> String {
    let mut table = TextTable::new();
    table.load_style(RULED);
    table.add_rows(lines.into_iter().map(|(what, how_much)| [what.to_owned(), how_much]));
    if let Some(names) = table.column_mut(0) {
        names.set_cell_alignment(CellAlignment::Right);
    }
    format!("{title}\n{}\n", table.trim_fmt())
}
