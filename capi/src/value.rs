//! Values: `wasm_val_t`, and `aotc_val_t`, which can also be a 128-bit vector.
//!
//! References are owned pointers to objects. An `externref` is any object: the loader holds its [`Kind`], and
//! where it comes out it gets the store's handle again, so that stores do not keep themselves alive.

use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;

use anyhow::{Context as _, Result, bail};
use aotc_loader::{ExternRef, Ref, Val, ValType};

use crate::object::{Kind, wasm_ref_t};
use crate::prelude::*;
use crate::store::Context;
use crate::types::{EXTERNREF, F32, F64, FUNCREF, I32, I64, V128};

/// A reference, null or owned.
type Reference = Option<Box<wasm_ref_t>>;

/// Values of C.
pub(crate) trait CVal: Clone {
    /// The value, unless it is a reference.
    fn number(&self) -> Option<Val>;

    /// The value of type `ty`.
    ///
    /// # Errors
    /// If it is of another type, or a reference of another store.
    fn to_val(&self, ty: ValType, context: &mut Context<'_>) -> Result<Val>;

    /// # Errors
    /// If C has no such value in this type.
    fn from_val(val: Val, context: &mut Context<'_>) -> Result<Self>;
}

/// The reference `object` of type `ty`.
///
/// # Errors
/// If it is no function and should be, or belongs to another store.
pub(crate) fn to_ref(
    object: Option<&wasm_ref_t>,
    ty: ValType,
    context: &mut Context<'_>,
) -> Result<Ref> {
    let Some(object) = object else {
        return Ok(Ref::null(ty.unwrap_ref().heap_type()));
    };
    if object.is_elsewhere(context.data().cell_ptr()) {
        bail!("the reference belongs to another store");
    }
    if ty.is_externref() {
        return Ok(ExternRef::new(context, object.kind().clone())?.into());
    }
    match *object.kind() {
        Kind::Func(func) => Ok(func.into()),
        _ => bail!("expected a reference to a function"),
    }
}

/// An owned reference for C.
///
/// # Errors
/// If it is none that came from C.
pub(crate) fn from_ref(reference: Ref, context: &mut Context<'_>) -> Result<Reference> {
    let kind = match reference {
        Ref::Func(None) | Ref::Extern(None) => return Ok(None),
        Ref::Func(Some(func)) => Kind::Func(func),
        Ref::Extern(Some(value)) => {
            let value = value.data(&*context)?.and_then(|value| value.downcast_ref::<Kind>());
            value.context("an external reference that was not made through the C API")?.clone()
        }
    };
    Ok(Some(Box::new(object(kind, context))))
}

/// An object of the store.
fn object(kind: Kind, context: &Context<'_>) -> wasm_ref_t {
    let store = match kind {
        Kind::Func(_) | Kind::Global(_) | Kind::Table(_) | Kind::Memory(_) | Kind::Instance(_) => {
            Some(crate::store::wasm_store_t(context.data().cell()))
        }
        Kind::Module(_) | Kind::Trap(_) | Kind::Foreign(_) => None,
    };
    wasm_ref_t::new(store, kind)
}

macro_rules! values {
    ($($(#[$attribute:meta])* $name:ident $of:ident { $($vector:ident)? })*) => {$(
        $(#[$attribute])*
        #[repr(C)]
        pub(crate) struct $name {
            pub(crate) kind: u8,
            pub(crate) of: $of,
        }

        /// What a value may be. Floats are their bits.
        #[repr(C)]
        pub(crate) union $of {
            i32: i32,
            i64: i64,
            f32: u32,
            f64: u64,
            $($vector: [u8; 16],)?
            reference: ManuallyDrop<Reference>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { kind: I32, of: $of { i64: 0 } }
            }
        }

        impl $name {
            /// The reference, if it is one and not null.
            fn reference(&self) -> Option<&wasm_ref_t> {
                match self.kind {
                    // SAFETY: the kind says that it is a reference.
                    FUNCREF | EXTERNREF => unsafe { &self.of.reference }.as_deref(),
                    _ => None,
                }
            }

            fn of_reference(kind: u8, reference: Reference) -> Self {
                Self { kind, of: $of { reference: ManuallyDrop::new(reference) } }
            }
        }

        impl Clone for $name {
            fn clone(&self) -> Self {
                if let Some(reference) = self.reference() {
                    return Self::of_reference(self.kind, Some(Box::new(reference.clone())));
                }
                // SAFETY: a number or null, of which bits can be copied.
                unsafe { ptr::read(self) }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if matches!(self.kind, FUNCREF | EXTERNREF) {
                    // SAFETY: the kind says that it is a reference, which the value owns.
                    drop(unsafe { ManuallyDrop::take(&mut self.of.reference) });
                }
            }
        }

        impl CVal for $name {
            #[inline]
            fn number(&self) -> Option<Val> {
                // SAFETY: the kind says which field it is.
                unsafe {
                    Some(match self.kind {
                        I32 => Val::I32(self.of.i32),
                        I64 => Val::I64(self.of.i64),
                        F32 => Val::F32(self.of.f32),
                        F64 => Val::F64(self.of.f64),
                        $(V128 => Val::V128(u128::from_le_bytes(self.of.$vector).into()),)?
                        _ => return None,
                    })
                }
            }

            fn to_val(&self, ty: ValType, context: &mut Context<'_>) -> Result<Val> {
                let found = crate::types::type_of(self.kind);
                match (self.number(), found) {
                    (Some(number), Some(found)) if found == ty => Ok(number),
                    (None, Some(ValType::Ref(_))) if ty.is_ref() => {
                        Ok(to_ref(self.reference(), ty, context)?.into())
                    }
                    (_, Some(found)) => bail!("type mismatch: expected {ty}, found {found}"),
                    (_, None) => bail!("type mismatch: expected {ty}, found kind {}", self.kind),
                }
            }

            fn from_val(val: Val, context: &mut Context<'_>) -> Result<Self> {
                Ok(match val {
                    Val::I32(value) => Self { kind: I32, of: $of { i32: value } },
                    Val::I64(value) => Self { kind: I64, of: $of { i64: value } },
                    Val::F32(bits) => Self { kind: F32, of: $of { f32: bits } },
                    Val::F64(bits) => Self { kind: F64, of: $of { f64: bits } },
                    Val::V128(value) => Self::of_vector(value.as_u128())?,
                    Val::FuncRef(func) => {
                        Self::of_reference(FUNCREF, from_ref(func.into(), context)?)
                    }
                    Val::ExternRef(value) => {
                        Self::of_reference(EXTERNREF, from_ref(value.into(), context)?)
                    }
                })
            }
        }
    )*};
}

values! {
    /// A value of `wasm.h`.
    wasm_val_t WasmUnion {}
    /// A value of `aotc.h`.
    aotc_val_t AotcUnion { v128 }
}

impl wasm_val_t {
    fn of_vector(_bits: u128) -> Result<Self> {
        bail!("a `wasm_val_t` has no room for a value of type v128; use `aotc_func_call`")
    }
}

impl aotc_val_t {
    fn of_vector(bits: u128) -> Result<Self> {
        Ok(Self { kind: V128, of: AotcUnion { v128: bits.to_le_bytes() } })
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_val_delete(val: &mut wasm_val_t) {
    *val = wasm_val_t::default();
}

#[unsafe(no_mangle)]
extern "C" fn wasm_val_copy(out: &mut MaybeUninit<wasm_val_t>, val: &wasm_val_t) {
    out.write(val.clone());
}

#[unsafe(no_mangle)]
extern "C" fn aotc_val_delete(val: &mut aotc_val_t) {
    *val = aotc_val_t::default();
}

#[unsafe(no_mangle)]
extern "C" fn aotc_val_copy(out: &mut MaybeUninit<aotc_val_t>, val: &aotc_val_t) {
    out.write(val.clone());
}
