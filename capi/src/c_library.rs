//! What the crate asks of the C library itself: memory that C programs free, and without `std` all memory. A program
//! without a C library defines these.
//!
//! # Safety
//!
//! The symbols are what the C standard says.

use core::ffi::c_void;

unsafe extern "C" {
    /// `count * bytes` bytes, all zero; null if there are not so many.
    pub(crate) fn calloc(count: usize, bytes: usize) -> *mut c_void;
    /// Gives back what [`calloc`] or its relatives gave; null is nothing.
    pub(crate) fn free(at: *mut c_void);
}

#[cfg(not(feature = "std"))]
unsafe extern "C" {
    /// `bytes` bytes; null if there are not so many.
    pub(crate) fn malloc(bytes: usize) -> *mut c_void;
    /// As many bytes as now are wanted, with what was there.
    pub(crate) fn realloc(at: *mut c_void, bytes: usize) -> *mut c_void;
    /// Ends the program.
    pub(crate) fn abort() -> !;
}
