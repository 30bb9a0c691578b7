//! Functions as bindings for other languages call them.
//!
//! # Safety
//!
//! A [`DirectFunc`] has the address of its store, which is in a box. That the store is there, and that nobody else uses it, is
//! the promise of whoever calls.
#![allow(unsafe_code, reason = "the store by its address")]

use anyhow::Result;

use super::Func;
use crate::call::{self, DirectArguments, DirectCallee};
use crate::store::{AsContextMut, StoreOpaque};
use crate::types::ValType;

/// A function of an instance whose values are numbers, at most one of them a result, for bindings that check types and
/// stores themselves. A call is what [`crate::TypedFunc::call`] does, without its looking whether the store is the right one.
#[derive(Clone, Copy, Debug)]
pub struct DirectFunc {
    store: *mut StoreOpaque,
    callee: DirectCallee,
}

impl Func {
    /// This function for calls by the bits of its arguments. `None` for functions of the host, and for those that
    /// have vectors, references, more than 17 parameters or more than one result.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn direct(&self, mut store: impl AsContextMut) -> Option<DirectFunc> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        let ty = store.func_type(self.raw.hash);
        let is_number =
            |ty| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
        if !ty.params().chain(ty.results()).all(is_number) {
            return None;
        }
        let callee = store.direct_callee(&self.raw)?;
        Some(DirectFunc { store, callee })
    }
}

impl DirectFunc {
    /// Calls the function with the bits of its arguments, and gives those of its result, or anything. Of what is narrower
    /// than 64 bits the rest is ignored as an argument, and 0 as a result.
    ///
    /// # Errors
    /// As [`crate::TypedFunc::call`].
    ///
    /// # Safety
    /// 1. The store with which it was made has not been dropped.
    /// 2. The calling thread may use the store now: it has it to itself, or it is in a host function that the store's code
    ///    called.
    /// 3. There are as many arguments as the function has parameters.
    #[inline]
    pub unsafe fn call<Bits: DirectArguments>(&self, arguments: Bits) -> Result<u64> {
        // SAFETY: the caller's first and second promise.
        let store = unsafe { &mut *self.store };
        call::call_synchronously(store, &self.callee, arguments)
    }
}
