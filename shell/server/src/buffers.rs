//! Memory of requests on their way in: one account for the process, and one pool of buffers for each thread.
//!
//! A buffer grows with the bytes that really arrive, so that a hostile length alone costs nothing; it is charged to the
//! account while it exists and comes back to the pool of the thread that drops the last slice of it.

use bytes::Bytes;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a connection that has not yet proven itself may reserve for one request before its bytes arrive.
const FIRST_STEP_BYTES: usize = 64 << 10;
/// Buffers from this size on are kept for the next request.
const POOLED_BYTES_MIN: usize = 4 << 10;
/// Larger ones go back to the system.
const POOLED_BYTES_MAX: usize = 1 << 20;
/// Most bytes that one thread keeps.
const POOL_BYTES_MAX: usize = 4 << 20;
/// Sizes in the pool: the powers of two from the smallest to the largest.
const CLASSES: usize = (POOLED_BYTES_MAX / POOLED_BYTES_MIN).ilog2() as usize + 1;

/// Bytes held by requests and by answers that wait for slow readers, in the whole process (`queued.max.request.bytes`).
#[derive(Debug)]
pub struct Memory {
    held: AtomicUsize,
    max: usize,
    /// The one connection that may overdraw the account to finish its request, so that requests which hold it full
    /// between them cannot wait for each other for ever; 0 where there is none.
    finisher: AtomicU64,
}

impl Memory {
    #[must_use]
    pub fn new(max: usize) -> Arc<Memory> {
        Arc::new(Memory { held: AtomicUsize::new(0), max, finisher: AtomicU64::new(0) })
    }

    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn has_room(&self) -> bool {
        self.held() < self.max
    }

    /// True where this connection may go on although the account is exhausted. Connection numbers start at 1.
    pub fn may_finish(&self, connection: u64) -> bool {
        let claimed = self.finisher.compare_exchange(0, connection, Ordering::Relaxed, Ordering::Relaxed);
        claimed.is_ok() || claimed == Err(connection)
    }

    #[must_use]
    pub fn finisher(&self) -> Option<u64> {
        Some(self.finisher.load(Ordering::Relaxed)).filter(|connection| *connection > 0)
    }

    /// Lets the next one finish.
    pub fn finished(&self, connection: u64) {
        // Nearly always somebody else's or nobody's: look before writing to a line that all threads share.
        if self.finisher.load(Ordering::Relaxed) == connection {
            self.finisher.store(0, Ordering::Relaxed);
        }
    }

    pub fn charge(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A request that is being received: `length` bytes are to come, `filled` are there.
#[derive(Debug)]
pub struct Incoming {
    buffer: Buffer,
    length: usize,
    filled: usize,
}

impl Incoming {
    /// `proven` is the size of a request that this connection sent before: it may reserve as much again at once.
    #[must_use]
    pub fn new(length: usize, proven: usize, memory: &Arc<Memory>) -> Incoming {
        let first = length.min(FIRST_STEP_BYTES.max(proven));
        Incoming { buffer: Buffer::new(first, memory), length, filled: 0 }
    }

    /// Takes what it still lacks from the front of `bytes`; the number of bytes taken.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.length - self.filled);
        while self.buffer.bytes.len() < self.filled + taken {
            self.grow();
        }
        self.buffer.bytes[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }

    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.filled == self.length
    }

    /// True where the buffer must grow before more can be received.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.buffer.bytes.len() && !self.is_whole()
    }

    pub fn grow(&mut self) {
        let size = self.length.min(self.buffer.bytes.len().saturating_mul(2));
        let mut larger = Buffer::new(size, &self.buffer.memory);
        larger.bytes[..self.filled].copy_from_slice(&self.buffer.bytes[..self.filled]);
        self.buffer = larger;
    }

    /// Where the next bytes go: never past the end of this request.
    pub fn space(&mut self) -> &mut [u8] {
        let end = self.buffer.bytes.len().min(self.length);
        &mut self.buffer.bytes[self.filled..end]
    }

    /// True where the space ends with the request.
    #[must_use]
    pub fn space_is_all(&self) -> bool {
        self.buffer.bytes.len() >= self.length
    }

    pub fn received(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// The whole request; its memory is released with the last slice of it.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        debug_assert!(self.is_whole());
        self.buffer.used = self.filled;
        Bytes::from_owner(self.buffer)
    }
}

/// A request that arrived in one piece.
#[must_use]
pub fn copied(bytes: &[u8], memory: &Arc<Memory>) -> Bytes {
    let mut buffer = Buffer::new(bytes.len(), memory);
    buffer.bytes[..bytes.len()].copy_from_slice(bytes);
    buffer.used = bytes.len();
    Bytes::from_owner(buffer)
}

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    memory: Arc<Memory>,
}

impl Buffer {
    /// At least `size` bytes, whose content means nothing.
    fn new(size: usize, memory: &Arc<Memory>) -> Buffer {
        let bytes = match class(size) {
            Some(class) => pooled(class).unwrap_or_else(|| vec![0; POOLED_BYTES_MIN << class]),
            None => vec![0; size],
        };
        memory.charge(bytes.len());
        Buffer { bytes, used: 0, memory: Arc::clone(memory) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.release(self.bytes.len());
        give_back(std::mem::take(&mut self.bytes));
    }
}

/// The class whose buffers hold `size` bytes; none for those too small or too large to be worth keeping.
fn class(size: usize) -> Option<usize> {
    (POOLED_BYTES_MIN..=POOLED_BYTES_MAX)
        .contains(&size)
        .then(|| size.next_power_of_two().ilog2() as usize - POOLED_BYTES_MIN.ilog2() as usize)
}

#[derive(Default)]
struct Pool {
    free: [Vec<Vec<u8>>; CLASSES],
    bytes: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

fn pooled(class: usize) -> Option<Vec<u8>> {
    POOL.with_borrow_mut(|pool| {
        let buffer = pool.free[class].pop()?;
        pool.bytes -= buffer.len();
        Some(buffer)
    })
}

fn give_back(buffer: Vec<u8>) {
    let Some(class) = class(buffer.len()) else { return };
    // A thread that is ending has no pool any more: then the buffer is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.bytes + buffer.len() <= POOL_BYTES_MAX {
            pool.bytes += buffer.len();
            pool.free[class].push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_length_reserves_little() {
        let memory = Memory::new(1 << 20);
        let incoming = Incoming::new(100 << 20, 0, &memory);
        assert_eq!(memory.held(), FIRST_STEP_BYTES);
        drop(incoming);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn a_request_grows_as_it_arrives_and_is_released_with_its_last_slice() {
        let memory = Memory::new(1 << 30);
        let sent: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let mut incoming = Incoming::new(sent.len(), 0, &memory);
        assert_eq!(incoming.take(&sent[..1000]), 1000);
        let mut at = 1000;
        while !incoming.is_whole() {
            if incoming.is_full() {
                incoming.grow();
            }
            let space = incoming.space();
            let arrived = space.len().min(1449);
            space[..arrived].copy_from_slice(&sent[at..at + arrived]);
            incoming.received(arrived);
            at += arrived;
        }
        let whole = incoming.finish();
        assert_eq!(whole, sent);
        let slice = whole.slice(5..10);
        drop(whole);
        assert!(memory.held() >= sent.len());
        drop(slice);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn one_connection_at_a_time_may_overdraw() {
        let memory = Memory::new(1);
        memory.charge(1);
        assert!(!memory.has_room());
        assert!(memory.may_finish(7));
        assert!(memory.may_finish(7));
        assert!(!memory.may_finish(8));
        memory.finished(8);
        memory.finished(7);
        assert!(memory.may_finish(8));
    }
}
