//! Calls with Rust types: no allocation, no lookup, no lock.

use super::arity::for_each_arity;
use crate::prelude::*;
use core::marker::PhantomData;

use anyhow::{Result, anyhow};
use aotc_abi::vmctx::VmValue;

use super::Func;
use crate::call::{self, Callee, DirectArguments, DirectCallee};
use crate::store::{AsContextMut, StoreOpaque};
use crate::types::{FuncType, ValType};
use crate::value::{ExternRef, Slot, WasmTy};

/// A function whose type was checked once, so that calls need no more than the arguments.
///
/// ```
/// use aotc_loader::{Engine, Instance, Module, Store, V128};
///
/// # fn main() -> anyhow::Result<()> {
/// # let text = br#"(module (func (export "swap") (param i32 v128) (result v128 i32)
/// #     (local.get 1) (local.get 0)))"#;
/// # let image = aotc::compile(text, aotc::Emit::Image, &aotc::Options::default())?;
/// # let engine = Engine::default();
/// # let module = Module::from_bytes(&engine, &image)?;
/// # let mut store = Store::new(&engine, ());
/// # let instance = Instance::new(&mut store, &module, &[])?;
/// // `swap` has the type (func (param i32 v128) (result v128 i32)).
/// let swap = instance.get_typed_func::<(i32, V128), (V128, i32)>(&mut store, "swap")?;
/// assert_eq!(swap.call(&mut store, (7, V128::from(1 << 100)))?, (V128::from(1 << 100), 7));
/// assert!(instance.get_typed_func::<i32, i32>(&mut store, "swap").is_err());
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<Params, Results> {
    func: Func,
    callee: Callee,
    /// How to call without an array of values, if that is possible.
    direct: Option<DirectCallee>,
    types: PhantomData<fn(Params) -> Results>,
}

impl<Params, Results> Clone for TypedFunc<Params, Results> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Params, Results> Copy for TypedFunc<Params, Results> {}

/// Slots of an array call that need no more than this use less stack.
const FEW: usize = 4;
/// As many as the largest tuple.
const MANY: usize = 17;

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    pub(super) fn new(func: Func, store: &StoreOpaque) -> Result<Self> {
        let found = store.func_type(func.raw.hash);
        let expected = FuncType::unregistered(Params::types(), Results::types());
        if found != expected {
            return Err(anyhow!("type mismatch: expected {expected}, found {found}"));
        }
        Self::unchecked(func, store)
    }

    /// Without looking at the types.
    ///
    /// # Errors
    /// As [`StoreOpaque::callee`].
    pub(super) fn unchecked(func: Func, store: &StoreOpaque) -> Result<Self> {
        let callee = func.callee(store)?;
        let direct = store.direct_callee(&func.raw, Params::Bits::ways());
        Ok(Self { func, callee, direct, types: PhantomData })
    }

    /// The untyped function.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// A [`crate::Trap`], or whatever error a host function returned.
    ///
    /// # Panics
    /// If the function or a reference among the values belongs to another store, and with the panic
    /// of a host function.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: Params) -> Result<Results> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.func.store);
        match &self.direct {
            Some(callee) => {
                let arguments = params.to_bits(store);
                let result = call::call_synchronously(store, callee, arguments)?;
                Ok(Results::from_bits(result, store))
            }
            None => self.call_otherwise(store, params),
        }
    }

    /// A call with an array of values.
    #[inline(never)]
    fn call_otherwise(&self, store: &mut StoreOpaque, params: Params) -> Result<Results> {
        store.synchronously(|store| self.call_here(store, params))
    }

    /// The call itself, on whatever stack.
    pub(super) fn call_here(&self, store: &mut StoreOpaque, params: Params) -> Result<Results> {
        if let Some(callee) = &self.direct {
            let arguments = params.to_bits(store);
            let result = call::call_directly(store, callee, arguments)?;
            Ok(Results::from_bits(result, store))
        } else if const { Params::COUNT <= FEW && Results::COUNT <= FEW } {
            self.call_with::<FEW>(store, params)
        } else {
            self.call_with::<MANY>(store, params)
        }
    }

    #[inline]
    fn call_with<const SLOTS: usize>(
        &self,
        store: &mut StoreOpaque,
        params: Params,
    ) -> Result<Results> {
        let mut values = [VmValue { bytes: [0; 16] }; SLOTS];
        params.to_slots(store, &mut values);
        call::call(store, self.callee, &mut values)?;
        Ok(Results::from_slots(&values, store))
    }
}

/// Parameters of a typed call: one [`WasmTy`], [`Func`] or [`ExternRef`], or a tuple of up to 17.
pub trait WasmParams: sealed::Params {}

/// Results of a typed call: one [`WasmTy`], or a tuple of up to 17.
pub trait WasmResults: sealed::Results {}

pub(crate) mod sealed {
    use super::*;

    pub trait Params: Sized + Send {
        const COUNT: usize;
        fn types() -> Vec<ValType>;
        fn to_slots(self, store: &mut StoreOpaque, slots: &mut [VmValue]);
        /// For a direct call.
        type Bits: DirectArguments;
        fn to_bits(self, store: &mut StoreOpaque) -> Self::Bits;
    }

    pub trait Results: Sized + Send {
        const COUNT: usize;
        fn types() -> Vec<ValType>;
        fn from_slots(slots: &[VmValue], store: &StoreOpaque) -> Self;
        /// From a direct call, which has at most one result.
        fn from_bits(bits: u64, store: &StoreOpaque) -> Self;
    }
}

impl<P: sealed::Params> WasmParams for P {}
impl<R: sealed::Results> WasmResults for R {}

/// What may be among the parameters of a typed call: besides all [`WasmTy`]s references that are not null, which
/// no function of this version can promise to return.
pub(crate) trait Param: Send + Sized {
    type Ty: WasmTy;
    fn into_ty(self) -> Self::Ty;
}

impl<A: WasmTy> Param for A {
    type Ty = Self;

    #[inline]
    fn into_ty(self) -> Self {
        self
    }
}

impl Param for Func {
    type Ty = Option<Func>;

    #[inline]
    fn into_ty(self) -> Option<Func> {
        Some(self)
    }
}

impl Param for ExternRef {
    type Ty = Option<ExternRef>;

    #[inline]
    fn into_ty(self) -> Option<ExternRef> {
        Some(self)
    }
}

impl<A: Param> sealed::Params for A {
    const COUNT: usize = 1;

    fn types() -> Vec<ValType> {
        vec![A::Ty::valtype()]
    }

    #[inline]
    fn to_slots(self, store: &mut StoreOpaque, slots: &mut [VmValue]) {
        self.into_ty().to_slot(store, &mut slots[0]);
    }

    type Bits = [u64; 1];

    #[inline]
    fn to_bits(self, store: &mut StoreOpaque) -> Self::Bits {
        [Slot::to_bits(self.into_ty(), store)]
    }
}

impl<A: WasmTy> sealed::Results for A {
    const COUNT: usize = 1;

    fn types() -> Vec<ValType> {
        vec![A::valtype()]
    }

    #[inline]
    fn from_slots(slots: &[VmValue], store: &StoreOpaque) -> Self {
        A::from_slot(&slots[0], store)
    }

    #[inline]
    fn from_bits(bits: u64, store: &StoreOpaque) -> Self {
        <A as Slot>::from_bits(bits, store)
    }
}

macro_rules! tuples {
    ($(($count:literal $($name:ident $index:tt)*))*) => {$(
        impl<$($name: Param),*> sealed::Params for ($($name,)*) {
            const COUNT: usize = $count;

            fn types() -> Vec<ValType> {
                vec![$($name::Ty::valtype()),*]
            }

            #[inline]
            fn to_slots(self, _store: &mut StoreOpaque, _slots: &mut [VmValue]) {
                $(self.$index.into_ty().to_slot(_store, &mut _slots[$index]);)*
            }

            type Bits = [u64; $count];

            #[inline]
            fn to_bits(self, _store: &mut StoreOpaque) -> Self::Bits {
                [$(Slot::to_bits(self.$index.into_ty(), _store)),*]
            }
        }

        #[cfg(feature = "async")]
        impl<$($name: WasmTy),*> super::WasmTyList for ($($name,)*) {}

        impl<$($name: WasmTy),*> sealed::Results for ($($name,)*) {
            const COUNT: usize = $count;

            fn types() -> Vec<ValType> {
                vec![$($name::valtype()),*]
            }

            #[allow(clippy::unused_unit, reason = "the tuple is of any size")]
            #[inline]
            fn from_slots(_slots: &[VmValue], _store: &StoreOpaque) -> Self {
                ($($name::from_slot(&_slots[$index], _store),)*)
            }

            #[allow(clippy::unused_unit, reason = "the tuple is of any size")]
            #[inline]
            fn from_bits(_bits: u64, _store: &StoreOpaque) -> Self {
                // There is one at most.
                ($(<$name as Slot>::from_bits(_bits, _store),)*)
            }
        }
    )*};
}

for_each_arity!(tuples);
