//! Where sources write before their requests are put in order: the pool then holds them as the
//! stages want them, one after another.

use core::ops::Range;

use super::source::{Source, SourceRows};
use crate::request::{Address, Intended, Sequence, Transfer};
use crate::units::Picoseconds;

/// New requests of one adapter, in the order of (VF, sequence): columns of one length.
#[derive(Debug, Default)]
pub struct Staged {
    /// Requests in use, from the front of the columns.
    pub len: usize,
    /// When they are intended.
    pub intended: Vec<Intended>,
    /// Their first bytes.
    pub address: Vec<Address>,
    /// Their lengths and directions.
    pub transfer: Vec<Transfer>,
    /// Their VFs.
    pub vf: Vec<u32>,
    /// Which of their VFs' requests they are.
    pub sequence: Vec<Sequence>,
}

impl Staged {
    /// Makes room for `more` behind those in use.
    #[inline]
    pub fn make_room(&mut self, more: usize) {
        let wanted = self.len + more;
        if self.intended.len() < wanted {
            self.intended.resize(wanted, Intended::default());
            self.address.resize(wanted, Address::default());
            self.transfer.resize(wanted, Transfer::default());
            self.vf.resize(wanted, 0);
            self.sequence.resize(wanted, Sequence::default());
        }
    }

    /// Takes from the source of `vf` what it intends before `until`, at most `room` requests; returns
    /// where they are. Their sequence numbers are for the caller to fill in.
    #[inline]
    pub fn take_from(
        &mut self,
        source: &mut dyn Source,
        vf: u32,
        until: Picoseconds,
        room: usize,
    ) -> Range<usize> {
        self.make_room(room);
        let start = self.len;
        let rows = SourceRows {
            intended: &mut self.intended[start..start + room],
            address: &mut self.address[start..start + room],
            transfer: &mut self.transfer[start..start + room],
        };
        self.len += source.emit(until, rows);
        self.vf[start..self.len].fill(vf);
        start..self.len
    }
}
