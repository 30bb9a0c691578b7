//! Calls, functions and values whose types nobody checks.
//!
//! # Safety
//!
//! [`ValRaw`] is a slot of an array call, and nothing else. That slots hold what a function's type says, and
//! enough of them, is the promise of whoever uses these functions.
#![allow(unsafe_code, reason = "values without types")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::{fmt, slice};

use alloc::sync::Arc;

use anyhow::Result;
use aotc_abi::vmctx::VmValue;

use super::host::SlotClosure;
use super::{Caller, Func, HostFunc, TypedFunc, WasmParams, WasmResults};
use crate::call;
use crate::linker::Linker;
use crate::store::{AsContext, AsContextMut};
use crate::types::{FuncType, ValType};
use crate::value::{ExternRef, Val};

/// A value of a type that is known from elsewhere: 16 bytes, little-endian. Integers and floats use the first 4 or
/// 8, and the rest is zero in those made here and undefined in those that compiled code makes.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct ValRaw(VmValue);

macro_rules! val_raw {
    ($($make:ident $get:ident $ty:ty, $what:literal;)*) => {
        impl ValRaw {$(
            #[doc = concat!("A value from ", $what, ".")]
            #[inline]
            pub fn $make(value: $ty) -> Self {
                let mut slot = VmValue::default();
                slot.bytes[..size_of::<$ty>()].copy_from_slice(&value.to_le_bytes());
                Self(slot)
            }

            #[doc = concat!("The value as ", $what, ".")]
            #[inline]
            pub fn $get(&self) -> $ty {
                let mut bytes = [0; size_of::<$ty>()];
                bytes.copy_from_slice(&self.0.bytes[..size_of::<$ty>()]);
                <$ty>::from_le_bytes(bytes)
            }
        )*}
    };
}

val_raw! {
    i32 get_i32 i32, "an `i32`";
    u32 get_u32 u32, "an `i32`, unsigned";
    i64 get_i64 i64, "an `i64`";
    u64 get_u64 u64, "an `i64`, unsigned";
    f32 get_f32 u32, "the bits of an `f32`";
    f64 get_f64 u64, "the bits of an `f64`";
    v128 get_v128 u128, "the bits of a `v128`";
}

impl ValRaw {
    /// A null reference of any type.
    pub fn null() -> Self {
        Self::u64(0)
    }

    /// A value from a `funcref` that [`Func::to_raw`] gave, or null.
    pub fn funcref(func: *mut c_void) -> Self {
        Self::u64(func as u64)
    }

    /// A value from an `externref` that [`ExternRef::to_raw`] gave; 0 is null.
    pub fn externref(value: u64) -> Self {
        Self::u64(value)
    }

    /// The value as an `externref`, for [`ExternRef::from_raw`].
    pub fn get_externref(&self) -> u64 {
        self.get_u64()
    }

    /// The value as a `funcref`, for [`Func::from_raw`].
    pub fn get_funcref(&self) -> *mut c_void {
        self.get_u64() as *mut c_void
    }
}

impl fmt::Debug for ValRaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValRaw({:#034x})", self.get_v128())
    }
}

impl Val {
    /// The value without its type. An `externref` without its type keeps nothing alive: it is good until the store's next
    /// collection.
    ///
    /// # Errors
    /// None in this version.
    ///
    /// # Panics
    /// If a reference belongs to another store.
    pub fn to_raw(&self, mut store: impl AsContextMut) -> Result<ValRaw> {
        let mut slot = VmValue::default();
        self.to_slot(&mut store.as_context_mut().0.opaque, &mut slot);
        Ok(ValRaw(slot))
    }

    /// The value of type `ty` in `raw`.
    ///
    /// # Safety
    /// It holds a value of this type, and if that is a reference, one of `store`.
    pub unsafe fn from_raw(mut store: impl AsContextMut, raw: ValRaw, ty: ValType) -> Val {
        Val::from_slot(&raw.0, ty, &store.as_context_mut().0.opaque)
    }
}

impl ExternRef {
    /// The reference without its type, which keeps nothing alive: it is good until the store's next collection. Never 0.
    ///
    /// # Errors
    /// None in this version.
    ///
    /// # Panics
    /// If it belongs to another store, or its value was collected.
    pub fn to_raw(&self, mut store: impl AsContextMut) -> Result<u64> {
        let mut slot = VmValue::default();
        Val::ExternRef(Some(*self)).to_slot(&mut store.as_context_mut().0.opaque, &mut slot);
        Ok(ValRaw(slot).get_externref())
    }

    /// The reference in `raw`; `None` for 0. A number that [`ExternRef::to_raw`] of this store did not give makes a handle that
    /// leads to another value or to none.
    pub fn from_raw(mut store: impl AsContextMut, raw: u64) -> Option<ExternRef> {
        let slot = ValRaw::externref(raw).0;
        match Val::from_slot(&slot, ValType::EXTERNREF, &store.as_context_mut().0.opaque) {
            Val::ExternRef(value) => value,
            _ => unreachable!("the type is `externref`"),
        }
    }
}

impl Func {
    /// A host function of type `ty` over values without types: it finds its arguments in the first slots, and
    /// leaves its results there.
    ///
    /// # Panics
    /// As [`Func::new`].
    ///
    /// # Safety
    /// `func` takes the arguments for what `ty` says, and leaves results of the types that it says, references of the
    /// caller's store among them.
    pub unsafe fn new_unchecked<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &mut [MaybeUninit<ValRaw>]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let store = &mut store.as_context_mut().0.opaque;
        store.engine.types().add(&ty).expect("function type with a hash of its own");
        store.add_host_func(Arc::new(HostFunc::unchecked(ty, func)))
    }

    /// Calls the function with arguments in the first slots, and leaves its results there.
    ///
    /// # Errors
    /// As [`Func::call`], except for values that do not fit.
    ///
    /// # Panics
    /// If the function belongs to another store, and with the panic of a host function.
    ///
    /// # Safety
    /// 1. `params_and_returns` is valid for reads and writes, and has as many slots as the larger number of parameters and
    ///    results; if there are none, it may be null.
    /// 2. The first slots hold arguments of the function's type, references of `store` among them.
    pub unsafe fn call_unchecked(
        &self,
        mut store: impl AsContextMut,
        params_and_returns: *mut [ValRaw],
    ) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        let values: &mut [VmValue] = if params_and_returns.is_null() {
            &mut []
        } else {
            let values = params_and_returns.cast::<VmValue>();
            // SAFETY: the caller's promise; `ValRaw` is a transparent `VmValue`.
            unsafe { slice::from_raw_parts_mut(values, params_and_returns.len()) }
        };
        let callee = store.callee(&self.raw)?;
        store.synchronously(|store| call::call(store, callee, values))
    }

    /// What a `funcref` of the function is, for [`ValRaw::funcref`]. Good as long as the store.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub fn to_raw(&self, mut store: impl AsContextMut) -> *mut c_void {
        store.as_context_mut().0.opaque.func_ref(self) as *mut c_void
    }

    /// The function that a `funcref` leads to; `None` if it is null.
    ///
    /// # Safety
    /// `raw` is null, or comes from a `funcref` of the same store.
    pub unsafe fn from_raw(mut store: impl AsContextMut, raw: *mut c_void) -> Option<Func> {
        store.as_context_mut().0.opaque.func_at(raw as u64)
    }
}

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    /// `func` for calls with Rust types, which nobody compares with the function's.
    ///
    /// # Panics
    /// If the function belongs to another store.
    ///
    /// # Safety
    /// [`Func::typed`] would succeed.
    pub unsafe fn new_unchecked(store: impl AsContext, func: Func) -> Self {
        let store = &store.as_context().0.opaque;
        store.check(func.store);
        Self::unchecked(func, store).expect("functions that can be reached can be called")
    }
}

impl<T: 'static> Linker<T> {
    /// Defines a host function of type `ty` over values without types: as [`Func::new_unchecked`].
    ///
    /// # Errors
    /// [`crate::LinkError::DuplicateDefinition`].
    ///
    /// # Safety
    /// As [`Func::new_unchecked`].
    pub unsafe fn func_new_unchecked(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &mut [MaybeUninit<ValRaw>]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        self.engine().types().add(&ty)?;
        self.insert_func(module, name, HostFunc::unchecked(ty, func))
    }
}

impl HostFunc {
    /// A function of type `ty` over slots that nobody looks at.
    fn unchecked<T: 'static>(
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &mut [MaybeUninit<ValRaw>]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let slots = ty.params().len().max(ty.results().len());
        let closure = move |caller: Caller<'_, T>, slots: &mut [VmValue]| {
            let values = slots.as_mut_ptr().cast::<MaybeUninit<ValRaw>>();
            // SAFETY: `ValRaw` is a transparent `VmValue`, so the slots can be borrowed as such. That the function
            // leaves values in them is its maker's promise.
            func(caller, unsafe { slice::from_raw_parts_mut(values, slots.len()) })
        };
        Self::over_slots(ty, SlotClosure::new(slots, closure))
    }
}
