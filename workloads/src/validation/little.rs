//! Little's law, in every run of the suite: requests under way on average are rate times mean latency.

use portcullis_engine::account::SummaryRow;
use portcullis_engine::table::{Column, Table};

use super::{Basis, Check, Figure, Reference, Section, Tolerance};

/// How far rate times mean latency may be from the requests under way.
const TOLERANCE: f64 = 0.001;

/// Requests under way, integrated over the log of a run's requests; the books of the run are not asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnderWay {
    /// The warm-up's end, ps: what was intended before does not count.
    from_ps: u64,
    /// The integral of the requests under way over time, in requests x ps.
    integral: i128,
    last_ps: u64,
}

impl UnderWay {
    /// Nothing yet, of a run whose warm-up ends at `from_ps`.
    #[must_use]
    pub fn new(from_ps: u64) -> Self {
        Self { from_ps, ..Self::default() }
    }

    /// Adds the rows of a drained table, if it is one of requests.
    ///
    /// # Panics
    /// If the log has no times.
    pub fn add(&mut self, table: &Table) {
        if table.name != "requests" {
            return;
        }
        let (intended, completed) = (column(table, "intended_ps"), column(table, "completed_ps"));
        for (&intended, &completed) in intended.iter().zip(completed) {
            self.last_ps = self.last_ps.max(completed);
            if intended >= self.from_ps {
                // One more from here on, one less from there on.
                self.integral += i128::from(completed) - i128::from(intended);
            }
        }
    }

    /// How far rate times mean latency, of the summary, is from that, as a share.
    #[must_use]
    pub fn deviation(&self, summary: &SummaryRow) -> f64 {
        if summary.dma_total == 0 {
            return 0.0;
        }
        let over_ns = summary.simulated_ns - summary.warmup_ns;
        let rate_per_ns = summary.dma_total as f64 / over_ns;
        let under_way = self.integral as f64 / self.last_ps.saturating_sub(self.from_ps) as f64;
        rate_per_ns * summary.latency_mean_ns / under_way - 1.0
    }
}

fn column<'a>(table: &'a Table, name: &str) -> &'a [u64] {
    let at = table.fields.iter().position(|field| field.name == name).expect("a log has times");
    let Column::U64(cells) = &table.columns[at] else { panic!("times are picoseconds") };
    cells
}

impl Check {
    /// The row of a section that says how far from Little's law its runs are, at most.
    #[must_use]
    pub fn of_little(section: Section, deviations: &[f64]) -> Self {
        assert!(deviations.iter().all(|deviation| !deviation.is_nan()), "no run is without time");
        let most = deviations.iter().fold(0.0, |most: f64, deviation| most.max(deviation.abs()));
        Self {
            section,
            what: format!(
                "rate x latency over requests under way, worst of {} runs: Little",
                deviations.len()
            ),
            reference: Reference::Theory,
            expected: 1.0,
            tolerance: Tolerance::Relative(TOLERANCE),
            basis: Basis::Predicted,
            figure: Figure::Computed(1.0 + most),
            runs: Vec::new(),
            known_miss: None,
        }
    }
}
