//! Panics: errors of the function that C called. Without `std` nobody can catch one, and it ends the program.

use anyhow::Result;

#[cfg(feature = "std")]
use crate::prelude::*;

/// What a panic says.
#[cfg(feature = "std")]
fn panicked(panic: &(dyn core::any::Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow::anyhow!("panic: {}", text.unwrap_or("of a host function"))
}

/// Runs `body`; a panic is its error.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn caught<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    // What a panic leaves half done belongs to the store, which the loader keeps in order.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Runs `body`.
#[cfg(not(feature = "std"))]
#[inline]
pub(crate) fn caught<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    body()
}
