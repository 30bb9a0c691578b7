//! The program itself: its end, signals, giving up the processor.

use std::error::Error;
use std::fmt;

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::memory::GuestMemory;

/// The guest has called `proc_exit`. This is the error of the call into the guest; who made the call finds it with
/// `error.downcast_ref::<ProcExit>()`. A code of 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcExit(
    /// The exit code, as the guest gave it.
    pub i32,
);

impl fmt::Display for ProcExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with status {}", self.0)
    }
}

impl Error for ProcExit {}

/// A guest has no signals: raising one is `ENOSYS`.
pub(crate) fn proc_raise(_: &mut WasiCtx, _: &mut GuestMemory<'_>, _signal: u32) -> Result<()> {
    Err(Errno::NoSys)
}

pub(crate) fn sched_yield(_: &mut WasiCtx, _: &mut GuestMemory<'_>) -> Result<()> {
    std::thread::yield_now();
    Ok(())
}
