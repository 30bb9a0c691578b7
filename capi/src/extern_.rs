//! What can be imported and exported: `wasm_extern_t`.

use aotc_loader::Extern;

use crate::object::{Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::types::{ExternKind, wasm_externtype_t};

object_type! {
    /// A function, global, table or memory.
    wasm_extern_t
}

impl wasm_extern_t {
    pub(crate) fn of(store: &wasm_store_t, item: Extern) -> Box<Self> {
        let kind = match item {
            Extern::Func(func) => Kind::Func(func),
            Extern::Global(global) => Kind::Global(global),
            Extern::Table(table) => Kind::Table(table),
            Extern::Memory(memory) => Kind::Memory(memory),
        };
        Box::new(Self::new(Some(store.clone()), kind))
    }

    pub(crate) fn item(&self) -> Extern {
        match *self.kind() {
            Kind::Func(func) => func.into(),
            Kind::Global(global) => global.into(),
            Kind::Table(table) => table.into(),
            Kind::Memory(memory) => memory.into(),
            Kind::Instance(_) | Kind::Module(_) | Kind::Trap(_) | Kind::Foreign(_) => {
                unreachable!("a wasm_extern_t is what can be imported")
            }
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_extern_kind(item: &wasm_extern_t) -> u8 {
    let kind = match item.item() {
        Extern::Func(_) => ExternKind::Func,
        Extern::Global(_) => ExternKind::Global,
        Extern::Table(_) => ExternKind::Table,
        Extern::Memory(_) => ExternKind::Memory,
    };
    kind as u8
}

#[unsafe(no_mangle)]
extern "C" fn wasm_extern_type(item: &wasm_extern_t) -> Box<wasm_externtype_t> {
    Box::new(item.store().with(|store| item.item().ty(store)).into())
}
