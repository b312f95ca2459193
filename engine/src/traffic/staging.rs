//! Where sources write before their requests are put in order: the pool then holds them as the
//! stages want them, one after another.

use crate::request::{Address, Intended, Sequence, Transfer};

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
}
