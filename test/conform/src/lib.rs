//! Real foreign clients against the real binary: starts brokers, installs clients, runs cases.
//!
//! Knows processes, ports and files; never a message of the protocol: the clients know that.

pub mod broker;
pub mod case;
pub mod chaos;
pub mod crash;
pub mod foreign;
pub mod history;
pub mod lines;
pub mod nodes;
pub mod roundtrip;
pub mod shared;

use std::path::PathBuf;

/// The folder of this crate, where cases and the clients' pins are.
#[must_use]
pub fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The build folder that this very program was built into, such as `target/debug`.
fn build_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let folder = own.parent().expect("a program lies in a folder");
    // Tests lie one deeper, in `deps`.
    let folder = if folder.ends_with("deps") { folder.parent().expect("deps has a parent") } else { folder };
    folder.to_path_buf()
}
