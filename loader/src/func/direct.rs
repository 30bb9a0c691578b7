//! Host functions as compiled code calls them directly: with the bits of the arguments in registers.
//!
//! ```text
//!   compiled code --call------> enter[n]::<closure of n integers>
//!                 '-----------> collect[n] --array call--> a closure over slots
//!   the loader --array call---> spread[n] --call--> enter[n]
//! ```
//!
//! So a host function has both ways in, and only what depends on its closure is made for each closure.
//!
//! # Safety
//!
//! As in `host.rs`: whoever calls has a filled [`VmHostFunc`] with its prefix below it, of a function with `n` parameters
//! that can be called directly, and for an array call as many slots as its type needs.
#![allow(unsafe_code, reason = "compiled code calls in with raw pointers")]

use anyhow::Result;
use aotc_abi::builtin::STATUS_RAISED;
use aotc_abi::types::can_call_directly;
use aotc_abi::vmctx::{VmHostFunc, VmStoreCtx, VmValue};

use super::Caller;
use super::arity::for_each_arity;
use super::host::{
    ArrayCall, Roots, call_host, has_call_hook, run_closure, run_closure_with_hook, store_of,
};
use crate::call::{DirectReturn, of_u64};
use crate::types::FuncType;

/// A closure over the bits of its arguments, as many as `Bits` has. What it gives are those of its result, if it has one.
pub(crate) trait DirectClosure<T: 'static, Bits>: Send + Sync + 'static {
    /// Whether it may make roots.
    const ROOTS: Roots;
    /// Calls it.
    fn call(&self, caller: Caller<'_, T>, bits: Bits) -> Result<u64>;
}

/// A closure that may make roots.
pub(super) struct Rooting<F>(pub(super) F);

/// A closure that makes none.
pub(super) struct Rootless<F>(pub(super) F);

macro_rules! direct_closure {
    ($type:ident: $roots:expr) => {
        impl<T: 'static, Bits, F> DirectClosure<T, Bits> for $type<F>
        where
            F: Fn(Caller<'_, T>, Bits) -> Result<u64> + Send + Sync + 'static,
        {
            const ROOTS: Roots = $roots;

            #[inline(always)]
            fn call(&self, caller: Caller<'_, T>, bits: Bits) -> Result<u64> {
                (self.0)(caller, bits)
            }
        }
    };
}

direct_closure!(Rooting: Roots::MayBeMade);
direct_closure!(Rootless: Roots::None);

/// The ways into host functions with as many parameters as the array has elements. Functions are given by their addresses.
pub(crate) trait DirectParams: Sized {
    /// The direct call of a closure.
    fn enter<T: 'static, F: DirectClosure<T, Self>>() -> u64;
    /// The direct call of a function that has an array call.
    fn collect() -> u64;
    /// The array call of a function with as many results, at most one, that has a direct one.
    fn spread(results: usize) -> ArrayCall;
}

macro_rules! direct_params {
    ($(($count:literal $($name:ident $index:tt)*))*) => {
        $(
            #[allow(non_snake_case, reason = "named like types")]
            impl DirectParams for [u64; $count] {
                fn enter<T: 'static, F: DirectClosure<T, Self>>() -> u64 {
                    unsafe extern "C" fn enter<T: 'static, F: DirectClosure<T, [u64; $count]>>(
                        host: *mut VmHostFunc
                        $(, $name: u64)*
                    ) -> DirectReturn {
                        // SAFETY: the file's contract, and `enter` is put into the record of such a closure.
                        unsafe {
                            if has_call_hook(host) {
                                return enter_with_hook::<T, F>(host $(, $name)*);
                            }
                            run_closure(host, F::ROOTS, |closure: &F, caller| {
                                closure.call(caller, [$($name),*])
                            })
                        }
                    }

                    // Apart, so that the usual call has no frame.
                    #[cold]
                    #[inline(never)]
                    unsafe extern "C" fn enter_with_hook<T: 'static, F: DirectClosure<T, [u64; $count]>>(
                        host: *mut VmHostFunc
                        $(, $name: u64)*
                    ) -> DirectReturn {
                        // SAFETY: as above.
                        unsafe {
                            run_closure_with_hook(host, |closure: &F, caller| {
                                closure.call(caller, [$($name),*])
                            })
                        }
                    }
                    enter::<T, F> as *const () as u64
                }

                fn collect() -> u64 {
                    unsafe extern "C" fn collect(
                        host: *mut VmHostFunc
                        $(, $name: u64)*
                    ) -> DirectReturn {
                        let mut slots = [VmValue::default(); if $count == 0 { 1 } else { $count }];
                        $(slots[$index].set_bits($name);)*
                        // SAFETY: the file's contract; there is at most one result, and a slot for it.
                        let status = unsafe { call_host(host as u64, slots.as_mut_ptr()) };
                        match status {
                            0 => DirectReturn { result: slots[0].bits(), status: 0 },
                            // SAFETY: the file's contract.
                            _ => raised(unsafe { store_of(host) }),
                        }
                    }
                    collect as *const () as u64
                }

                fn spread(results: usize) -> ArrayCall {
                    unsafe extern "C" fn spread<const RESULTS: usize>(
                        host: *mut VmHostFunc,
                        values: *mut VmValue,
                    ) -> u32 {
                        // SAFETY: the file's contract: there is a slot for each parameter, and for the result.
                        unsafe {
                            let call: unsafe extern "C" fn(
                                *mut VmHostFunc
                                $(, of_u64!($name))*
                            ) -> DirectReturn = core::mem::transmute((*host).call as *const ());
                            let returned = call(host $(, (*values.add($index)).bits())*);
                            if RESULTS > 0 {
                                (*values).set_bits(returned.result);
                            }
                            returned.status as u32
                        }
                    }
                    if results == 0 { spread::<0> } else { spread::<1> }
                }
            }
        )*

        /// The direct call of a function of this type that has an array call; `None` if there are no direct calls of it.
        pub(super) fn collector(ty: &FuncType) -> Option<u64> {
            if !has_direct_calls(ty) {
                return None;
            }
            match ty.params().len() {
                $($count => Some(<[u64; $count]>::collect()),)*
                more => unreachable!("direct calls with {more} parameters"),
            }
        }
    };
}

for_each_arity!(direct_params);

/// What the direct call of a function of the store at `store` gives that has raised.
pub(super) fn raised(store: *mut VmStoreCtx) -> DirectReturn {
    DirectReturn { result: store as u64, status: STATUS_RAISED.into() }
}

/// Whether functions of this type are called directly.
pub(super) fn has_direct_calls(ty: &FuncType) -> bool {
    can_call_directly(ty.params().map(|ty| ty.to_abi()), ty.results().map(|ty| ty.to_abi()))
}
