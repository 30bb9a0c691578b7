//! Where there is no assembly for it, no call goes through a gate, and the state of a thread is a variable of Rust's.

use crate::call::Gate;
use crate::types::FuncType;

/// There is none.
pub(crate) fn gate_for(_ty: &FuncType) -> Option<Gate> {
    None
}

#[cfg(feature = "std")]
pub(super) use of_rust::*;

#[cfg(feature = "std")]
mod of_rust {
    use core::cell::Cell;

    /// The state of a thread that has not made a call yet.
    pub(in crate::sys) const UNPREPARED: u64 = 1;

    std::thread_local! {
        static STATE: Cell<u64> = const { Cell::new(UNPREPARED) };
    }

    /// Where this thread's state is, as long as the thread lives.
    pub(in crate::sys) fn state() -> *const Cell<u64> {
        STATE.with(|state| &raw const *state)
    }
}
