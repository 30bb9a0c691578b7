//! Instances: `wasm_instance_t`.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use anyhow::{Context as _, Result, bail, ensure};
use aotc_loader::{Engine, Extern, Instance, Module};

use crate::error::{Failure, aotc_error_t, set_last, shield, shield_into, shield_or, text};
use crate::extern_::wasm_extern_t;
use crate::func::{slice, wasm_func_t};
use crate::memory::wasm_memory_t;
use crate::module::wasm_module_t;
use crate::object::{Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::trap::{Trapped, wasm_trap_t};
use crate::vector::Vector;

object_type! {
    /// An instance.
    wasm_instance_t
}

impl wasm_instance_t {
    pub(crate) fn of(store: &wasm_store_t, instance: Instance) -> Self {
        Self::new(Some(store.clone()), Kind::Instance(instance))
    }

    pub(crate) fn instance(&self) -> Instance {
        match *self.kind() {
            Kind::Instance(instance) => instance,
            _ => unreachable!("a wasm_instance_t is an instance"),
        }
    }

    /// The export `name`.
    ///
    /// # Errors
    /// If there is none, or the name is not UTF-8.
    pub(crate) fn export(&self, name: *const c_char) -> Result<Extern> {
        let name = text(name)?;
        let found = self.store().with(|store| self.instance().get_export(store, name));
        found.with_context(|| format!("the instance exports nothing called `{name}`"))
    }
}

/// Checks that what belongs to an engine is used with a store of the same.
pub(crate) fn check_engine(store: &wasm_store_t, engine: &Engine) -> Result<()> {
    ensure!(
        Engine::same(store.0.engine(), engine),
        "the module and the store have different engines"
    );
    Ok(())
}

fn instantiate<'a>(
    store: &wasm_store_t,
    module: &Module,
    imports: impl Iterator<Item = Option<&'a wasm_extern_t>>,
) -> Result<wasm_instance_t> {
    check_engine(store, module.engine())?;
    let items: Result<Vec<Extern>> = imports
        .enumerate()
        .map(|(index, item)| match item {
            None => bail!("import {index} is NULL"),
            Some(item) if item.object().is_elsewhere(&*store.0) => {
                bail!("import {index} belongs to another store")
            }
            Some(item) => Ok(item.item()),
        })
        .collect();
    let items = items?;
    let instance = store.0.with(|store| Instance::new(store, module, &items))?;
    Ok(wasm_instance_t::of(store, instance))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_instance_new(
    store: &wasm_store_t,
    module: &wasm_module_t,
    imports: &Vector<Option<Box<wasm_extern_t>>>,
    trap: Option<&mut MaybeUninit<Trapped>>,
) -> Option<Box<wasm_instance_t>> {
    let mut made = MaybeUninit::uninit();
    let imports = imports.as_slice().iter().map(Option::as_deref);
    let failure = shield_into(&mut made, || instantiate(store, module.module(), imports));
    let failure: Option<aotc_error_t> = failure.map(|error| *error);
    match (failure, trap) {
        (Some(error), Some(trap)) => drop(trap.write(Some(wasm_trap_t::of(error)))),
        (Some(error), None) => set_last(error.into_error()),
        (None, Some(trap)) => drop(trap.write(None)),
        (None, None) => {}
    }
    // SAFETY: `shield_into` has written it.
    unsafe { made.assume_init() }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_instance_exports(
    instance: &wasm_instance_t,
    out: &mut MaybeUninit<Vector<Option<Box<wasm_extern_t>>>>,
) {
    let handle = instance.object().store_handle();
    let exports: Vec<Extern> = instance.store().with(|store| {
        instance.instance().exports(store).map(|export| export.into_extern()).collect()
    });
    let exports = exports.into_iter().map(|item| Some(wasm_extern_t::of(handle, item)));
    out.write(Vector::from_vec(exports.collect()));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_new(
    store: &wasm_store_t,
    module: &wasm_module_t,
    imports: *const Option<&wasm_extern_t>,
    count: usize,
    out: &mut MaybeUninit<Option<Box<wasm_instance_t>>>,
) -> Failure {
    // SAFETY: the crate's contract: C has as many pointers there.
    let imports = unsafe { slice(imports, count) };
    shield_into(out, || instantiate(store, module.module(), imports.iter().copied()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_export(
    instance: &wasm_instance_t,
    name: *const c_char,
) -> Option<Box<wasm_extern_t>> {
    shield_or(None, || {
        let item = instance.export(name)?;
        Ok(Some(wasm_extern_t::of(instance.object().store_handle(), item)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_func(
    instance: &wasm_instance_t,
    name: *const c_char,
) -> Option<Box<wasm_func_t>> {
    shield_or(None, || {
        let func = instance.export(name)?.into_func().context("the export is not a function")?;
        let store = instance.object().store_handle().clone();
        Ok(Some(Box::new(wasm_func_t::new(Some(store), Kind::Func(func)))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_memory(
    instance: &wasm_instance_t,
    name: *const c_char,
) -> Option<Box<wasm_memory_t>> {
    shield_or(None, || {
        let memory = instance.export(name)?.into_memory().context("the export is not a memory")?;
        let store = instance.object().store_handle().clone();
        Ok(Some(Box::new(wasm_memory_t::new(Some(store), Kind::Memory(memory)))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_module(instance: &wasm_instance_t) -> Box<wasm_module_t> {
    let module = instance.store().with(|store| instance.instance().module(&store).clone());
    Box::new(wasm_module_t::of(module))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_reset(instance: &wasm_instance_t) -> Failure {
    shield(|| instance.store().with(|store| instance.instance().reset(store)))
}
