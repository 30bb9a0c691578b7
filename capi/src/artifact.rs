//! Modules from files and bytes, for which an operating system is needed: without `std`, what `wasm.h` has of them fails.

#[cfg(feature = "std")]
use core::ffi::c_char;
use core::mem::MaybeUninit;

use anyhow::{Result, bail};
use aotc_loader::{Engine, Module};

#[cfg(feature = "std")]
use crate::engine::wasm_engine_t;
use crate::error::shield_or;
#[cfg(feature = "std")]
use crate::error::{Failure, shield_into, text};
use crate::module::wasm_module_t;
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::vector::{Vector, wasm_byte_vec_t};

/// What WebAssembly in its binary format begins with.
const WASM: &[u8] = b"\0asm";

fn load(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    if bytes.starts_with(WASM) {
        bail!(
            "this is WebAssembly, and nothing is compiled here: make an artifact with `aotc compile module.wasm -o module.aot`, and give that"
        );
    }
    bytes::to_module(engine, bytes)
}

/// Artifacts in memory.
#[cfg(feature = "std")]
mod bytes {
    use super::{Engine, Module, Result, Vec};

    pub(super) fn to_module(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        Module::from_bytes(engine, bytes)
    }

    pub(super) fn of_module(module: &Module) -> Result<Vec<u8>> {
        module.serialize()
    }
}

/// Artifacts are parts of the program.
#[cfg(not(feature = "std"))]
mod bytes {
    use super::{Engine, Module, Result, Vec, bail};

    pub(super) fn to_module(_engine: &Engine, _bytes: &[u8]) -> Result<Module> {
        bail!("the tiny library takes only modules that are linked into the program")
    }

    pub(super) fn of_module(_module: &Module) -> Result<Vec<u8>> {
        bail!("the module's artifact is not at hand: it was not loaded from a file or bytes")
    }
}

fn load_for_store(store: &wasm_store_t, bytes: &wasm_byte_vec_t) -> Option<Box<wasm_module_t>> {
    shield_or(None, || {
        let module = load(store.0.engine(), bytes.as_slice())?;
        Ok(Some(Box::new(wasm_module_t::of(module))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_new(
    store: &wasm_store_t,
    artifact: &wasm_byte_vec_t,
) -> Option<Box<wasm_module_t>> {
    load_for_store(store, artifact)
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_deserialize(
    store: &wasm_store_t,
    artifact: &wasm_byte_vec_t,
) -> Option<Box<wasm_module_t>> {
    load_for_store(store, artifact)
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_validate(store: &wasm_store_t, artifact: &wasm_byte_vec_t) -> bool {
    shield_or(false, || load(store.0.engine(), artifact.as_slice()).map(|_| true))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_serialize(
    module: &wasm_module_t,
    out: &mut MaybeUninit<wasm_byte_vec_t>,
) {
    out.write(Vector::from_vec(shield_or(Vec::new(), || bytes::of_module(module.module()))));
}

#[cfg(feature = "std")]
#[unsafe(no_mangle)]
extern "C" fn aotc_module_open(
    engine: &wasm_engine_t,
    path: *const c_char,
    out: &mut MaybeUninit<Option<Box<wasm_module_t>>>,
) -> Failure {
    shield_into(out, || Ok(wasm_module_t::of(Module::open(engine.engine(), text(path)?)?)))
}

#[cfg(feature = "std")]
#[unsafe(no_mangle)]
extern "C" fn aotc_module_from_bytes(
    engine: &wasm_engine_t,
    bytes: *const u8,
    count: usize,
    out: &mut MaybeUninit<Option<Box<wasm_module_t>>>,
) -> Failure {
    shield_into(out, || {
        // SAFETY: the crate's contract: C has as many bytes there.
        let bytes = unsafe { crate::func::slice(bytes, count) };
        Ok(wasm_module_t::of(load(engine.engine(), bytes)?))
    })
}

#[cfg(feature = "std")]
#[unsafe(no_mangle)]
extern "C" fn aotc_module_dlopen(
    engine: &wasm_engine_t,
    path: *const c_char,
    out: &mut MaybeUninit<Option<Box<wasm_module_t>>>,
) -> Failure {
    shield_into(out, || {
        // SAFETY: the header's rule: `aotc` made the file, and nobody changes it.
        Ok(wasm_module_t::of(unsafe { Module::dlopen(engine.engine(), text(path)?) }?))
    })
}
