//! What generated headers are made of: exports by name and type, and calls by the bits of their arguments.
//!
//! # Safety
//!
//! A callee has the address of its store: the header's rule is that the store has not been deleted, and the
//! crate's that one thread uses it.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use anyhow::{Context as _, Result, ensure};
use aotc_loader::{DirectFunc, DirectWays, Engine, Func, FuncType, ValType};

use crate::engine::wasm_engine_t;
use crate::error::{Failure, aotc_error_t, shield, shield_into, shield_or, text};
use crate::func::{slice, wasm_func_t};
use crate::global::wasm_global_t;
use crate::instance::wasm_instance_t;
use crate::memory::wasm_memory_t;
use crate::object::Kind;
use crate::panics::caught;
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::table::wasm_table_t;
use crate::types::{type_of, wasm_functype_t};

/// A function that is called by the bits of its arguments.
#[repr(transparent)]
pub(crate) struct aotc_callee_t(DirectFunc);

/// What such a call gives.
#[repr(C)]
pub(crate) struct aotc_called_t {
    pub(crate) bits: u64,
    pub(crate) error: Failure,
}

macro_rules! of_u64 {
    ($name:ident) => {
        u64
    };
}

macro_rules! calls {
    ($($function:ident $count:literal($($name:ident)*);)*) => {$(
        // With `std`, no more than a jump.
        #[unsafe(no_mangle)]
        extern "C" fn $function(callee: &aotc_callee_t $(, $name: of_u64!($name))*) -> aotc_called_t {
            if !DirectFunc::HAS_ADDRESS {
                // SAFETY: the file's contract; the header passes as many arguments as the type has parameters, which
                // was looked at when the callee was made.
                return called(|| unsafe { callee.0.call([$($name),*]) });
            }
            // SAFETY: the file's contract.
            unsafe {
                let call: extern "C" fn(&aotc_callee_t $(, of_u64!($name))*) -> aotc_called_t =
                    core::mem::transmute(callee.0.address());
                call(callee $(, $name)*)
            }
        }

        impl Arguments for [u64; $count] {
            const UNUSUAL: *const () = {
                extern "C-unwind" fn unusual(callee: &aotc_callee_t $(, $name: u64)*) -> aotc_called_t {
                    // SAFETY: as above.
                    called(|| unsafe { callee.0.call([$($name),*]) })
                }
                unusual as *const ()
            };
        }
    )*};
}

calls! {
    aotc_call_0 0();
    aotc_call_1 1(a);
    aotc_call_2 2(a b);
    aotc_call_3 3(a b c);
    aotc_call_4 4(a b c d);
    aotc_call_5 5(a b c d e);
    aotc_call_6 6(a b c d e f);
    aotc_call_7 7(a b c d e f g);
    aotc_call_8 8(a b c d e f g h);
    aotc_call_9 9(a b c d e f g h i);
    aotc_call_10 10(a b c d e f g h i j);
    aotc_call_11 11(a b c d e f g h i j k);
    aotc_call_12 12(a b c d e f g h i j k l);
    aotc_call_13 13(a b c d e f g h i j k l m);
    aotc_call_14 14(a b c d e f g h i j k l m n);
    aotc_call_15 15(a b c d e f g h i j k l m n o);
    aotc_call_16 16(a b c d e f g h i j k l m n o p);
    aotc_call_17 17(a b c d e f g h i j k l m n o p q);
}

/// Makes a call, whatever it needs.
#[inline(always)]
fn called(call: impl FnOnce() -> Result<u64>) -> aotc_called_t {
    match caught(call) {
        Ok(bits) => aotc_called_t { bits, error: None },
        Err(error) => failed(error),
    }
}

/// The arguments of a call.
trait Arguments {
    /// [`DirectWays::unusual`] for as many.
    const UNUSUAL: *const ();
}

macro_rules! unusual {
    ($($count:literal)*) => { [$(<[u64; $count]>::UNUSUAL),*] };
}

/// The functions for callees with so many parameters.
fn ways(params: usize) -> DirectWays {
    let unusual = unusual![0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17];
    DirectWays { unusual: unusual[params], raised: raised as *const () }
}

/// [`DirectWays::raised`].
extern "C-unwind" fn raised(callee: &aotc_callee_t) -> aotc_called_t {
    // SAFETY: the file's contract; the call has just failed.
    match caught(|| Ok(unsafe { callee.0.take_error() })) {
        Ok(error) | Err(error) => failed(error),
    }
}

#[cold]
fn failed(error: anyhow::Error) -> aotc_called_t {
    aotc_called_t { bits: 0, error: Some(Box::new(aotc_error_t::new(error))) }
}

/// Types by their kinds.
fn types(kinds: *const u8, count: usize) -> Result<Vec<ValType>> {
    // SAFETY: the crate's contract: C has as many kinds there.
    let kinds = unsafe { slice(kinds, count) };
    kinds
        .iter()
        .map(|&kind| type_of(kind).with_context(|| format!("unknown kind {kind}")))
        .collect()
}

fn func_type(
    engine: &Engine,
    params: (*const u8, usize),
    results: (*const u8, usize),
) -> Result<FuncType> {
    Ok(FuncType::new(engine, types(params.0, params.1)?, types(results.0, results.1)?))
}

/// The exported function of this name and type.
fn func_of(
    instance: &wasm_instance_t,
    name: *const c_char,
    params: (*const u8, usize),
    results: (*const u8, usize),
) -> Result<Func> {
    let func = instance.export(name)?.into_func().context("the export is not a function")?;
    instance.store().with(|store| {
        let expected = func_type(store.engine(), params, results)?;
        let found = func.ty(&store);
        let name = text(name)?;
        ensure!(found == expected, "type mismatch of `{name}`: expected {expected}, found {found}");
        Ok(func)
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_functype_new(
    params: *const u8,
    param_count: usize,
    results: *const u8,
    result_count: usize,
) -> Option<Box<wasm_functype_t>> {
    shield_or(None, || {
        let (params, results) = (types(params, param_count)?, types(results, result_count)?);
        Ok(Some(Box::new(wasm_functype_t::of_types(params, results))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_engine(store: &wasm_store_t) -> Box<wasm_engine_t> {
    Box::new(wasm_engine_t::of(store.0.engine().clone()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_callee(
    instance: &wasm_instance_t,
    name: *const c_char,
    params: *const u8,
    param_count: usize,
    results: *const u8,
    result_count: usize,
    out: &mut MaybeUninit<aotc_callee_t>,
) -> Failure {
    shield(|| {
        let func = func_of(instance, name, (params, param_count), (results, result_count))?;
        // SAFETY: the ways are those of this file.
        let direct = instance.store().with(|store| unsafe { func.direct(store, ways) });
        out.write(aotc_callee_t(
            direct.context("the function cannot be called by the bits of its arguments")?,
        ));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_func_of(
    instance: &wasm_instance_t,
    name: *const c_char,
    params: *const u8,
    param_count: usize,
    results: *const u8,
    result_count: usize,
    out: &mut MaybeUninit<Option<Box<wasm_func_t>>>,
) -> Failure {
    shield_into(out, || {
        let func = func_of(instance, name, (params, param_count), (results, result_count))?;
        let store = instance.object().store_handle().clone();
        Ok(wasm_func_t::new(Some(store), Kind::Func(func)))
    })
}

macro_rules! items_of {
    ($($function:ident: $object:ident, $into:ident, $kind:ident, $what:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $function(
            instance: &wasm_instance_t,
            name: *const c_char,
            out: &mut MaybeUninit<Option<Box<$object>>>,
        ) -> Failure {
            shield_into(out, || {
                let item = instance.export(name)?.$into();
                let item = item.context(concat!("the export is not a ", $what))?;
                let store = instance.object().store_handle().clone();
                Ok($object::new(Some(store), Kind::$kind(item)))
            })
        }
    )*};
}

items_of! {
    aotc_instance_memory_of: wasm_memory_t, into_memory, Memory, "memory";
    aotc_instance_table_of: wasm_table_t, into_table, Table, "table";
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_global_of(
    instance: &wasm_instance_t,
    name: *const c_char,
    kind: u8,
    out: &mut MaybeUninit<Option<Box<wasm_global_t>>>,
) -> Failure {
    shield_into(out, || {
        let global = instance.export(name)?.into_global().context("the export is not a global")?;
        let expected = type_of(kind).with_context(|| format!("unknown kind {kind}"))?;
        let found = instance.store().with(|store| global.ty(&store));
        let (found, name) = (found.content(), text(name)?);
        ensure!(
            *found == expected,
            "type mismatch of `{name}`: expected {expected}, found {found}"
        );
        let store = instance.object().store_handle().clone();
        Ok(wasm_global_t::new(Some(store), Kind::Global(global)))
    })
}
