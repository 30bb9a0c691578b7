//! Values: dynamic ones, references, and the Rust types that stand for WebAssembly's.

use core::any::Any;
use core::fmt;

use anyhow::{Context, Result};
use aotc_abi::vmctx::VmValue;

use crate::func::Func;
use crate::prelude::*;
use crate::store::{AsContext, AsContextMut, OwnedRooted, StoreId, StoreOpaque};
use crate::types::{HeapType, RefType, ValType};

/// A 128-bit vector, as its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V128(u128);

impl V128 {
    /// The bits as an integer; lane 0 is in the low bits.
    pub fn as_u128(&self) -> u128 {
        self.0
    }
}

impl From<u128> for V128 {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<V128> for u128 {
    fn from(vector: V128) -> Self {
        vector.0
    }
}

/// A handle of a value of the host's that WebAssembly code can hold, as `externref`. The store owns the value, and keeps it
/// at least until the innermost [`crate::RootScope`] ends in which the handle was given, or the host function, or the store; see
/// [`crate::Store::gc`]. Giving WebAssembly a handle whose value is gone panics.
#[derive(Clone, Copy, Debug)]
pub struct ExternRef {
    pub(crate) store: StoreId,
    /// Place in the store, from 1, in the low half; the high half tells it from values that were there before.
    pub(crate) number: u64,
}

impl ExternRef {
    /// Gives `value` to the store.
    ///
    /// # Errors
    /// None in this version.
    pub fn new<V: 'static + Send + Sync>(
        mut store: impl AsContextMut,
        value: V,
    ) -> Result<ExternRef> {
        let store = &mut store.as_context_mut().0.opaque;
        let number = store.add_extern_ref(Box::new(value));
        Ok(ExternRef { store: store.id, number })
    }

    /// The value. It is always `Some`; others than the host's come with later versions of WebAssembly.
    ///
    /// # Errors
    /// If it was collected.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn data<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContext<'a, T>>,
    ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
        let store = &store.into().0.opaque;
        store.check(self.store);
        store.extern_refs.get(self.number).context(COLLECTED).map(Some)
    }

    /// As [`ExternRef::data`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
        let store = &mut store.into().0.opaque;
        store.check(self.store);
        store.extern_refs.get_mut(self.number).context(COLLECTED).map(Some)
    }

    /// A handle that keeps the value whatever scopes end.
    ///
    /// # Errors
    /// If it was collected.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn to_owned_rooted(&self, store: impl AsContextMut) -> Result<OwnedRooted<ExternRef>> {
        OwnedRooted::new(store, *self)
    }
}

/// What is wrong with a handle whose value is gone.
pub(crate) const COLLECTED: &str =
    "attempted to use an external value that was collected after its root scope had ended";

/// A handle that is valid in its [`crate::RootScope`]: here every handle is, so this is the handle itself. It is there for
/// those who come from Wasmtime, where it is a type of its own.
pub type Rooted<T> = T;

/// A reference.
#[derive(Clone, Copy, Debug)]
pub enum Ref {
    /// `funcref`.
    Func(Option<Func>),
    /// `externref`.
    Extern(Option<ExternRef>),
}

impl Ref {
    /// The null reference of a type.
    pub fn null(ty: &HeapType) -> Self {
        match ty {
            HeapType::Func => Self::Func(None),
            HeapType::Extern => Self::Extern(None),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Func(None) | Self::Extern(None))
    }

    /// Its type.
    pub fn ty(&self) -> RefType {
        match self {
            Self::Func(_) => RefType::FUNCREF,
            Self::Extern(_) => RefType::EXTERNREF,
        }
    }

    /// The function, if this is a `funcref`.
    pub fn as_func(&self) -> Option<Option<&Func>> {
        match self {
            Self::Func(func) => Some(func.as_ref()),
            Self::Extern(_) => None,
        }
    }

    /// The host's value, if this is an `externref`.
    pub fn as_extern(&self) -> Option<Option<&ExternRef>> {
        match self {
            Self::Extern(value) => Some(value.as_ref()),
            Self::Func(_) => None,
        }
    }

    /// What compiled code holds: the address of a function reference record, or an external reference's number.
    pub(crate) fn to_raw(self, store: &mut StoreOpaque) -> u64 {
        match self {
            Self::Func(None) | Self::Extern(None) => 0,
            Self::Func(Some(func)) => store.func_ref(&func),
            Self::Extern(Some(value)) => {
                store.check(value.store);
                assert!(store.extern_refs.get(value.number).is_some(), "{COLLECTED}");
                value.number
            }
        }
    }

    pub(crate) fn from_raw(raw: u64, ty: RefType, store: &StoreOpaque) -> Self {
        match ty {
            RefType::FUNCREF => Self::Func(store.func_at(raw)),
            RefType::EXTERNREF => Self::Extern(extern_ref(raw, store)),
        }
    }
}

impl From<Func> for Ref {
    fn from(func: Func) -> Self {
        Self::Func(Some(func))
    }
}

impl From<Option<Func>> for Ref {
    fn from(func: Option<Func>) -> Self {
        Self::Func(func)
    }
}

impl From<ExternRef> for Ref {
    fn from(value: ExternRef) -> Self {
        Self::Extern(Some(value))
    }
}

impl From<Option<ExternRef>> for Ref {
    fn from(value: Option<ExternRef>) -> Self {
        Self::Extern(value)
    }
}

/// A value of any type. Floats are held as their bits.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector.
    V128(V128),
    /// Function reference.
    FuncRef(Option<Func>),
    /// External reference.
    ExternRef(Option<ExternRef>),
}

macro_rules! val_accessors {
    ($($get:ident $unwrap:ident $ty:ty: $pattern:pat => $value:expr;)*) => {
        impl Val {$(
            #[doc = concat!("The value, if it is of this type (`", stringify!($ty), "`).")]
            pub fn $get(&self) -> Option<$ty> {
                match *self {
                    $pattern => Some($value),
                    _ => None,
                }
            }

            #[doc = concat!("The value (`", stringify!($ty), "`).\n\n# Panics\nIf it is of another type.")]
            pub fn $unwrap(&self) -> $ty {
                self.$get().expect(concat!("expected ", stringify!($ty)))
            }
        )*}
    };
}

val_accessors! {
    i32 unwrap_i32 i32: Val::I32(value) => value;
    i64 unwrap_i64 i64: Val::I64(value) => value;
    f32 unwrap_f32 f32: Val::F32(bits) => f32::from_bits(bits);
    f64 unwrap_f64 f64: Val::F64(bits) => f64::from_bits(bits);
    v128 unwrap_v128 V128: Val::V128(value) => value;
    func_ref unwrap_func_ref Option<Func>: Val::FuncRef(func) => func;
    extern_ref unwrap_extern_ref Option<ExternRef>: Val::ExternRef(value) => value;
}

impl Val {
    /// The null reference of a type.
    pub fn null_ref(ty: &HeapType) -> Self {
        Ref::null(ty).into()
    }

    /// Zero, or null.
    pub fn default_for_ty(ty: &ValType) -> Option<Self> {
        Some(match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(V128(0)),
            ValType::Ref(ty) => Self::null_ref(ty.heap_type()),
        })
    }

    /// Its type.
    ///
    /// # Errors
    /// None in this version.
    pub fn ty(&self, _store: impl AsContext) -> Result<ValType> {
        Ok(self.val_type())
    }

    #[inline]
    pub(crate) fn val_type(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FUNCREF,
            Self::ExternRef(_) => ValType::EXTERNREF,
        }
    }

    /// The value, if it is a reference.
    pub fn ref_(&self) -> Option<Ref> {
        match *self {
            Self::FuncRef(func) => Some(Ref::Func(func)),
            Self::ExternRef(value) => Some(Ref::Extern(value)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn to_slot(self, store: &mut StoreOpaque, slot: &mut VmValue) {
        match self {
            Self::I32(value) => value.to_slot(store, slot),
            Self::I64(value) => value.to_slot(store, slot),
            Self::F32(bits) => bits.to_slot(store, slot),
            Self::F64(bits) => bits.to_slot(store, slot),
            Self::V128(value) => value.to_slot(store, slot),
            Self::FuncRef(value) => value.to_slot(store, slot),
            Self::ExternRef(value) => value.to_slot(store, slot),
        }
    }

    // Inlined: a value that is returned through memory is written in parts and read as a whole, which stalls.
    #[inline(always)]
    pub(crate) fn from_slot(slot: &VmValue, ty: ValType, store: &StoreOpaque) -> Self {
        match ty {
            ValType::I32 => Self::I32(i32::from_slot(slot, store)),
            ValType::I64 => Self::I64(i64::from_slot(slot, store)),
            ValType::F32 => Self::F32(u32::from_slot(slot, store)),
            ValType::F64 => Self::F64(u64::from_slot(slot, store)),
            ValType::V128 => Self::V128(V128::from_slot(slot, store)),
            ValType::Ref(ty) => Ref::from_raw(u64::from_slot(slot, store), ty, store).into(),
        }
    }
}

impl From<Ref> for Val {
    fn from(value: Ref) -> Self {
        match value {
            Ref::Func(func) => Self::FuncRef(func),
            Ref::Extern(value) => Self::ExternRef(value),
        }
    }
}

macro_rules! val_from {
    ($($ty:ty: $value:ident => $val:expr;)*) => {$(
        impl From<$ty> for Val {
            fn from($value: $ty) -> Self {
                $val
            }
        }
    )*};
}

val_from! {
    i32: value => Self::I32(value);
    i64: value => Self::I64(value);
    f32: value => Self::F32(value.to_bits());
    f64: value => Self::F64(value.to_bits());
    u128: value => Self::V128(V128(value));
    V128: value => Self::V128(value);
    Func: value => Self::FuncRef(Some(value));
    Option<Func>: value => Self::FuncRef(value);
    ExternRef: value => Self::ExternRef(Some(value));
    Option<ExternRef>: value => Self::ExternRef(value);
}

/// A Rust type that stands for a WebAssembly type, in [`crate::Linker::func_wrap`] and typed calls.
///
/// Sealed: the list is `i32 u32 i64 u64 f32 f64 u128 V128 Option<Func> Option<ExternRef>`.
pub trait WasmTy: sealed::Slot + Send + 'static {
    /// The type it stands for.
    fn valtype() -> ValType;
}

pub(crate) mod sealed {
    use super::*;

    /// How a value lies in an array call's slot.
    pub trait Slot: Sized {
        /// Whether it is a vector, which no direct call passes.
        const IS_VECTOR: bool = false;
        /// Whether reading it makes a root.
        const IS_ROOTED: bool = false;
        /// Writes it.
        fn to_slot(self, store: &mut StoreOpaque, slot: &mut VmValue);
        /// Reads it.
        fn from_slot(slot: &VmValue, store: &StoreOpaque) -> Self;
        /// What a direct call passes. Never called for vectors.
        fn to_bits(self, store: &mut StoreOpaque) -> u64;
        /// What a direct call returns. Never called for vectors.
        fn from_bits(bits: u64, store: &StoreOpaque) -> Self;
    }
}

pub(crate) use sealed::Slot;

macro_rules! number_slots {
    ($($ty:ty: $val_type:expr, $value:ident => $to_bits:expr, $bits:ident => $from_bits:expr;)*) => {$(
        impl Slot for $ty {
            const IS_VECTOR: bool = size_of::<$ty>() > 8;

            #[inline]
            fn to_slot(self, _store: &mut StoreOpaque, slot: &mut VmValue) {
                slot.bytes[..size_of::<$ty>()].copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn from_slot(slot: &VmValue, _store: &StoreOpaque) -> Self {
                let mut bytes = [0; size_of::<$ty>()];
                bytes.copy_from_slice(&slot.bytes[..size_of::<$ty>()]);
                Self::from_le_bytes(bytes)
            }

            #[inline]
            fn to_bits(self, _store: &mut StoreOpaque) -> u64 {
                let $value = self;
                $to_bits
            }

            #[inline]
            fn from_bits($bits: u64, _store: &StoreOpaque) -> Self {
                $from_bits
            }
        }

        impl WasmTy for $ty {
            fn valtype() -> ValType {
                $val_type
            }
        }
    )*};
}

number_slots! {
    i32: ValType::I32, value => value as u32 as u64, bits => bits as i32;
    u32: ValType::I32, value => value.into(), bits => bits as u32;
    i64: ValType::I64, value => value as u64, bits => bits as i64;
    u64: ValType::I64, value => value, bits => bits;
    f32: ValType::F32, value => value.to_bits().into(), bits => f32::from_bits(bits as u32);
    f64: ValType::F64, value => value.to_bits(), bits => f64::from_bits(bits);
    u128: ValType::V128, _value => no_vectors(), _bits => no_vectors();
}

/// Functions with vectors have no direct entry.
#[cold]
fn no_vectors() -> ! {
    unreachable!("a vector in a direct call")
}

impl Slot for V128 {
    const IS_VECTOR: bool = true;

    #[inline]
    fn to_slot(self, store: &mut StoreOpaque, slot: &mut VmValue) {
        self.0.to_slot(store, slot);
    }

    #[inline]
    fn from_slot(slot: &VmValue, store: &StoreOpaque) -> Self {
        Self(u128::from_slot(slot, store))
    }

    #[inline]
    fn to_bits(self, _store: &mut StoreOpaque) -> u64 {
        no_vectors()
    }

    #[inline]
    fn from_bits(_bits: u64, _store: &StoreOpaque) -> Self {
        no_vectors()
    }
}

impl WasmTy for V128 {
    fn valtype() -> ValType {
        ValType::V128
    }
}

impl Slot for Option<Func> {
    #[inline]
    fn to_slot(self, store: &mut StoreOpaque, slot: &mut VmValue) {
        Ref::Func(self).to_raw(store).to_slot(store, slot);
    }

    #[inline]
    fn from_slot(slot: &VmValue, store: &StoreOpaque) -> Self {
        store.func_at(u64::from_slot(slot, store))
    }

    #[inline]
    fn to_bits(self, store: &mut StoreOpaque) -> u64 {
        Ref::Func(self).to_raw(store)
    }

    #[inline]
    fn from_bits(bits: u64, store: &StoreOpaque) -> Self {
        store.func_at(bits)
    }
}

impl WasmTy for Option<Func> {
    fn valtype() -> ValType {
        ValType::FUNCREF
    }
}

impl Slot for Option<ExternRef> {
    const IS_ROOTED: bool = true;

    #[inline]
    fn to_slot(self, store: &mut StoreOpaque, slot: &mut VmValue) {
        Ref::Extern(self).to_raw(store).to_slot(store, slot);
    }

    #[inline]
    fn from_slot(slot: &VmValue, store: &StoreOpaque) -> Self {
        extern_ref(u64::from_slot(slot, store), store)
    }

    #[inline]
    fn to_bits(self, store: &mut StoreOpaque) -> u64 {
        Ref::Extern(self).to_raw(store)
    }

    #[inline]
    fn from_bits(bits: u64, store: &StoreOpaque) -> Self {
        extern_ref(bits, store)
    }
}

impl WasmTy for Option<ExternRef> {
    fn valtype() -> ValType {
        ValType::EXTERNREF
    }
}

fn extern_ref(number: u64, store: &StoreOpaque) -> Option<ExternRef> {
    if number == 0 {
        return None;
    }
    store.extern_refs.root(number);
    Some(ExternRef { store: store.id, number })
}

impl fmt::Display for V128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#034x}", self.0)
    }
}
