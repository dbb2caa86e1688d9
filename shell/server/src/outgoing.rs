//! What waits to leave on one connection, and how it leaves: many responses in one call, file ranges without a copy.

use crate::file::LocalFile;
use crate::platform;
use crate::reading::is_peer_gone;
use broker::log::DiskFile;
use broker::{Frame, Part};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pieces that leave in one call.
const PIECES_PER_CALL: usize = 32;
/// File ranges up to this size are copied and leave together with what surrounds them: one call instead of two, and
/// cheaper than setting up a transfer from the page cache.
const COPIED_FILE_BYTES_MAX: u32 = 8 << 10;
/// Most bytes of a file that one call takes.
const FILE_CALL_BYTES_MAX: u32 = 1 << 20;
/// A queue that grew beyond this is freed when it is empty.
const KEPT_QUEUE: usize = 8;

#[derive(Default)]
pub struct Outgoing {
    queue: VecDeque<Part<LocalFile>>,
    /// All bytes that wait, those in files too.
    unsent: u64,
    /// Those of them that are held in memory.
    in_memory: usize,
}

impl Outgoing {
    pub fn push(&mut self, frame: Frame<LocalFile>) {
        self.push_bytes(frame.head);
        for part in frame.rest {
            match part {
                Part::Bytes(bytes) => self.push_bytes(bytes),
                Part::File { length: 0, .. } => {}
                Part::File { file, position, length } => self.push_file(file, position, length),
            }
        }
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.unsent += bytes.len() as u64;
            self.in_memory += bytes.len();
            self.queue.push_back(Part::Bytes(bytes));
        }
    }

    fn push_file(&mut self, file: LocalFile, position: u64, length: u32) {
        if length <= COPIED_FILE_BYTES_MAX {
            let mut copy = vec![0; length as usize];
            // A range that cannot be read whole fails below, where it is to be sent.
            if file.read_at(position, &mut copy) == Ok(copy.len()) {
                return self.push_bytes(copy.into());
            }
        }
        self.unsent += u64::from(length);
        self.queue.push_back(Part::File { file, position, length });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Sends what the socket takes now. An error means that the connection cannot go on.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while let Some(front) = self.queue.front_mut() {
            let flow = match front {
                Part::Bytes(_) => self.flush_bytes(stream)?,
                Part::File { file, position, length } => {
                    let want = (*length).min(FILE_CALL_BYTES_MAX) as usize;
                    // A short transfer is no sign of a full socket here: the file may have ended.
                    let call = || platform::send_file(stream, file.raw(), *position, want);
                    let sent = attempt(stream, 0, call).inspect_err(|error| {
                        if !is_peer_gone(error) {
                            file.doubt();
                        }
                    });
                    let Some(sent) = sent? else { return Ok(()) };
                    let sent = u32::try_from(sent).expect("no more is sent than was asked for");
                    *position += u64::from(sent);
                    *length -= sent;
                    self.unsent -= u64::from(sent);
                    if *length == 0 {
                        self.queue.pop_front();
                    }
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        if self.queue.capacity() > KEPT_QUEUE {
            self.queue = VecDeque::new();
        }
        Ok(())
    }

    /// Sends the run of byte pieces at the front in one call.
    fn flush_bytes(&mut self, stream: &TcpStream) -> io::Result<ControlFlow<()>> {
        let mut slices = [IoSlice::new(&[]); PIECES_PER_CALL];
        let (mut count, mut want, mut more) = (0, 0, false);
        for part in &self.queue {
            match part {
                Part::Bytes(bytes) if count < PIECES_PER_CALL => {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                    want += bytes.len();
                }
                Part::Bytes(_) | Part::File { .. } => {
                    more = true;
                    break;
                }
            }
        }
        let slices = &slices[..count];
        let Some(sent) = attempt(stream, want, || platform::send(stream, slices, more))? else {
            return Ok(ControlFlow::Break(()));
        };
        self.sent(sent);
        Ok(if sent < want { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Drops `sent` bytes from the byte pieces at the front.
    fn sent(&mut self, mut sent: usize) {
        self.unsent -= sent as u64;
        self.in_memory -= sent;
        while sent > 0 {
            let Some(Part::Bytes(front)) = self.queue.front_mut() else { return };
            if front.len() > sent {
                front.advance(sent);
                return;
            }
            sent -= front.len();
            self.queue.pop_front();
        }
    }
}

/// One call on the socket: how much it took, or `None` where it takes nothing now. A call that took less than `full_below`
/// filled the socket, so that the next attempt waits for the system's word instead of finding out by a call.
fn attempt(
    stream: &TcpStream,
    full_below: usize,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    let mut took = None;
    let outcome = stream.try_io(Interest::WRITABLE, || {
        let sent = loop {
            match call() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A file that became shorter than what was promised from it: the response cannot be completed.
                Ok(0) => return Err(io::Error::other("a segment was cut while it was being sent")),
                other => break other?,
            }
        };
        took = Some(sent);
        if sent < full_below { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_sent_is_in_doubt() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a listener");
        stream.writable().await.expect("nothing was sent yet");
        let path = std::env::temp_dir().join(format!("vltava-unreadable-{}", std::process::id()));
        let file = LocalFile::new(std::fs::File::create(&path).expect("made"), path.clone());
        file.write_at(0, &[&[7; 20_000]]).expect("written");
        std::fs::remove_file(&path).expect("it was made");
        assert!(!file.is_in_doubt());
        let mut outgoing = Outgoing::default();
        let rest = vec![Part::File { file: file.clone(), position: 0, length: 20_000 }];
        outgoing.push(Frame { head: Bytes::new(), rest });
        let error = outgoing.flush(&stream).expect_err("it is open for writing alone");
        assert!(!is_peer_gone(&error), "{error}");
        assert!(file.is_in_doubt() && !file.is_cached(0, 20_000));
        assert_eq!(file.warm(0, 20_000).expect_err("nor can it be read").kind, broker::log::ErrorKind::Failed);
        assert!(file.is_in_doubt());
    }
}
