//! Globals: `wasm_global_t`.

use core::mem::MaybeUninit;

use aotc_loader::{AsContextMut, Global, RootScope};

use crate::error::shield_or;
use crate::object::{Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::types::wasm_globaltype_t;
use crate::value::{CVal, aotc_val_t, wasm_val_t};

object_type! {
    /// A global.
    wasm_global_t
}

impl wasm_global_t {
    fn global(&self) -> Global {
        match *self.kind() {
            Kind::Global(global) => global,
            _ => unreachable!("a wasm_global_t is a global"),
        }
    }

    fn get<V: CVal + Default>(&self) -> V {
        shield_or(V::default(), || {
            self.store().with(|store| {
                let mut scope = RootScope::new(store);
                let mut context = scope.as_context_mut();
                let val = self.global().get(&mut context);
                V::from_val(val, &mut context)
            })
        })
    }

    fn set(&self, val: &impl CVal) -> bool {
        shield_or(false, || {
            self.store().with(|store| {
                let mut scope = RootScope::new(store);
                let mut context = scope.as_context_mut();
                let ty = *self.global().ty(&context).content();
                let val = val.to_val(ty, &mut context)?;
                self.global().set(&mut context, val)?;
                Ok(true)
            })
        })
    }
}

fn new(
    store: &wasm_store_t,
    ty: &wasm_globaltype_t,
    val: &impl CVal,
) -> Option<Box<wasm_global_t>> {
    shield_or(None, || {
        let global = store.0.with(|store| {
            let mut scope = RootScope::new(store);
            let mut context = scope.as_context_mut();
            let ty = ty.to_type();
            let val = val.to_val(*ty.content(), &mut context)?;
            Global::new(&mut context, ty, val)
        })?;
        Ok(Some(Box::new(wasm_global_t::new(Some(store.clone()), Kind::Global(global)))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_global_new(
    store: &wasm_store_t,
    ty: &wasm_globaltype_t,
    val: &wasm_val_t,
) -> Option<Box<wasm_global_t>> {
    new(store, ty, val)
}

#[unsafe(no_mangle)]
extern "C" fn aotc_global_new(
    store: &wasm_store_t,
    ty: &wasm_globaltype_t,
    val: &aotc_val_t,
) -> Option<Box<wasm_global_t>> {
    new(store, ty, val)
}

#[unsafe(no_mangle)]
extern "C" fn wasm_global_type(global: &wasm_global_t) -> Box<wasm_globaltype_t> {
    Box::new(global.store().with(|store| global.global().ty(store)).into())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_global_get(global: &wasm_global_t, out: &mut MaybeUninit<wasm_val_t>) {
    out.write(global.get());
}

#[unsafe(no_mangle)]
extern "C" fn aotc_global_get(global: &wasm_global_t, out: &mut MaybeUninit<aotc_val_t>) {
    out.write(global.get());
}

#[unsafe(no_mangle)]
extern "C" fn wasm_global_set(global: &wasm_global_t, val: &wasm_val_t) {
    global.set(val);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_global_set(global: &wasm_global_t, val: &aotc_val_t) -> bool {
    global.set(val)
}
