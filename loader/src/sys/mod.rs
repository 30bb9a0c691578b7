//! The only folder that knows the operating system and the processor. A port edits this folder.
//!
//! | file | what it gives |
//! |---|---|
//! | `mapping.rs` | reserved addresses, files mapped, pages given and taken back |
//! | `dirty.rs` | which pages were written |
//! | `file.rs` | opening files, sealed files in memory |
//! | `thread.rs` | per thread: activations of wasm, stack limit, alternate stack, recorded frames |
//! | `signals.rs` | faults of compiled code become traps |
//! | `stack.rs` | stacks for fibers |
//! | `arch/*.rs` | per processor: raise, registers of an interrupted thread |

mod arch;
mod dirty;
mod file;
mod mapping;
mod signals;
#[cfg(feature = "async")]
mod stack;
pub(crate) mod thread;

pub(crate) use arch::raise_address;
pub(crate) use dirty::{RUNS_MAX, Run, dirty_runs};
pub(crate) use file::{open, read_at, sealed_memory_file};
pub(crate) use mapping::{Access, ExactMapping, FileMapping, Reservation, page_bytes};
pub(crate) use signals::install_handlers;
#[cfg(feature = "async")]
pub(crate) use stack::{FiberStack, STACK_BYTES_MIN, StackPool, StackSettings};
#[cfg(feature = "async")]
pub use stack::{StackCreator, StackMemory};
