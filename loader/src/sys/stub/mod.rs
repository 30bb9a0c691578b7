//! A platform without an operating system: memory comes from the global allocator, nothing faults, nothing is known of
//! threads. Memory checkers see every allocation and its bounds.
//!
//! | file | what it gives |
//! |---|---|
//! | `memory.rs` | exact mappings; reservations cannot be had |
//! | `thread.rs` | activations, linked through their stores; the stack limit that the embedder set |
//! | `stack.rs` | the stack pointer |

#[cfg(not(feature = "std"))]
pub(crate) mod memory;
#[cfg(not(any(feature = "std", miri)))]
mod stack;
/// Where an interpreter is: it has no stack that compiled code would use.
#[cfg(all(not(feature = "std"), miri))]
mod stack {
    /// So much that no limit is reached.
    pub(super) fn stack_pointer() -> u64 {
        u64::MAX
    }
}
#[cfg(not(feature = "std"))]
pub(crate) mod thread;
