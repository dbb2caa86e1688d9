//! Any other Unix, macOS first: the same shapes by copying, and by reads that may wait.

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Most bytes of a file that are copied to a socket at a time.
const COPY_BYTES: usize = 64 << 10;

/// There is no read that refuses to wait here: this one answers always, and may wait.
pub fn is_cached(file: &File, position: u64) -> bool {
    rustix::io::pread(file, &mut [0], position).is_ok()
}

/// Space cannot be reserved here without changing the file's length; a full disk shows at the write instead.
pub fn reserve(_file: &File, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Sends the pieces; that more follows cannot be said here. A closed peer is an error and no signal, for Rust programs
/// ignore SIGPIPE from the start.
pub fn send<S: AsFd>(socket: S, pieces: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
    Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::empty())?)
}

/// Sends a part of the range, copied through a buffer.
pub fn send_file<S: AsFd>(socket: S, file: &File, position: u64, length: usize) -> io::Result<usize> {
    let mut buffer = vec![0; length.min(COPY_BYTES)];
    let read = rustix::io::pread(file, &mut buffer, position)?;
    if read == 0 {
        return Ok(0);
    }
    Ok(rustix::net::send(socket, &buffer[..read], SendFlags::empty())?)
}

/// The kernel's name for its own run, or `None` where it does not tell.
pub fn boot_id() -> Option<String> {
    let said = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output().ok()?;
    said.status.success().then(|| String::from_utf8(said.stdout).ok()).flatten()
}

/// Detects a peer that vanished without a word, at the system's own pace.
pub fn keep_alive<S: AsFd>(socket: S) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_keepalive(socket, true)?)
}

/// Detects that the other end of a link is silent, at the system's own pace; requests have time-outs of their own.
pub fn notice_silence<S: AsFd>(socket: S) -> io::Result<()> {
    keep_alive(socket)
}

/// Where data belongs that nobody gave a place: to a service run by root, or to a user.
pub fn data_dir(xdg_data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/vltava"));
    }
    let of_user = if cfg!(target_os = "macos") { "Library/Application Support/vltava" } else { ".local/share/vltava" };
    xdg_data_home.map(|data| data.join("vltava")).or_else(|| home.map(|home| home.join(of_user)))
}
