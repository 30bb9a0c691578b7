//! Panics at the border of compiled code, across which nothing may unwind.
//!
//! Without `std` a panic cannot be caught: it ends the program, as one does that leaves an `extern "C"` function.

pub(crate) use imp::{Payload, catch, resume};

#[cfg(feature = "std")]
mod imp {
    use core::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use crate::prelude::*;

    /// What a panic carries.
    pub(crate) type Payload = Box<dyn Any + Send>;

    /// Calls `f`, and catches its panic.
    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        catch_unwind(AssertUnwindSafe(f))
    }

    /// Goes on with a panic that was caught.
    pub(crate) fn resume(payload: Payload) -> ! {
        resume_unwind(payload)
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use core::convert::Infallible;

    /// There is none.
    pub(crate) struct Payload(Infallible);

    /// Calls `f`.
    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        Ok(f())
    }

    /// Cannot be called.
    pub(crate) fn resume(payload: Payload) -> ! {
        match payload.0 {}
    }
}
