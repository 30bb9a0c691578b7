//! Functions: `wasm_func_t`.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

use anyhow::{Context as _, Result, bail};
use aotc_loader::{AsContextMut, Func, FuncType, RootScope, Val};

use crate::error::{Failure, shield, shield_or};
use crate::host::{AotcCallback, Callback, HostFunction, WasmCallback, WasmEnvCallback};
use crate::object::{HostInfo, Kind, object_type};
use crate::prelude::*;
use crate::store::{Context, wasm_store_t};
use crate::trap::{Trapped, trapped};
use crate::types::wasm_functype_t;
use crate::value::{CVal, aotc_val_t, wasm_val_t};
use crate::vector::Vector;

object_type! {
    /// A function.
    wasm_func_t
}

/// Values of a call that need no more than this are on the stack.
const FEW: usize = 8;

impl wasm_func_t {
    #[inline]
    pub(crate) fn func(&self) -> Func {
        match *self.kind() {
            Kind::Func(func) => func,
            _ => unreachable!("a wasm_func_t is a function"),
        }
    }

    fn ty(&self) -> FuncType {
        self.store().with(|store| self.func().ty(store))
    }
}

/// Makes a function of the host's.
fn new(
    store: &wasm_store_t,
    ty: &wasm_functype_t,
    callback: Callback,
    env: HostInfo,
) -> Option<Box<wasm_func_t>> {
    shield_or(None, || {
        let ty = ty.to_type(store.0.engine())?;
        let function = HostFunction::new(&ty, callback, env);
        let func = store.0.with(|store| {
            // SAFETY: the function looks at the types itself.
            unsafe {
                Func::new_unchecked(store, ty, move |caller, slots| function.call(caller, slots))
            }
        });
        Ok(Some(Box::new(wasm_func_t::new(Some(store.clone()), Kind::Func(func)))))
    })
}

/// Calls a function with values of C. `results` is written only if it returns.
fn call<V: CVal>(
    func: Func,
    context: Context<'_>,
    args: &[V],
    results: &mut [MaybeUninit<V>],
) -> Result<()> {
    // Handles of external values are good for this call.
    let mut scope = RootScope::new(context);
    let mut context = scope.as_context_mut();
    let count = args.len() + results.len();
    let (mut few, mut many);
    let values = if count <= FEW {
        few = [Val::I32(0); FEW];
        &mut few[..count]
    } else {
        many = vec![Val::I32(0); count];
        &mut many[..]
    };
    let (params, returned) = values.split_at_mut(args.len());
    convert_args(func, args, params, &mut context)?;
    func.call(&mut context, params, returned)?;
    for (result, val) in results.iter_mut().zip(returned) {
        result.write(V::from_val(*val, &mut context)?);
    }
    Ok(())
}

/// The arguments for the loader, which looks at the types of numbers itself.
#[inline]
fn convert_args<V: CVal>(
    func: Func,
    args: &[V],
    params: &mut [Val],
    context: &mut Context<'_>,
) -> Result<()> {
    for (param, arg) in params.iter_mut().zip(args) {
        match arg.number() {
            Some(number) => *param = number,
            None => return convert_by_type(func, args, params, context),
        }
    }
    Ok(())
}

/// The arguments by the function's type, which says what a reference stands for.
fn convert_by_type<V: CVal>(
    func: Func,
    args: &[V],
    params: &mut [Val],
    context: &mut Context<'_>,
) -> Result<()> {
    let ty = func.ty(&*context);
    if ty.params().len() != args.len() {
        bail!("expected {} arguments, got {}", ty.params().len(), args.len());
    }
    for ((param, arg), (index, ty)) in params.iter_mut().zip(args).zip(ty.params().enumerate()) {
        *param = arg.to_val(ty, context).with_context(|| format!("argument {index}"))?;
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_new(
    store: &wasm_store_t,
    ty: &wasm_functype_t,
    callback: WasmCallback,
) -> Option<Box<wasm_func_t>> {
    new(store, ty, Callback::Wasm(callback), HostInfo::default())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_new_with_env(
    store: &wasm_store_t,
    ty: &wasm_functype_t,
    callback: WasmEnvCallback,
    env: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> Option<Box<wasm_func_t>> {
    new(store, ty, Callback::WasmEnv(callback), HostInfo::new(env, finalizer))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_func_new(
    store: &wasm_store_t,
    ty: &wasm_functype_t,
    callback: AotcCallback,
    env: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> Option<Box<wasm_func_t>> {
    new(store, ty, Callback::Aotc(callback), HostInfo::new(env, finalizer))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_type(func: &wasm_func_t) -> Box<wasm_functype_t> {
    Box::new(func.ty().into())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_param_arity(func: &wasm_func_t) -> usize {
    func.ty().params().len()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_result_arity(func: &wasm_func_t) -> usize {
    func.ty().results().len()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_func_call(
    func: &wasm_func_t,
    args: &Vector<wasm_val_t>,
    results: &mut Vector<wasm_val_t>,
) -> Trapped {
    trapped(shield(|| {
        func.store().with(|context| {
            let count = func.func().ty(&context).results().len();
            let places = results.as_uninit();
            let found = places.len();
            match places.get_mut(..count) {
                Some(places) => call(func.func(), context, args.as_slice(), places),
                None => bail!("expected room for {count} results, got {found}"),
            }
        })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_func_call(
    func: &wasm_func_t,
    args: *const aotc_val_t,
    args_count: usize,
    results: *mut aotc_val_t,
    results_count: usize,
) -> Failure {
    shield(|| {
        // SAFETY: the crate's contract: C has as many values there, or room for them.
        let (args, results) = unsafe {
            (
                slice(args, args_count),
                slice_mut(results.cast::<MaybeUninit<aotc_val_t>>(), results_count),
            )
        };
        func.store().with(|context| call(func.func(), context, args, results))
    })
}

/// # Safety
/// 1. There are `count` elements at `first`, which may be null if there are none.
pub(crate) unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { &*ptr::slice_from_raw_parts(first, count) }
}

/// # Safety
/// As [`slice`].
unsafe fn slice_mut<'a, T>(first: *mut T, count: usize) -> &'a mut [T] {
    if count == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { &mut *ptr::slice_from_raw_parts_mut(first, count) }
}
