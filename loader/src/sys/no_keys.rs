//! Protection keys where there are none: no key exists, so nothing can be done with one.

/// A key, of which there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {}

/// Lets this thread touch all pages, which it may anyway.
pub(crate) fn open() {}

/// Whether this thread may touch, of our pages, only those with `key`.
pub(crate) fn is_restricted(key: Key) -> bool {
    match key {}
}

/// Lets this thread touch, of our pages, only those with `key`.
pub(crate) fn restrict(key: Key) {
    match key {}
}

#[cfg(feature = "std")]
pub(crate) use with_system::*;

/// What is asked where there is an operating system.
#[cfg(feature = "std")]
#[allow(unsafe_code, reason = "the signatures of the platform that has keys")]
mod with_system {
    use std::io;

    use super::Key;
    use crate::sys::Access;

    /// Whether the processor and the kernel have protection keys.
    pub(crate) fn are_available() -> bool {
        false
    }

    /// The keys that are ours: none.
    pub(crate) fn keys(_count: usize) -> &'static [Key] {
        &[]
    }

    /// Gives pages a key.
    ///
    /// # Safety
    /// As there are no keys, nobody can call this.
    pub(crate) unsafe fn color(_: u64, _: u64, _: Access, key: Key) -> io::Result<()> {
        match key {}
    }

    /// Lets a signal handler touch our pages, which it may anyway.
    pub(crate) fn open_in_handler() {}

    /// Opens an interrupted thread, which none needs.
    ///
    /// # Safety
    /// Both are what the kernel gave to the running signal handler.
    pub(crate) unsafe fn open_interrupted(
        _: *const libc::siginfo_t,
        _: *mut libc::ucontext_t,
    ) -> bool {
        false
    }
}
