//! Shared values that are counted in several places, so that threads that take and drop them all the time do not wait for one
//! another's counts.
//!
//! ```text
//!   Handle --> count of these handles --.
//!   Handle --> count of these handles ----> count of counts, value
//! ```
//!
//! A handle's clones are counted where it is; [`Handle::apart`] gives one that is counted elsewhere.

use alloc::sync::{Arc, Weak};
use core::ops::Deref;

#[cfg(feature = "std")]
pub(crate) use apart::WeakHandle;

/// A counted reference to a shared value.
pub(crate) struct Handle<T>(Arc<Counted<T>>);

/// With its count in cache lines of its own.
#[cfg_attr(feature = "std", repr(align(128)))]
struct Counted<T>(Arc<T>);

impl<T> Handle<T> {
    /// The first handle of a value.
    pub(crate) fn new(value: T) -> Self {
        Self::of(Arc::new(value))
    }

    fn of(value: Arc<T>) -> Self {
        Self(Arc::new(Counted(value)))
    }

    /// Whether both are of one value.
    pub(crate) fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.0.0, &b.0.0)
    }

    /// Where the value is.
    pub(crate) fn as_ptr(&self) -> *const T {
        Arc::as_ptr(&self.0.0)
    }

    /// The value, without keeping it.
    pub(crate) fn downgrade(&self) -> Weak<T> {
        Arc::downgrade(&self.0.0)
    }

    /// A handle, if there is one still.
    pub(crate) fn upgrade(value: &Weak<T>) -> Option<Self> {
        value.upgrade().map(Self::of)
    }
}

impl<T> Clone for Handle<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

/// Other counts, where there are threads that would wait.
#[cfg(feature = "std")]
mod apart {
    use alloc::sync::{Arc, Weak};

    use super::{Counted, Handle};

    impl<T> Handle<T> {
        /// A handle of the same value whose clones are not counted where those of this one are.
        pub(crate) fn apart(&self) -> Self {
            Self::of(self.0.0.clone())
        }

        /// This count, without keeping anything.
        pub(crate) fn downgrade_count(&self) -> WeakHandle<T> {
            WeakHandle(Arc::downgrade(&self.0))
        }
    }

    /// A handle's count, which keeps nothing.
    pub(crate) struct WeakHandle<T>(Weak<Counted<T>>);

    impl<T> Default for WeakHandle<T> {
        fn default() -> Self {
            Self(Weak::new())
        }
    }

    impl<T> WeakHandle<T> {
        /// A handle that is counted there, if any such is left.
        pub(crate) fn upgrade(&self) -> Option<Handle<T>> {
            self.0.upgrade().map(Handle)
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn all_counts_keep_the_value() {
        let first = Handle::new(5);
        let weak = first.downgrade();
        let (count, apart) = (first.downgrade_count(), first.apart());
        let clone = apart.clone();
        assert!(Handle::same(&first, &clone) && !Handle::same(&first, &Handle::new(5)));
        drop(first);
        assert!(count.upgrade().is_none());
        assert_eq!(Handle::upgrade(&weak).as_deref(), Some(&5));
        drop((apart, clone));
        assert!(Handle::upgrade(&weak).is_none());
    }
}
