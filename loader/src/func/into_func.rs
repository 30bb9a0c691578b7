//! Closures as host functions.

use super::arity::for_each_arity;
use crate::prelude::*;
use anyhow::Result;
use aotc_abi::vmctx::VmValue;

use super::Caller;
use super::direct::{Rooting, Rootless};
use super::host::{HostFunc, SlotClosure};
use super::typed::sealed::Results;
use crate::engine::Engine;
use crate::store::StoreOpaque;
use crate::types::{FuncType, ValType};
use crate::value::{Slot, WasmTy};

/// A closure that can be a host function: `Fn(params...) -> R` or `Fn(Caller<'_, T>, params...) -> R`, with up to
/// 17 parameters that are [`WasmTy`] and an `R` that is [`WasmRet`].
pub trait IntoFunc<T: 'static, Params, Results>: Send + Sync + 'static + Sized {
    #[doc(hidden)]
    fn into_host_func(self, engine: &Engine) -> HostFunc;
}

/// What a host function may return: a [`WasmTy`], a tuple of them, or an `anyhow::Result` of either.
pub trait WasmRet: sealed::Ret {}

impl<R: sealed::Ret> WasmRet for R {}

pub(crate) mod sealed {
    use super::*;

    pub trait Ret {
        const COUNT: usize;
        /// Whether a direct call can return it.
        const IS_DIRECT: bool;
        fn types() -> Vec<ValType>;
        fn to_slots(self, store: &mut StoreOpaque, slots: &mut [VmValue]) -> Result<()>;
        /// What a direct call returns.
        fn to_bits(self, store: &mut StoreOpaque) -> Result<u64>;
    }
}

impl<A: WasmTy> sealed::Ret for A {
    const COUNT: usize = 1;
    const IS_DIRECT: bool = !A::IS_VECTOR;

    fn types() -> Vec<ValType> {
        vec![A::valtype()]
    }

    #[inline]
    fn to_slots(self, store: &mut StoreOpaque, slots: &mut [VmValue]) -> Result<()> {
        self.to_slot(store, &mut slots[0]);
        Ok(())
    }

    #[inline]
    fn to_bits(self, store: &mut StoreOpaque) -> Result<u64> {
        Ok(Slot::to_bits(self, store))
    }
}

impl<R: FlatRet> sealed::Ret for Result<R> {
    const COUNT: usize = R::COUNT;
    const IS_DIRECT: bool = R::IS_DIRECT;

    fn types() -> Vec<ValType> {
        <R as sealed::Ret>::types()
    }

    #[inline]
    fn to_slots(self, store: &mut StoreOpaque, slots: &mut [VmValue]) -> Result<()> {
        self?.to_slots(store, slots)
    }

    #[inline]
    fn to_bits(self, store: &mut StoreOpaque) -> Result<u64> {
        sealed::Ret::to_bits(self?, store)
    }
}

/// What may stand in a `Result`: not another one.
pub(crate) trait FlatRet: sealed::Ret {}

impl<A: WasmTy> FlatRet for A {}

macro_rules! wasm_ret {
    ($(($count:literal $($name:ident $index:tt)*))*) => {$(
        impl<$($name: WasmTy),*> sealed::Ret for ($($name,)*) {
            const COUNT: usize = $count;
            const IS_DIRECT: bool = $count <= 1 $(&& !$name::IS_VECTOR)*;

            fn types() -> Vec<ValType> {
                <($($name,)*) as Results>::types()
            }

            #[inline]
            fn to_slots(self, _store: &mut StoreOpaque, _slots: &mut [VmValue]) -> Result<()> {
                $(self.$index.to_slot(_store, &mut _slots[$index]);)*
                Ok(())
            }

            #[inline]
            fn to_bits(self, _store: &mut StoreOpaque) -> Result<u64> {
                let _bits = 0;
                // There is one at most.
                $(let _bits = Slot::to_bits(self.$index, _store);)*
                Ok(_bits)
            }
        }

        impl<$($name: WasmTy),*> FlatRet for ($($name,)*) {}
    )*};
}

macro_rules! into_func {
    ($(($count:literal $($name:ident $index:tt)*))*) => {$(
        impl<T, Func, R, $($name),*> IntoFunc<T, ($($name,)*), R> for Func
        where
            T: 'static,
            Func: Fn($($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            $($name: WasmTy),*
        {
            fn into_host_func(self, engine: &Engine) -> HostFunc {
                let ty = FuncType::new(engine, [$($name::valtype()),*], R::types());
                if const { R::IS_DIRECT $(&& !$name::IS_VECTOR)* } {
                    let closure = move |_caller: Caller<'_, T>, _bits: [u64; $count]| {
                        let _store = &mut _caller.store.0.opaque;
                        let result = self($($name::from_bits(_bits[$index], _store)),*);
                        result.to_bits(_store)
                    };
                    return if const { false $(|| $name::IS_ROOTED)* } {
                        HostFunc::over_bits(ty, Rooting(closure))
                    } else {
                        HostFunc::over_bits(ty, Rootless(closure))
                    };
                }
                let closure = move |_caller: Caller<'_, T>, _slots: &mut [VmValue]| {
                    let _store = &mut _caller.store.0.opaque;
                    let result = self($($name::from_slot(&_slots[$index], _store)),*);
                    result.to_slots(_store, _slots)
                };
                let slots = usize::max($count, R::COUNT);
                HostFunc::over_slots(ty, SlotClosure::new(slots, closure))
            }
        }

        #[allow(unused_parens, reason = "the tuple is of any size")]
        impl<T, Func, R, $($name),*> IntoFunc<T, (Caller<'_, T>, $($name,)*), R> for Func
        where
            T: 'static,
            Func: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            R: WasmRet + 'static,
            $($name: WasmTy),*
        {
            fn into_host_func(self, engine: &Engine) -> HostFunc {
                let ty = FuncType::new(engine, [$($name::valtype()),*], R::types());
                if const { R::IS_DIRECT $(&& !$name::IS_VECTOR)* } {
                    let closure = move |mut caller: Caller<'_, T>, _bits: [u64; $count]| {
                        let ctx = caller.ctx;
                        let _store = &caller.store.0.opaque;
                        $(
                            #[allow(non_snake_case, reason = "named like its type")]
                            let $name = $name::from_bits(_bits[$index], _store);
                        )*
                        let result = self(
                            Caller { store: caller.as_context_mut(), ctx },
                            $($name),*
                        );
                        result.to_bits(&mut caller.store.0.opaque)
                    };
                    return HostFunc::over_bits(ty, Rooting(closure));
                }
                let closure = move |mut caller: Caller<'_, T>, _slots: &mut [VmValue]| {
                    let ctx = caller.ctx;
                    let _store = &caller.store.0.opaque;
                    $(
                        #[allow(non_snake_case, reason = "named like its type")]
                        let $name = $name::from_slot(&_slots[$index], _store);
                    )*
                    let result = self(
                        Caller { store: caller.as_context_mut(), ctx },
                        $($name),*
                    );
                    result.to_slots(&mut caller.store.0.opaque, _slots)
                };
                let slots = usize::max($count, R::COUNT);
                HostFunc::over_slots(ty, SlotClosure::new(slots, closure))
            }
        }
    )*};
}

for_each_arity!(wasm_ret);
for_each_arity!(into_func);
