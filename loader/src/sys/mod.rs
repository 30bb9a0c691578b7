//! The only folder that knows the operating system and the processor. A port edits this folder.
//!
//! | file | what it gives |
//! |---|---|
//! | `raise.rs` | leaving wasm |
//! | `frames.rs` | the frames of compiled code |
//! | `cpu/*.rs` | features of the processor |
//!
//! With the feature `std`, Linux:
//!
//! | file | what it gives |
//! |---|---|
//! | `mapping.rs` | reserved addresses, files mapped, pages given and taken back |
//! | `near.rs` | addresses near the loader's code |
//! | `dirty.rs` | which pages were written |
//! | `keys.rs` | protection keys, on x86-64; elsewhere `no_keys.rs` |
//! | `file.rs` | opening files, sealed files in memory |
//! | `gate.rs` | the short way into compiled code, on x86-64; elsewhere `no_gate.rs` |
//! | `adapters.rs` | what stands between it and functions with floats |
//! | `thread.rs` | per thread: activations of wasm, stack limit, alternate stack, recorded frames |
//! | `signals.rs` | faults of compiled code become traps |
//! | `stack.rs` | stacks for fibers |
//! | `arch/*.rs` | registers of an interrupted thread |
//!
//! Without it, no operating system: `stub/*.rs`.

mod cpu;
mod frames;
mod raise;

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod adapters;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) mod gate;
#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
#[path = "no_gate.rs"]
pub(crate) mod gate;

pub(crate) use cpu::Cpu;
pub(crate) use raise::raise_address;

#[cfg(feature = "std")]
mod arch;
#[cfg(feature = "std")]
mod dirty;
#[cfg(feature = "std")]
mod file;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) mod keys;
#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
#[path = "no_keys.rs"]
pub(crate) mod keys;
#[cfg(feature = "std")]
mod mapping;
#[cfg(feature = "std")]
mod near;
#[cfg(feature = "std")]
mod signals;
#[cfg(feature = "async")]
mod stack;
#[cfg(feature = "std")]
pub(crate) mod thread;

#[cfg(feature = "std")]
pub(crate) use self::{
    dirty::{RUNS_MAX, Run, dirty_runs, own_bytes, tells_dirty_pages},
    file::{open, read_at, sealed_memory_file},
    mapping::{Access, ExactMapping, FileMapping, Reservation, page_bytes},
    signals::install_handlers,
};
#[cfg(feature = "async")]
pub(crate) use stack::{FiberStack, STACK_BYTES_MIN, StackPool, StackSettings};
#[cfg(feature = "async")]
pub use stack::{StackCreator, StackMemory};
#[cfg(feature = "std")]
pub(crate) use std::io::Error as SysError;

#[cfg(any(test, not(feature = "std")))]
mod stub;

#[cfg(not(feature = "std"))]
pub(crate) use self::stub::{
    memory::{Access, ExactMapping, Reservation, SysError, page_bytes},
    thread,
};

/// Whether faults become traps, and addresses can be reserved.
pub(crate) const HAS_FAULTS: bool = cfg!(feature = "std");
/// Number of processors that this process may use.
pub(crate) fn processors() -> usize {
    #[cfg(feature = "std")]
    // What a group of processes may use of them, which the standard library looks up in files, is another question.
    return rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    #[cfg(not(feature = "std"))]
    1
}
