//! Functions as bindings for other languages call them.
//!
//! # Safety
//!
//! A [`DirectFunc`] leads to its store, which is in a box. That the store is there, and that nobody else uses it, is
//! the promise of whoever calls.
#![allow(unsafe_code, reason = "the store by its address")]

use anyhow::{Error, Result};

use super::Func;
pub use crate::call::DirectWays;
use crate::call::{DirectArguments, DirectCallee};
use crate::store::AsContextMut;
use crate::types::ValType;

/// A function of an instance whose values are numbers, at most one of them a result, for bindings that check types and
/// stores themselves. A call is what [`crate::TypedFunc::call`] does, without its looking whether the store is the right one.
///
/// With `std`, its first 64 bits are the address of a function of the C calling convention, `fn(&DirectFunc, arguments: u64...) -> (bits:
/// u64, error: *mut ())`, which makes the call. The bits are those of the arguments and of the result; of what is narrower than 64 bits
/// the rest may be anything. What is given as the error is null, or comes from the function in [`DirectWays`] that was
/// called. Without `std`, [`DirectFunc::call`] is all there is.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct DirectFunc(DirectCallee);

impl Func {
    /// This function for calls by the bits of its arguments. `None` for functions of the host, and for those that
    /// have vectors, references, more than 17 parameters or more than one result. `ways` are those for its number of parameters,
    /// which it gives first; without `std` nobody asks for them.
    ///
    /// # Panics
    /// If the function belongs to another store.
    ///
    /// # Safety
    /// `ways` gives functions as [`DirectWays`] describes them: the first calls [`DirectFunc::call`], the second
    /// [`DirectFunc::take_error`].
    pub unsafe fn direct(
        &self,
        mut store: impl AsContextMut,
        ways: impl FnOnce(usize) -> DirectWays,
    ) -> Option<DirectFunc> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        let ty = store.func_type(self.raw.hash);
        let is_number =
            |ty| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
        if !ty.params().chain(ty.results()).all(is_number) {
            return None;
        }
        let none = DirectWays { unusual: core::ptr::null(), raised: core::ptr::null() };
        let ways = if DirectFunc::HAS_ADDRESS { ways(ty.params().len()) } else { none };
        store.lend();
        store.direct_callee(&self.raw, ways).map(DirectFunc)
    }
}

impl DirectFunc {
    /// Whether there is an [`DirectFunc::address`].
    pub const HAS_ADDRESS: bool = cfg!(feature = "std");

    /// Address of the function that makes calls. Null without `std`.
    #[inline]
    pub fn address(&self) -> *const () {
        self.0.call as *const ()
    }

    /// Calls the function with the bits of its arguments, and gives those of its result, or anything.
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
        // SAFETY: the caller's promises; the store was lent when this was made.
        unsafe { self.0.call_without_gate(arguments) }
    }

    /// Why a call failed that was made by [`DirectFunc::address`].
    ///
    /// # Panics
    /// With the panic of a host function.
    ///
    /// # Safety
    /// As for [`DirectFunc::call`], and it is called by [`DirectWays::raised`].
    pub unsafe fn take_error(&self) -> Error {
        // SAFETY: the caller's promises.
        unsafe { self.0.take_raised() }
    }
}
