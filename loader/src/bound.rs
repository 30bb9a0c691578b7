//! C functions that modules are bound to: what they may ask of the loader, and what the host says of their types.
//!
//! ```text
//!   function --wasm call--> bound function --C call--> my_log(caller, ...)
//!                                                        '-- raise_to_caller(caller, error) --> the entry into wasm
//! ```
//!
//! # Safety
//!
//! `raise_to_caller` is only called by C functions that compiled code called through a bound import, which recorded where
//! wasm was left, with the context of an instance of a store that is borrowed by whoever entered wasm. The functions whose
//! addresses are in the records of bound imports are compiled code, which looks at nothing but the linker's
//! table; what they give is null or the address of a C string of the program's, which its header's macro defines.
#![allow(unsafe_code, reason = "C functions are called, and call")]

use core::ffi::c_void;

use anyhow::{Error, Result};
use aotc_abi::meta::{BindStyle, Bound, ModuleData};
use aotc_abi::vmctx;

use crate::error::{LinkError, TypeMismatch};
use crate::prelude::*;
use crate::store::StoreOpaque;
use crate::types::{FuncType, ValType};

/// Stops the WebAssembly code that called a bound C function, with `error`, which gets the backtrace. It is what
/// `aotc_bound_caller_trap` of `aotc_bind.h` is made of.
///
/// # Safety
/// 1. `caller` is what the innermost bound function that has not returned was called with, on this thread.
/// 2. What was called since has nothing to clean up: it is left as by `longjmp`.
pub unsafe fn raise_to_caller(caller: *mut c_void, error: Error) -> ! {
    let ctx = caller as u64;
    // SAFETY: the file's contract: the context's store, which nobody uses now; `StoreOpaque` starts with what the
    // address is that of.
    unsafe {
        let field = ctx.wrapping_add_signed(vmctx::ctx::STORE.offset.into());
        let store = (field as *const *mut StoreOpaque).read();
        (&mut *store).record_error(error);
        let raise = (store as u64).wrapping_add_signed(vmctx::store::RAISE.offset.into());
        let raise = (raise as *const unsafe extern "C" fn(*mut StoreOpaque) -> !).read();
        raise(store)
    }
}

/// Compares the types of a module's bound imports with those that the host has recorded.
///
/// `base` is the address of the module data.
///
/// # Errors
/// [`LinkError::IncompatibleImport`].
pub(crate) fn check(data: &ModuleData<'_>, types: &[FuncType], base: u64) -> Result<()> {
    for bound in data.bound().iter() {
        let Some(record) = record(&bound, base) else { continue };
        let expected = &types[data.functions().at(bound.function).ty as usize];
        let style = BindStyle::from_u32(bound.style).expect("checked style");
        let mismatch = match parse(record) {
            Some((found_style, found)) if found_style == style => {
                if found == *expected {
                    continue;
                }
                TypeMismatch::Type { expected: expected.clone().into(), found: found.into() }
            }
            _ => TypeMismatch::BoundFunction {
                symbol: data.str(bound.symbol).to_owned(),
                expected: style,
                found: record.to_owned(),
            },
        };
        let (module, name) = (data.str(bound.module), data.str(bound.name));
        let (module, name) = (module.to_owned(), name.to_owned());
        return Err(LinkError::IncompatibleImport { module, name, mismatch }.into());
    }
    Ok(())
}

/// What the host has recorded of a bound function, up to the first byte that is no text; `None` if nothing. Where a linker
/// cannot leave an address 0, nothing is an empty string.
fn record(bound: &Bound, base: u64) -> Option<&'static str> {
    if bound.type_code == 0 {
        return None;
    }
    let code = base.wrapping_add_signed(bound.type_code.into());
    // SAFETY: the file's contract: code that ignores what it is given and gives an address.
    let text = unsafe {
        let code: extern "C" fn(u64) -> *const u8 = core::mem::transmute(code as *const c_void);
        code(0)
    };
    if text.is_null() {
        return None;
    }
    // Where there is no C library, nobody else measures strings.
    // SAFETY: the file's contract: a string that is there as long as the program, and ends with a zero.
    let bytes = unsafe {
        let mut length = 0;
        while (1..0x80).contains(&text.add(length).read()) {
            length += 1;
        }
        core::slice::from_raw_parts(text, length)
    };
    core::str::from_utf8(bytes).ok().filter(|record| !record.is_empty())
}

/// A record: `style:parameters:results`, types with a space between them.
fn parse(record: &str) -> Option<(BindStyle, FuncType)> {
    let mut parts = record.split(':');
    let style = match parts.next()? {
        "plain" => BindStyle::Plain,
        "caller" => BindStyle::WithCaller,
        _ => return None,
    };
    let mut types = || {
        let names = parts.next()?.split(' ').filter(|name| !name.is_empty());
        names.map(val_type).collect::<Option<Vec<_>>>()
    };
    let (params, results) = (types()?, types()?);
    parts.next().is_none().then(|| (style, FuncType::unregistered(params, results)))
}

fn val_type(name: &str) -> Option<ValType> {
    Some(match name {
        "i32" => ValType::I32,
        "i64" => ValType::I64,
        "f32" => ValType::F32,
        "f64" => ValType::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let shown = |record| parse(record).map(|(style, ty)| (style, ty.to_string()));
        let plain = |ty: &str| Some((BindStyle::Plain, ty.to_owned()));
        assert_eq!(shown("plain:i32 f64:i64"), plain("(func (param i32 f64) (result i64))"));
        assert_eq!(shown("plain::"), plain("(func)"));
        assert_eq!(
            shown("caller:f32:"),
            Some((BindStyle::WithCaller, "(func (param f32))".to_owned()))
        );
        for broken in
            ["", "plain", "plain:i32", "plain:int:", "plain:i32,i32:", "plain:::", "other::"]
        {
            assert_eq!(shown(broken), None, "{broken}");
        }
    }
}
