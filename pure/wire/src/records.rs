//! The record batches in a message. Must never look into them: that is the room `record`.

use bytes::Bytes;
use types::codec::{Writer, size};

/// Record batches as they stand in a message, or a promise of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    Bytes(Bytes),
    /// `length` bytes that are sent from the caller's source `slot` (a range of a segment file) and never copied here.
    External {
        length: u32,
        slot: u32,
    },
}

impl Default for Records {
    fn default() -> Records {
        Records::Bytes(Bytes::new())
    }
}

impl Records {
    /// How many bytes a reader of the message will see.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Records::Bytes(bytes) => bytes.len(),
            Records::External { length, .. } => *length as usize,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `encode` writes into the buffer: the length, and the bytes where they are here.
    pub(crate) fn size(records: Option<&Records>, compact: bool) -> usize {
        let here = match records {
            Some(Records::Bytes(bytes)) => bytes.len(),
            Some(Records::External { .. }) | None => 0,
        };
        size::length(compact, records.map(Records::len)) + here
    }

    pub(crate) fn encode(records: Option<&Records>, w: &mut Writer, compact: bool) {
        w.length(compact, records.map(Records::len));
        match records {
            Some(Records::Bytes(bytes)) => w.slice(bytes),
            Some(Records::External { length, slot }) => w.splice(*length as usize, *slot),
            None => {}
        }
    }
}
