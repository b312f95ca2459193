//! The source of a VF whose VM comes and goes.

use super::schedule::UpSpan;
use crate::request::{Address, Intended, Transfer};
use crate::traffic::{Source, SourceRows};
use crate::units::Picoseconds;

/// Requests of an open loop that are skipped at a time.
const SKIPPED: usize = 64;

/// What the VMs of a VF intend, one after the other.
///
/// Of an open loop it leaves out what falls into a time without a VM. The clients of a closed loop are gone with their VM: what of
/// its requests retires later makes nobody send, and those of the next VM all begin anew when that starts.
pub struct Living {
    source: Box<dyn Source>,
    spans: Box<dyn Iterator<Item = UpSpan> + Send + Sync>,
    /// The VM that is there, or comes next; none after the last.
    span: Option<UpSpan>,
    next_span: Option<UpSpan>,
    /// Requests that were emitted, and those of them that earlier VMs intended.
    emitted: u64,
    of_others: u64,
    is_closed: bool,
}

impl Living {
    /// What `source` intends while there is a VM.
    #[must_use]
    pub fn new(source: Box<dyn Source>, spans: impl Iterator<Item = UpSpan> + Send + Sync + 'static) -> Self {
        let mut spans: Box<dyn Iterator<Item = UpSpan> + Send + Sync> = Box::new(spans);
        let (span, next_span) = (spans.next(), spans.next());
        let is_closed = source.feedback().is_some();
        let mut living = Self { source, spans, span, next_span, emitted: 0, of_others: 0, is_closed };
        match living.span {
            Some(span) if living.is_closed && span.from > Picoseconds::ZERO => {
                living.source.restart(span.from);
            }
            _ => living.skip(),
        }
        living
    }

    /// What the VM that is there intends next, as far as is known.
    fn next(&self) -> Option<Picoseconds> {
        let until = self.span?.until;
        self.source.peek().filter(|next| *next < until)
    }

    /// The VM is gone: the next is what counts.
    fn go_on(&mut self) {
        self.span = self.next_span.take();
        self.next_span = self.spans.next();
        self.of_others = self.emitted;
        if self.is_closed
            && let Some(span) = self.span
        {
            self.source.restart(span.from);
        }
    }

    /// An open loop goes on to what a VM intends.
    fn skip(&mut self) {
        if self.is_closed {
            return;
        }
        while let (Some(span), Some(next)) = (self.span, self.source.peek()) {
            if next >= span.until {
                self.go_on();
            } else if next < span.from {
                let mut intended = [Intended::default(); SKIPPED];
                let mut address = [Address::default(); SKIPPED];
                let mut transfer = [Transfer::default(); SKIPPED];
                let rows =
                    SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
                self.source.emit(span.from, rows);
            } else {
                return;
            }
        }
    }
}

impl Source for Living {
    /// For a closed loop whose next VM is not there yet, the time of its start.
    fn peek(&self) -> Option<Picoseconds> {
        self.next().or_else(|| {
            let may_go_on = self.is_closed && self.source.feedback().is_some();
            self.next_span.filter(|_| may_go_on && self.span.is_some()).map(|span| span.from)
        })
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let SourceRows { intended, address, transfer } = rows;
        let mut written = 0;
        while let Some(span) = self.span {
            let free = SourceRows {
                intended: &mut intended[written..],
                address: &mut address[written..],
                transfer: &mut transfer[written..],
            };
            let more = self.source.emit(until.min(span.until), free);
            (written, self.emitted) = (written + more, self.emitted + more as u64);
            if written == intended.len() {
                break;
            }
            if until <= span.until {
                break;
            }
            if self.source.peek().is_none() && self.source.feedback().is_none() {
                self.span = None;
                break;
            }
            // All that was intended before is known by now.
            self.go_on();
            self.skip();
        }
        self.skip();
        written
    }

    fn prefetch(&self) {
        self.source.prefetch();
    }

    fn feedback(&self) -> Option<Picoseconds> {
        self.span.and_then(|_| self.source.feedback())
    }

    fn feedback_of(&self, sequence: u64) -> Picoseconds {
        self.source.feedback_of(sequence)
    }

    fn retire(&mut self, sequence: u64, time: Picoseconds) -> Option<Picoseconds> {
        if sequence >= self.of_others && self.span.is_some() {
            self.source.retire(sequence, time);
        }
        self.peek()
    }
}
