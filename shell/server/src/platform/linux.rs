//! Linux: file to socket without a copy, reads that never wait, space reserved ahead, the boot id.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Whether a byte can be read without waiting for the disk.
pub fn is_cached(file: &File, position: u64) -> bool {
    match preadv2(file, &mut [IoSliceMut::new(&mut [0])], position, ReadWriteFlags::NOWAIT) {
        // A file system that cannot say is read as any other: it may wait, but it answers.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => rustix::io::pread(file, &mut [0], position).is_ok(),
        read => read.is_ok(),
    }
}

/// Reserves space up to `length` without changing the file's length.
pub fn reserve(file: &File, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, length) {
        // Reserving is help, not a promise of this file system.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends the pieces; `more` says that a file range follows at once, so that both can share a packet.
pub fn send<S: AsFd>(socket: S, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    match pieces {
        [piece] => Ok(rustix::net::send(socket, piece, flags)?),
        pieces => Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)?),
    }
}

/// Sends a range of a file, from the page cache to the socket.
pub fn send_file<S: AsFd>(socket: S, file: &File, position: u64, length: usize) -> io::Result<usize> {
    let mut offset = position;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), length)?)
}

/// The kernel's name for its own run, or `None` where it does not tell.
pub fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

/// Detects a peer that vanished without a word after about two minutes of silence.
pub fn keep_alive<S: AsFd>(socket: S) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, std::time::Duration::from_secs(90))?;
    sockopt::set_tcp_keepintvl(&socket, std::time::Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(&socket, 3)?;
    Ok(())
}

/// Detects within about ten seconds that the other end of a link is silent, whether or not something waits to be
/// acknowledged: a cut network must not hold up a cluster.
pub fn notice_silence<S: AsFd>(socket: S) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, std::time::Duration::from_secs(4))?;
    sockopt::set_tcp_keepintvl(&socket, std::time::Duration::from_secs(1))?;
    sockopt::set_tcp_keepcnt(&socket, 4)?;
    // Beside this the count means nothing: a probe without an answer ends the connection once this time is over.
    sockopt::set_tcp_user_timeout(&socket, 8000)?;
    Ok(())
}

/// Where data belongs that nobody gave a place: to a service run by root, or to a user (the XDG base directories).
pub fn data_dir(xdg_data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/vltava"));
    }
    xdg_data_home.map(|data| data.join("vltava")).or_else(|| home.map(|home| home.join(".local/share/vltava")))
}
