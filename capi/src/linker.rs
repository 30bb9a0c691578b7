//! Linkers: `aotc_linker_t`, and what they have found for a module: `aotc_instance_pre_t`.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;

use anyhow::{Result, ensure};
use aotc_loader::{InstancePre, Linker};

use crate::engine::wasm_engine_t;
use crate::error::{Failure, shield, shield_into, shield_or, text};
use crate::extern_::wasm_extern_t;
use crate::host::{AotcCallback, Callback, HostFunction};
use crate::instance::{check_engine, wasm_instance_t};
use crate::module::wasm_module_t;
use crate::object::{HostInfo, wasm_ref_t};
use crate::prelude::*;
use crate::store::{Data, wasm_store_t};
use crate::types::wasm_functype_t;

pub(crate) struct aotc_linker_t(pub(crate) Linker<Data>);

pub(crate) struct aotc_instance_pre_t(InstancePre<Data>);

/// Checks that an object is of this store.
fn check(store: &wasm_store_t, object: &wasm_ref_t) -> Result<()> {
    ensure!(!object.is_elsewhere(&*store.0), "the object belongs to another store");
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_new(engine: &wasm_engine_t) -> Box<aotc_linker_t> {
    Box::new(aotc_linker_t(Linker::new(engine.engine())))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_delete(linker: Option<Box<aotc_linker_t>>) {
    drop(linker);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_copy(linker: &aotc_linker_t) -> Box<aotc_linker_t> {
    Box::new(aotc_linker_t(linker.0.clone()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_allow_shadowing(linker: &mut aotc_linker_t, allow: bool) {
    linker.0.allow_shadowing(allow);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_define(
    linker: &mut aotc_linker_t,
    store: &wasm_store_t,
    module: *const c_char,
    name: *const c_char,
    item: &wasm_extern_t,
) -> Failure {
    shield(|| {
        check_engine(store, linker.0.engine())?;
        check(store, item.object())?;
        let (module, name) = (text(module)?, text(name)?);
        store.0.with(|store| linker.0.define(store, module, name, item.item()).map(|_| ()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_define_func(
    linker: &mut aotc_linker_t,
    module: *const c_char,
    name: *const c_char,
    ty: &wasm_functype_t,
    callback: AotcCallback,
    env: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> Failure {
    let env = HostInfo::new(env, finalizer);
    shield(|| {
        let ty = ty.to_type(linker.0.engine())?;
        let function = HostFunction::new(&ty, Callback::Aotc(callback), env);
        let call = move |caller: aotc_loader::Caller<'_, Data>, slots: &mut [_]| {
            function.call(caller, slots)
        };
        // SAFETY: the function looks at the types itself.
        unsafe { linker.0.func_new_unchecked(text(module)?, text(name)?, ty, call) }?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_define_instance(
    linker: &mut aotc_linker_t,
    name: *const c_char,
    instance: &wasm_instance_t,
) -> Failure {
    shield(|| {
        check_engine(instance.object().store_handle(), linker.0.engine())?;
        let name = text(name)?;
        let instance_ = instance.instance();
        instance.store().with(|store| linker.0.instance(store, name, instance_).map(|_| ()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_define_unknown_imports_as_traps(
    linker: &mut aotc_linker_t,
    module: &wasm_module_t,
) -> Failure {
    shield(|| linker.0.define_unknown_imports_as_traps(module.module()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_module(
    linker: &mut aotc_linker_t,
    store: &wasm_store_t,
    name: *const c_char,
    module: &wasm_module_t,
) -> Failure {
    shield(|| {
        check_engine(store, linker.0.engine())?;
        check_engine(store, module.module().engine())?;
        let name = text(name)?;
        store.0.with(|store| linker.0.module(store, name, module.module()).map(|_| ()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_get(
    linker: &aotc_linker_t,
    store: &wasm_store_t,
    module: *const c_char,
    name: *const c_char,
) -> Option<Box<wasm_extern_t>> {
    shield_or(None, || {
        check_engine(store, linker.0.engine())?;
        let (module, name) = (text(module)?, text(name)?);
        let item = store.0.with(|store| linker.0.get(store, module, name))?;
        Ok(Some(wasm_extern_t::of(store, item)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_instantiate(
    linker: &aotc_linker_t,
    store: &wasm_store_t,
    module: &wasm_module_t,
    out: &mut MaybeUninit<Option<Box<wasm_instance_t>>>,
) -> Failure {
    shield_into(out, || {
        check_engine(store, linker.0.engine())?;
        check_engine(store, module.module().engine())?;
        let instance = store.0.with(|store| linker.0.instantiate(store, module.module()))?;
        Ok(wasm_instance_t::of(store, instance))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_instantiate_pre(
    linker: &aotc_linker_t,
    module: &wasm_module_t,
    out: &mut MaybeUninit<Option<Box<aotc_instance_pre_t>>>,
) -> Failure {
    shield_into(out, || Ok(aotc_instance_pre_t(linker.0.instantiate_pre(module.module())?)))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_pre_delete(pre: Option<Box<aotc_instance_pre_t>>) {
    drop(pre);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_instance_pre_instantiate(
    pre: &aotc_instance_pre_t,
    store: &wasm_store_t,
    out: &mut MaybeUninit<Option<Box<wasm_instance_t>>>,
) -> Failure {
    shield_into(out, || {
        check_engine(store, pre.0.module().engine())?;
        let instance = store.0.with(|store| pre.0.instantiate(store))?;
        Ok(wasm_instance_t::of(store, instance))
    })
}
