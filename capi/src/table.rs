//! Tables: `wasm_table_t`.

use anyhow::Context as _;
use aotc_loader::{AsContextMut, Ref, RootScope, Table, ValType};

use crate::error::shield_or;
use crate::object::{Kind, object_type, wasm_ref_t};
use crate::prelude::*;
use crate::store::{Context, wasm_store_t};
use crate::types::wasm_tabletype_t;
use crate::value::{from_ref, to_ref};

object_type! {
    /// A table.
    wasm_table_t
}

impl wasm_table_t {
    fn table(&self) -> Table {
        match *self.kind() {
            Kind::Table(table) => table,
            _ => unreachable!("a wasm_table_t is a table"),
        }
    }

    /// Calls `body` with the store and the reference `object` of the table's type.
    fn with(
        &self,
        object: Option<&wasm_ref_t>,
        body: impl FnOnce(Table, &mut Context<'_>, Ref) -> anyhow::Result<()>,
    ) -> bool {
        shield_or(false, || {
            self.store().with(|store| {
                let mut scope = RootScope::new(store);
                let mut context = scope.as_context_mut();
                let ty = ValType::Ref(*self.table().ty(&context).element());
                let reference = to_ref(object, ty, &mut context)?;
                body(self.table(), &mut context, reference)?;
                Ok(true)
            })
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_new(
    store: &wasm_store_t,
    ty: &wasm_tabletype_t,
    init: Option<&wasm_ref_t>,
) -> Option<Box<wasm_table_t>> {
    shield_or(None, || {
        let table = store.0.with(|store| {
            let mut scope = RootScope::new(store);
            let mut context = scope.as_context_mut();
            let ty = ty.to_type();
            let init = to_ref(init, ValType::Ref(*ty.element()), &mut context)?;
            Table::new(&mut context, ty, init)
        })?;
        Ok(Some(Box::new(wasm_table_t::new(Some(store.clone()), Kind::Table(table)))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_type(table: &wasm_table_t) -> Box<wasm_tabletype_t> {
    Box::new(table.store().with(|store| table.table().ty(store)).into())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_get(table: &wasm_table_t, index: u32) -> Option<Box<wasm_ref_t>> {
    shield_or(None, || {
        table.store().with(|store| {
            let mut scope = RootScope::new(store);
            let mut context = scope.as_context_mut();
            let element = table.table().get(&mut context, index.into());
            from_ref(element.context("table index out of bounds")?, &mut context)
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_set(
    table: &wasm_table_t,
    index: u32,
    element: Option<&wasm_ref_t>,
) -> bool {
    table.with(element, |table, context, element| table.set(context, index.into(), element))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_size(table: &wasm_table_t) -> u32 {
    // Tables have fewer than 2^32 elements.
    table.store().with(|store| table.table().size(store)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn wasm_table_grow(table: &wasm_table_t, delta: u32, init: Option<&wasm_ref_t>) -> bool {
    table.with(init, |table, context, init| table.grow(context, delta.into(), init).map(|_| ()))
}
