//! The one seam between operating systems: what Linux does better than the rest has a portable twin of the same shape.
//! Nothing outside this folder asks which system it runs on.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub use portable::*;
