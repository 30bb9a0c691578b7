//! Host functions in C: callbacks of both headers, and `aotc_caller_t`.
//!
//! ```text
//!   wasm ── slots ──> HostFunction::call ── values of C ──> callback
//!        <── slots ──                    <── values of C, or a trap or error ──
//! ```
//!
//! # Safety
//!
//! The loader calls with slots for what the function's type says, and finds there values of the types of its
//! results: [`HostFunction::call`] compares them.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use anyhow::{Context as _, Result};
use aotc_loader::{Caller, FuncType, Memory, Val, ValRaw, ValType, WasmBacktrace};

use crate::error::{Failure, shield_or, text};
use crate::extern_::wasm_extern_t;
use crate::frame::{frames, wasm_frame_vec_t};
use crate::object::HostInfo;
use crate::prelude::*;
use crate::store::{Current, Data, wasm_store_t};
use crate::sync::OnceLock;
use crate::trap::Trapped;
use crate::value::{CVal, aotc_val_t, wasm_val_t};
use crate::vector::Vector;

/// `wasm_func_callback_t`.
pub(crate) type WasmCallback =
    extern "C" fn(*const Vector<wasm_val_t>, *mut Vector<wasm_val_t>) -> Trapped;
/// `wasm_func_callback_with_env_t`.
pub(crate) type WasmEnvCallback =
    extern "C" fn(*mut c_void, *const Vector<wasm_val_t>, *mut Vector<wasm_val_t>) -> Trapped;
/// `aotc_func_callback_t`.
pub(crate) type AotcCallback = extern "C" fn(
    *mut c_void,
    &aotc_caller_t,
    *const aotc_val_t,
    usize,
    *mut aotc_val_t,
    usize,
) -> Failure;

/// A function in C, and what it is called with.
pub(crate) struct HostFunction {
    params: Box<[ValType]>,
    results: Box<[ValType]>,
    callback: Callback,
    env: HostInfo,
}

pub(crate) enum Callback {
    Wasm(WasmCallback),
    WasmEnv(WasmEnvCallback),
    Aotc(AotcCallback),
}

/// What a host function knows of its caller.
pub(crate) struct aotc_caller_t {
    caller: NonNull<Caller<'static, Data>>,
    /// Made when it is asked for.
    store: OnceLock<wasm_store_t>,
}

/// Values of a call that need no more than this are on the stack.
const FEW: usize = 8;

impl HostFunction {
    pub(crate) fn new(ty: &FuncType, callback: Callback, env: HostInfo) -> Self {
        Self { params: ty.params().collect(), results: ty.results().collect(), callback, env }
    }

    /// Calls the function with what is in `slots`, and leaves there what it gives back.
    ///
    /// # Errors
    /// The function's, or that its results are of other types.
    pub(crate) fn call(
        &self,
        caller: Caller<'_, Data>,
        slots: &mut [MaybeUninit<ValRaw>],
    ) -> Result<()> {
        match self.callback {
            Callback::Wasm(callback) => {
                self.call_wasm(caller, slots, |_, args, results| callback(args, results))
            }
            Callback::WasmEnv(callback) => {
                self.call_wasm(caller, slots, |env, args, results| callback(env, args, results))
            }
            Callback::Aotc(callback) => {
                self.call_with(caller, slots, |caller, args: &[aotc_val_t], results| {
                    let (args, args_count) = (args.as_ptr(), args.len());
                    let (results, results_count) = (results.as_mut_ptr(), results.len());
                    let env = self.env.data();
                    let failure = callback(env, caller, args, args_count, results, results_count);
                    failure.map_or(Ok(()), |error| Err(error.into_error()))
                })
            }
        }
    }

    fn call_wasm(
        &self,
        caller: Caller<'_, Data>,
        slots: &mut [MaybeUninit<ValRaw>],
        call: impl FnOnce(*mut c_void, *const Vector<wasm_val_t>, *mut Vector<wasm_val_t>) -> Trapped,
    ) -> Result<()> {
        self.call_with(caller, slots, |_, args: &[wasm_val_t], results| {
            let args = Vector::borrowed(ptr::from_ref(args).cast_mut());
            let mut results = Vector::borrowed(ptr::from_mut(results));
            let trap = call(self.env.data(), &*args, &mut *results);
            trap.map_or(Ok(()), |trap| Err(trap.into_error()))
        })
    }

    fn call_with<V: CVal + Default>(
        &self,
        mut caller: Caller<'_, Data>,
        slots: &mut [MaybeUninit<ValRaw>],
        call: impl FnOnce(&aotc_caller_t, &[V], &mut [V]) -> Result<()>,
    ) -> Result<()> {
        let count = self.params.len() + self.results.len();
        let (mut few, mut many);
        let values: &mut [V] = if count <= FEW {
            few = [(); FEW].map(|()| V::default());
            &mut few[..count]
        } else {
            many = vec![V::default(); count];
            &mut many
        };
        let (args, results) = values.split_at_mut(self.params.len());
        let mut context = caller.as_context_mut();
        for ((arg, slot), &ty) in args.iter_mut().zip(&*slots).zip(&self.params) {
            // SAFETY: the file's contract.
            let val = unsafe { Val::from_raw(&mut context, slot.assume_init(), ty) };
            *arg = V::from_val(val, &mut context)?;
        }
        for (result, &ty) in results.iter_mut().zip(&self.results) {
            let zero = ty.default_value().expect("every type has a default value");
            *result = V::from_val(zero, &mut context)?;
        }
        {
            let cell = context.data().cell_ptr();
            let caller = NonNull::from(&mut caller).cast();
            // SAFETY: the store is in use, so its cell is alive.
            let _entered = unsafe { &*cell }.enter(Current::Caller(caller));
            call(&aotc_caller_t { caller, store: OnceLock::new() }, args, results)?;
        }
        let mut context = caller.as_context_mut();
        for ((result, slot), &ty) in results.iter().zip(slots).zip(&self.results) {
            let val = result
                .to_val(ty, &mut context)
                .context("function attempted to return an incompatible value")?;
            slot.write(val.to_raw(&mut context)?);
        }
        Ok(())
    }
}

impl aotc_caller_t {
    /// Calls `body` with the loader's caller.
    fn with<R>(&self, body: impl FnOnce(&mut Caller<'_, Data>) -> R) -> R {
        // SAFETY: it is alive as long as the host function runs, and nobody has borrowed it, since C code runs.
        body(unsafe { &mut *self.caller.as_ptr() })
    }
}

#[unsafe(no_mangle)]
extern "C" fn aotc_caller_store(caller: &aotc_caller_t) -> &wasm_store_t {
    caller.store.get_or_init(|| wasm_store_t(caller.with(|caller| caller.data().cell())))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_caller_data(caller: &aotc_caller_t) -> *mut c_void {
    caller.with(|caller| caller.data().host.data())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_caller_export(
    caller: &aotc_caller_t,
    name: *const c_char,
) -> Option<Box<wasm_extern_t>> {
    shield_or(None, || {
        let name = text(name)?;
        let found = caller.with(|caller| {
            let found = caller.get_export(name)?;
            Some((found, caller.data().cell()))
        });
        let (found, cell) =
            found.with_context(|| format!("the caller exports nothing called `{name}`"))?;
        Ok(Some(wasm_extern_t::of(&wasm_store_t(cell), found)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_caller_memory(caller: &aotc_caller_t, offset: u64, bytes: u64) -> *mut u8 {
    shield_or(ptr::null_mut(), || {
        caller.with(|caller| {
            let memory = caller.get_export("memory").and_then(|export| export.into_memory());
            let memory: Memory = memory.context("the caller exports no memory `memory`")?;
            crate::memory::place(memory.data_mut(caller.as_context_mut()), offset, bytes)
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_caller_trace(caller: &aotc_caller_t, out: &mut MaybeUninit<wasm_frame_vec_t>) {
    let backtrace = caller.with(|caller| WasmBacktrace::capture(&*caller));
    out.write(frames(Some(&backtrace)));
}
