//! A platform without an operating system: memory comes from the global allocator, nothing faults, nothing is known of
//! threads. Memory checkers see every allocation and its bounds.
//!
//! | file | what it gives |
//! |---|---|
//! | `memory.rs` | exact mappings; reservations cannot be had |
//! | `thread.rs` | activations, linked through their stores; the stack limit that the embedder set |
//! | `stack.rs` | the stack pointer |
//! | `cpu.rs` | the processor's features, asked of the processor |

#[cfg(target_arch = "x86_64")]
pub(crate) mod cpu;
/// Features of other processors, which artifacts cannot ask for.
#[cfg(not(any(target_arch = "x86_64", feature = "std")))]
pub(crate) mod cpu {
    /// Whether the processor has the feature `name`.
    pub(crate) fn has(_name: &str) -> bool {
        false
    }
}
#[cfg(not(feature = "std"))]
pub(crate) mod memory;
#[cfg(not(feature = "std"))]
mod stack;
#[cfg(not(feature = "std"))]
pub(crate) mod thread;
