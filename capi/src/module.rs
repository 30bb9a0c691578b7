//! Modules: `wasm_module_t`. Those that are linked into the program come from here, others from `artifact.rs`.

use alloc::sync::Arc;
use core::mem::MaybeUninit;

use aotc_loader::Module;

use crate::engine::wasm_engine_t;
use crate::error::{Failure, shield_into};
use crate::object::{HostInfo, Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::sync::Mutex;
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
