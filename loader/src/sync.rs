//! Locks: those of `std`, or without it ones that spin. What is done under them is short and never waits.
//!
//! # Safety
//!
//! A guard is made by whoever changed the lock's state from free to taken, and changes it back when it is dropped;
//! between, nobody else has one, except that readers share. A [`OnceLock`]'s value is written by the one that changed its
//! state from empty, before the state says that it is there, and never again.
#![cfg_attr(not(feature = "std"), allow(unsafe_code, reason = "cells that locks guard"))]

#[cfg(feature = "std")]
pub(crate) use std::sync::{Mutex, OnceLock, RwLock};

#[cfg(not(feature = "std"))]
pub(crate) use spin::{Mutex, OnceLock, RwLock};

#[cfg(any(test, not(feature = "std")))]
#[cfg_attr(feature = "std", allow(unsafe_code, reason = "cells that locks guard"))]
mod spin {
    use core::cell::UnsafeCell;
    use core::hint::spin_loop;
    use core::ops::{Deref, DerefMut};
    use core::sync::atomic::{AtomicU32, Ordering};

    /// What a lock answers whose holder panicked: none does. Here so that the locks are used as those of `std` are.
    #[derive(Debug)]
    pub(crate) struct Poison<G>(G);

    impl<G> Poison<G> {
        pub(crate) fn into_inner(self) -> G {
            self.0
        }
    }

    type Locked<G> = Result<G, Poison<G>>;

    /// A value that one has at a time.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(RwLock<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(RwLock::new(value))
        }

        pub(crate) fn try_lock(&self) -> Result<Writing<'_, T>, ()> {
            let (taken, failed) = (Ordering::Acquire, Ordering::Relaxed);
            match self.0.state.compare_exchange(0, WRITER, taken, failed) {
                Ok(_) => Ok(Writing(&self.0)),
                Err(_) => Err(()),
            }
        }

        pub(crate) fn lock(&self) -> Locked<Writing<'_, T>> {
            self.0.write()
        }

        pub(crate) fn into_inner(self) -> Locked<T> {
            Ok(self.0.value.into_inner())
        }
    }

    /// A value that many read or one writes.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T> {
        /// Number of readers, or [`WRITER`].
        state: AtomicU32,
        value: UnsafeCell<T>,
    }

    const WRITER: u32 = u32::MAX;

    // SAFETY: the file's contract: as for those of `std`.
    unsafe impl<T: Send> Send for RwLock<T> {}
    // SAFETY: as above; readers share the value.
    unsafe impl<T: Send + Sync> Sync for RwLock<T> {}
    // SAFETY: nobody shares the value.
    unsafe impl<T: Send> Sync for Mutex<T> {}

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self { state: AtomicU32::new(0), value: UnsafeCell::new(value) }
        }

        pub(crate) fn read(&self) -> Locked<Reading<'_, T>> {
            let more = |readers: u32| (readers < WRITER - 1).then(|| readers + 1);
            while self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_err() {
                spin_loop();
            }
            Ok(Reading(self))
        }

        pub(crate) fn write(&self) -> Locked<Writing<'_, T>> {
            let (taken, failed) = (Ordering::Acquire, Ordering::Relaxed);
            while self.state.compare_exchange_weak(0, WRITER, taken, failed).is_err() {
                spin_loop();
            }
            Ok(Writing(self))
        }
    }

    /// The value of a [`RwLock`], shared.
    #[derive(Debug)]
    pub(crate) struct Reading<'a, T>(&'a RwLock<T>);

    impl<T> Deref for Reading<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: the file's contract: there is no writer.
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> Drop for Reading<'_, T> {
        fn drop(&mut self) {
            self.0.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// The value of a lock, for its only holder.
    #[derive(Debug)]
    pub(crate) struct Writing<'a, T>(&'a RwLock<T>);

    impl<T> Deref for Writing<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: the file's contract: nobody else has a guard.
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> DerefMut for Writing<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as above.
            unsafe { &mut *self.0.value.get() }
        }
    }

    impl<T> Drop for Writing<'_, T> {
        fn drop(&mut self) {
            self.0.state.store(0, Ordering::Release);
        }
    }

    /// A value that is written once.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        state: AtomicU32,
        value: UnsafeCell<Option<T>>,
    }

    /// States of a [`OnceLock`]: nothing there, being written, there.
    const EMPTY: u32 = 0;
    const BUSY: u32 = 1;
    const FULL: u32 = 2;

    // SAFETY: the file's contract: the value is shared once it is there, and was perhaps made by another thread.
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> Self {
            Self { state: AtomicU32::new(EMPTY), value: UnsafeCell::new(None) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.state.load(Ordering::Acquire) != FULL {
                return None;
            }
            // SAFETY: the file's contract: it is not written any more.
            unsafe { &*self.value.get() }.as_ref()
        }

        /// The value; made by `make` if there is none. Several may make one at once: the first is kept.
        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let value = make();
            let (taken, failed) = (Ordering::Acquire, Ordering::Relaxed);
            if self.state.compare_exchange(EMPTY, BUSY, taken, failed).is_ok() {
                // SAFETY: the file's contract: this changed the state from empty.
                unsafe { *self.value.get() = Some(value) };
                self.state.store(FULL, Ordering::Release);
            }
            loop {
                match self.get() {
                    Some(value) => return value,
                    None => spin_loop(),
                }
            }
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            Self { state: AtomicU32::new(FULL), value: UnsafeCell::new(Some(value)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::spin::{Mutex, OnceLock, Poison, RwLock};
    use crate::prelude::*;

    #[test]
    fn spinning_locks_exclude() {
        let counts = (Mutex::new(0), RwLock::new(0), OnceLock::new());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (one, many, first) = &counts;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        *one.lock().unwrap() += 1;
                        let before = *many.read().unwrap();
                        *many.write().unwrap() += 1;
                        assert!(*many.read().unwrap() > before);
                        let kept = *first.get_or_init(|| thread);
                        assert_eq!(first.get(), Some(&kept));
                    }
                });
            }
        });
        let (one, many, first) = counts;
        let held = one.try_lock().unwrap();
        assert!(*held == 4000 && one.try_lock().is_err());
        drop(held);
        let one = one.into_inner().unwrap_or_else(Poison::into_inner);
        assert_eq!((one, *many.read().unwrap()), (4000, 4000));
        assert!(first.get().is_some_and(|&thread| thread < 4));
        assert_eq!(OnceLock::from(vec![1]).get(), Some(&vec![1]));
    }
}
