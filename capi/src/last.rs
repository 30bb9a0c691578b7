//! The last error of a function that does not return one: each thread's, or without `std` the program's.

use core::ptr;

use crate::error::aotc_error_t;
use crate::prelude::*;

/// Keeps the last error.
pub(crate) struct Last;

/// The only one.
pub(crate) const LAST: Last = Last;

#[cfg(feature = "std")]
mod place {
    use core::cell::RefCell;

    use super::{Box, aotc_error_t};

    std::thread_local! {
        static PLACE: RefCell<Option<Box<aotc_error_t>>> = const { RefCell::new(None) };
    }

    pub(super) fn with<R>(body: impl FnOnce(&mut Option<Box<aotc_error_t>>) -> R) -> R {
        PLACE.with_borrow_mut(body)
    }
}

#[cfg(not(feature = "std"))]
mod place {
    use super::{Box, aotc_error_t};
    use crate::sync::Mutex;

    static PLACE: Mutex<Option<Box<aotc_error_t>>> = Mutex::new(None);

    pub(super) fn with<R>(body: impl FnOnce(&mut Option<Box<aotc_error_t>>) -> R) -> R {
        body(&mut PLACE.lock().unwrap_or_else(|poison| poison.into_inner()))
    }
}

impl Last {
    /// Makes `error` the last one.
    pub(crate) fn set(&self, error: Box<aotc_error_t>) {
        // What a former error carries may have a finalizer, which is called with nothing borrowed.
        drop(place::with(|last| last.replace(error)));
    }

    /// The last error, which stays where it is until the next; null if there was none.
    pub(crate) fn get(&self) -> *const aotc_error_t {
        place::with(|last| last.as_deref().map_or(ptr::null(), ptr::from_ref))
    }
}
