//! What can be imported and exported.

use crate::func::Func;
use crate::global::Global;
use crate::memory::Memory;
use crate::store::{AsContext, StoreId, StoreOpaque};
use crate::table::Table;
use crate::types::ExternType;

/// Something of a store that can be given to an import, or is exported.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
}

impl Extern {
    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        match self {
            Self::Func(func) => Some(func),
            _ => None,
        }
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        match self {
            Self::Global(global) => Some(global),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        match self {
            Self::Memory(memory) => Some(memory),
            _ => None,
        }
    }

    /// The type. Tables and memories have their current size as minimum.
    ///
    /// # Panics
    /// If the thing belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.type_in(&store.as_context().0.opaque)
    }

    pub(crate) fn type_in(&self, store: &StoreOpaque) -> ExternType {
        store.check(self.store());
        match self {
            Self::Func(func) => store.func_type(func.raw.hash).into(),
            Self::Global(global) => global.type_().into(),
            Self::Table(table) => table.type_in(store).into(),
            Self::Memory(memory) => memory.type_in(store).into(),
        }
    }

    pub(crate) fn store(&self) -> StoreId {
        match self {
            Self::Func(func) => func.store,
            Self::Global(global) => global.store,
            Self::Table(table) => table.store,
            Self::Memory(memory) => memory.store,
        }
    }
}

macro_rules! extern_from {
    ($($variant:ident)*) => {$(
        impl From<$variant> for Extern {
            fn from(item: $variant) -> Self {
                Self::$variant(item)
            }
        }
    )*};
}

extern_from! { Func Global Table Memory }

/// An export of an instance.
#[derive(Clone, Debug)]
pub struct Export<'instance> {
    pub(crate) name: &'instance str,
    pub(crate) item: Extern,
}

impl<'instance> Export<'instance> {
    /// Its name.
    pub fn name(&self) -> &'instance str {
        self.name
    }

    /// What is exported.
    pub fn into_extern(self) -> Extern {
        self.item
    }

    /// Its type.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.item.ty(store)
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        self.item.into_func()
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        self.item.into_global()
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        self.item.into_table()
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.item.into_memory()
    }
}
