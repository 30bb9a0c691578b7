//! Modules: `wasm_module_t`, and the three doors through which they come.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use aotc_loader::{Engine, Module};

use crate::engine::wasm_engine_t;
use crate::error::{Failure, shield_into, shield_or, text};
use crate::object::{HostInfo, Kind, object_type};
use crate::store::wasm_store_t;
use crate::types::{wasm_exporttype_t, wasm_importtype_t};
use crate::vector::{Vector, wasm_byte_vec_t};

object_type! {
    /// A module.
    wasm_module_t
}

/// The object of a module.
pub(crate) struct ModuleObject {
    module: Module,
    pub(crate) host_info: Mutex<HostInfo>,
}

impl ModuleObject {
    pub(crate) fn same(&self, other: &Self) -> bool {
        Module::same(&self.module, &other.module)
    }
}

impl wasm_module_t {
    pub(crate) fn of(module: Module) -> Self {
        let object = ModuleObject { module, host_info: Mutex::default() };
        Self::new(None, Kind::Module(Arc::new(object)))
    }

    pub(crate) fn module(&self) -> &Module {
        match self.kind() {
            Kind::Module(object) => &object.module,
            _ => unreachable!("a wasm_module_t is a module"),
        }
    }
}

/// A module that threads and stores give each other.
pub(crate) struct wasm_shared_module_t(Module);

/// What WebAssembly in its binary format begins with.
const WASM: &[u8] = b"\0asm";

fn load(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    if bytes.starts_with(WASM) {
        bail!(
            "this is WebAssembly, and nothing is compiled here: make an artifact with `aotc compile module.wasm -o module.aot`, and give that"
        );
    }
    Module::from_bytes(engine, bytes)
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
    out.write(Vector::from_vec(shield_or(Vec::new(), || module.module().serialize())));
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_imports(
    module: &wasm_module_t,
    out: &mut MaybeUninit<Vector<Option<Box<wasm_importtype_t>>>>,
) {
    out.write(Vector::of(module.module().imports().map(wasm_importtype_t::from)));
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_exports(
    module: &wasm_module_t,
    out: &mut MaybeUninit<Vector<Option<Box<wasm_exporttype_t>>>>,
) {
    out.write(Vector::of(module.module().exports().map(wasm_exporttype_t::from)));
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_share(module: &wasm_module_t) -> Box<wasm_shared_module_t> {
    Box::new(wasm_shared_module_t(module.module().clone()))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_module_obtain(
    _store: &wasm_store_t,
    shared: &wasm_shared_module_t,
) -> Box<wasm_module_t> {
    Box::new(wasm_module_t::of(shared.0.clone()))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_shared_module_delete(shared: Option<Box<wasm_shared_module_t>>) {
    drop(shared);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_module_open(
    engine: &wasm_engine_t,
    path: *const c_char,
    out: &mut MaybeUninit<Option<Box<wasm_module_t>>>,
) -> Failure {
    shield_into(out, || Ok(wasm_module_t::of(Module::open(engine.engine(), text(path)?)?)))
}

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

#[unsafe(no_mangle)]
extern "C" fn aotc_module_from_linked(
    engine: &wasm_engine_t,
    descriptor: *const u8,
    out: &mut MaybeUninit<Option<Box<wasm_module_t>>>,
) -> Failure {
    shield_into(out, || {
        // SAFETY: the header's rule: a module's symbol, linked as it is.
        Ok(wasm_module_t::of(unsafe { Module::from_linked(engine.engine(), descriptor) }?))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_module_name(module: &wasm_module_t, out: &mut MaybeUninit<wasm_byte_vec_t>) {
    let name = module.module().name().unwrap_or_default();
    out.write(Vector::from_vec(name.as_bytes().to_vec()));
}
