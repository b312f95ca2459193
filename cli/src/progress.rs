//! The progress bar on stderr: DMAs done, rate, simulated time, time left.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::human;

/// A bar that is drawn if a person is watching, and removed when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar over `expected` of `what` (0: not known), silent if `quiet` or if stderr is no terminal.
    pub fn new(what: &'static str, expected: u64, quiet: bool) -> Self {
        if quiet || !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = match expected {
            0 => "{spinner} {count}  {rate}{msg}",
            _ => "{wide_bar:.cyan/dim} {percent:>3} %  {count}  {rate}{msg}  ETA {eta}",
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is well formed")
            .progress_chars("=> ")
            .with_key("count", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                write!(out, "{} {what}", human::count(state.pos())).unwrap_or_default();
            })
            .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                write!(out, "{}/s", human::number(state.per_sec())).unwrap_or_default();
            });
        let bar = if expected == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(expected) };
        Self(bar.with_style(style))
    }

    /// Moves the bar to `done`, with a note after the rate.
    pub fn update(&self, done: u64, note: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_position(done);
            self.0.set_message(note());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
