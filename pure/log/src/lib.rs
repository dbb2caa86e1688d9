//! One partition's log: segments, indexes, producer state, leader epochs, recovery, retention and compaction, over
//! `Disk`. Knows nothing of replicas, requests or connections.

mod disk;

pub use disk::{Disk, DiskError, DiskFile, DiskResult, ErrorKind, Open, Space};
