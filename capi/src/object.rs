//! Objects: what `wasm_ref_t`, `wasm_func_t`, `wasm_extern_t` and so on point to.
//!
//! They are one struct, so that the conversions of the API only change the pointer's type, as long as the kind is
//! right:
//!
//! ```text
//!   wasm_ref_t { store, kind }      kind: Func Global Table Memory Instance    of the store, which keeps them
//!      = wasm_func_t                      Module Trap Foreign                  counted
//!      = wasm_extern_t ...
//! ```
//!
//! A host info belongs to the object and not to the pointer. That of counted objects is beside them, that of a
//! store's objects in the store's data.

use alloc::sync::Arc;
use core::ffi::c_void;
use core::mem::take;
use core::ops::DerefMut;
use core::ptr;

use aotc_loader::{Func, Global, Instance, Memory, Table};

use crate::extern_::wasm_extern_t;
use crate::foreign::{Foreign, wasm_foreign_t};
use crate::func::wasm_func_t;
use crate::global::wasm_global_t;
use crate::instance::wasm_instance_t;
use crate::memory::wasm_memory_t;
use crate::module::{ModuleObject, wasm_module_t};
use crate::prelude::*;
use crate::store::{StoreCell, wasm_store_t};
use crate::sync::Mutex;
use crate::table::wasm_table_t;
use crate::trap::{TrapObject, wasm_trap_t};

/// An object of any kind.
#[derive(Clone)]
pub(crate) struct wasm_ref_t {
    /// The store of what belongs to one.
    store: Option<wasm_store_t>,
    kind: Kind,
}

/// What an object is.
#[derive(Clone)]
pub(crate) enum Kind {
    Func(Func),
    Global(Global),
    Table(Table),
    Memory(Memory),
    Instance(Instance),
    Module(Arc<ModuleObject>),
    Trap(Arc<TrapObject>),
    Foreign(Arc<Foreign>),
}

/// By what an object of a store is known.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The address of its reference record.
    Func(usize),
    Global(Global),
    Table(Table),
    Memory(Memory),
    Instance(Instance),
}

/// A pointer of the host's, and what is called with it in the end.
pub(crate) struct HostInfo {
    data: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
}

// SAFETY: the crate's contract: C knows on which threads it uses its objects. The pointer is only handed through.
unsafe impl Send for HostInfo {}
// SAFETY: as above.
unsafe impl Sync for HostInfo {}

impl HostInfo {
    pub(crate) fn new(data: *mut c_void, finalizer: Option<extern "C" fn(*mut c_void)>) -> Self {
        Self { data, finalizer }
    }

    pub(crate) fn data(&self) -> *mut c_void {
        self.data
    }
}

impl Default for HostInfo {
    fn default() -> Self {
        Self::new(ptr::null_mut(), None)
    }
}

impl Drop for HostInfo {
    fn drop(&mut self) {
        if let Some(finalizer) = take(&mut self.finalizer) {
            finalizer(self.data);
        }
    }
}

impl wasm_ref_t {
    pub(crate) fn new(store: Option<wasm_store_t>, kind: Kind) -> Self {
        Self { store, kind }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The store of an object that belongs to one.
    #[inline]
    pub(crate) fn store(&self) -> &StoreCell {
        &self.store_handle().0
    }

    pub(crate) fn store_handle(&self) -> &wasm_store_t {
        self.store
            .as_ref()
            .expect("functions, globals, tables, memories and instances have a store")
    }

    /// Whether it belongs to another store.
    pub(crate) fn is_elsewhere(&self, cell: *const StoreCell) -> bool {
        self.store.as_ref().is_some_and(|store| Arc::as_ptr(&store.0) != cell)
    }

    /// By what it is known in its store; `None` if it is counted.
    fn key(&self) -> Option<Key> {
        Some(match self.kind {
            Kind::Func(func) => {
                let address = self.store().with(|store| func.to_raw(store));
                Key::Func(address as usize)
            }
            Kind::Global(global) => Key::Global(global),
            Kind::Table(table) => Key::Table(table),
            Kind::Memory(memory) => Key::Memory(memory),
            Kind::Instance(instance) => Key::Instance(instance),
            Kind::Module(_) | Kind::Trap(_) | Kind::Foreign(_) => return None,
        })
    }

    fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Module(a), Kind::Module(b)) => a.same(b),
            (Kind::Trap(a), Kind::Trap(b)) => Arc::ptr_eq(a, b),
            (Kind::Foreign(a), Kind::Foreign(b)) => Arc::ptr_eq(a, b),
            _ => match (self.key(), other.key()) {
                (Some(a), Some(b)) => !self.is_elsewhere(other.store()) && a == b,
                _ => false,
            },
        }
    }

    /// Where a counted object's host info is.
    fn counted_info(&self) -> Option<impl DerefMut<Target = HostInfo> + '_> {
        let info: &Mutex<HostInfo> = match &self.kind {
            Kind::Module(module) => &module.host_info,
            Kind::Trap(trap) => &trap.host_info,
            Kind::Foreign(foreign) => &foreign.host_info,
            Kind::Func(_)
            | Kind::Global(_)
            | Kind::Table(_)
            | Kind::Memory(_)
            | Kind::Instance(_) => return None,
        };
        Some(info.lock().unwrap_or_else(|poison| poison.into_inner()))
    }

    fn host_info(&self) -> *mut c_void {
        match (self.counted_info(), self.key()) {
            (Some(info), _) => info.data,
            (None, Some(key)) => self.store().with(|store| {
                store.data().host_infos.get(&key).map_or(ptr::null_mut(), HostInfo::data)
            }),
            (None, None) => ptr::null_mut(),
        }
    }

    fn set_host_info(&self, info: HostInfo) {
        let before = match (self.counted_info(), self.key()) {
            (Some(mut place), _) => Some(core::mem::replace(&mut *place, info)),
            (None, Some(key)) => {
                self.store().with(|mut store| store.data_mut().host_infos.insert(key, info))
            }
            (None, None) => Some(info),
        };
        // Its finalizer is called with nothing borrowed.
        drop(before);
    }
}

/// Declares the type of a kind of objects: a [`wasm_ref_t`] under another name.
macro_rules! object_type {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone)]
        #[repr(transparent)]
        pub(crate) struct $name(crate::object::wasm_ref_t);

        #[allow(dead_code, reason = "not every kind needs all")]
        impl $name {
            pub(crate) fn new(
                store: Option<crate::store::wasm_store_t>,
                kind: crate::object::Kind,
            ) -> Self {
                Self(crate::object::wasm_ref_t::new(store, kind))
            }

            pub(crate) fn object(&self) -> &crate::object::wasm_ref_t {
                &self.0
            }

            #[inline]
            pub(crate) fn kind(&self) -> &crate::object::Kind {
                self.0.kind()
            }

            #[inline]
            pub(crate) fn store(&self) -> &crate::store::StoreCell {
                self.0.store()
            }
        }
    };
}

pub(crate) use object_type;

macro_rules! base_functions {
    ($($name:ident: $delete:ident $copy:ident $same:ident $get:ident $set:ident $set_with:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $delete(object: Option<Box<$name>>) {
            drop(object);
        }

        #[unsafe(no_mangle)]
        extern "C" fn $copy(object: &$name) -> Box<$name> {
            Box::new(object.clone())
        }

        #[unsafe(no_mangle)]
        extern "C" fn $same(a: &$name, b: &$name) -> bool {
            a.object().same(b.object())
        }

        #[unsafe(no_mangle)]
        extern "C" fn $get(object: &$name) -> *mut c_void {
            object.object().host_info()
        }

        #[unsafe(no_mangle)]
        extern "C" fn $set(object: &$name, data: *mut c_void) {
            object.object().set_host_info(HostInfo::new(data, None));
        }

        #[unsafe(no_mangle)]
        extern "C" fn $set_with(
            object: &$name,
            data: *mut c_void,
            finalizer: Option<extern "C" fn(*mut c_void)>,
        ) {
            object.object().set_host_info(HostInfo::new(data, finalizer));
        }
    )*};
}

impl wasm_ref_t {
    pub(crate) fn object(&self) -> &wasm_ref_t {
        self
    }
}

base_functions! {
    wasm_ref_t: wasm_ref_delete wasm_ref_copy wasm_ref_same
        wasm_ref_get_host_info wasm_ref_set_host_info wasm_ref_set_host_info_with_finalizer;
    wasm_trap_t: wasm_trap_delete wasm_trap_copy wasm_trap_same
        wasm_trap_get_host_info wasm_trap_set_host_info wasm_trap_set_host_info_with_finalizer;
    wasm_foreign_t: wasm_foreign_delete wasm_foreign_copy wasm_foreign_same
        wasm_foreign_get_host_info wasm_foreign_set_host_info wasm_foreign_set_host_info_with_finalizer;
    wasm_module_t: wasm_module_delete wasm_module_copy wasm_module_same
        wasm_module_get_host_info wasm_module_set_host_info wasm_module_set_host_info_with_finalizer;
    wasm_func_t: wasm_func_delete wasm_func_copy wasm_func_same
        wasm_func_get_host_info wasm_func_set_host_info wasm_func_set_host_info_with_finalizer;
    wasm_global_t: wasm_global_delete wasm_global_copy wasm_global_same
        wasm_global_get_host_info wasm_global_set_host_info wasm_global_set_host_info_with_finalizer;
    wasm_table_t: wasm_table_delete wasm_table_copy wasm_table_same
        wasm_table_get_host_info wasm_table_set_host_info wasm_table_set_host_info_with_finalizer;
    wasm_memory_t: wasm_memory_delete wasm_memory_copy wasm_memory_same
        wasm_memory_get_host_info wasm_memory_set_host_info wasm_memory_set_host_info_with_finalizer;
    wasm_extern_t: wasm_extern_delete wasm_extern_copy wasm_extern_same
        wasm_extern_get_host_info wasm_extern_set_host_info wasm_extern_set_host_info_with_finalizer;
    wasm_instance_t: wasm_instance_delete wasm_instance_copy wasm_instance_same
        wasm_instance_get_host_info wasm_instance_set_host_info wasm_instance_set_host_info_with_finalizer;
}

macro_rules! conversions {
    ($($of:ident -> $name:ident ($($kind:ident)|+): $to:ident $from:ident $to_const:ident $from_const:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $to(object: *mut $name) -> *mut $of {
            object.cast()
        }

        #[unsafe(no_mangle)]
        extern "C" fn $to_const(object: *const $name) -> *const $of {
            object.cast()
        }

        #[unsafe(no_mangle)]
        extern "C" fn $from(object: Option<&mut $of>) -> *mut $name {
            match object {
                Some(object) if matches!(object.kind(), $(Kind::$kind(_))|+) => {
                    ptr::from_mut(object).cast()
                }
                _ => ptr::null_mut(),
            }
        }

        #[unsafe(no_mangle)]
        extern "C" fn $from_const(object: Option<&$of>) -> *const $name {
            match object {
                Some(object) if matches!(object.kind(), $(Kind::$kind(_))|+) => {
                    ptr::from_ref(object).cast()
                }
                _ => ptr::null(),
            }
        }
    )*};
}

conversions! {
    wasm_ref_t -> wasm_trap_t (Trap):
        wasm_trap_as_ref wasm_ref_as_trap wasm_trap_as_ref_const wasm_ref_as_trap_const;
    wasm_ref_t -> wasm_foreign_t (Foreign):
        wasm_foreign_as_ref wasm_ref_as_foreign wasm_foreign_as_ref_const wasm_ref_as_foreign_const;
    wasm_ref_t -> wasm_module_t (Module):
        wasm_module_as_ref wasm_ref_as_module wasm_module_as_ref_const wasm_ref_as_module_const;
    wasm_ref_t -> wasm_func_t (Func):
        wasm_func_as_ref wasm_ref_as_func wasm_func_as_ref_const wasm_ref_as_func_const;
    wasm_ref_t -> wasm_global_t (Global):
        wasm_global_as_ref wasm_ref_as_global wasm_global_as_ref_const wasm_ref_as_global_const;
    wasm_ref_t -> wasm_table_t (Table):
        wasm_table_as_ref wasm_ref_as_table wasm_table_as_ref_const wasm_ref_as_table_const;
    wasm_ref_t -> wasm_memory_t (Memory):
        wasm_memory_as_ref wasm_ref_as_memory wasm_memory_as_ref_const wasm_ref_as_memory_const;
    wasm_ref_t -> wasm_instance_t (Instance):
        wasm_instance_as_ref wasm_ref_as_instance wasm_instance_as_ref_const wasm_ref_as_instance_const;
    wasm_ref_t -> wasm_extern_t (Func | Global | Table | Memory):
        wasm_extern_as_ref wasm_ref_as_extern wasm_extern_as_ref_const wasm_ref_as_extern_const;
    wasm_extern_t -> wasm_func_t (Func):
        wasm_func_as_extern wasm_extern_as_func wasm_func_as_extern_const wasm_extern_as_func_const;
    wasm_extern_t -> wasm_global_t (Global):
        wasm_global_as_extern wasm_extern_as_global wasm_global_as_extern_const wasm_extern_as_global_const;
    wasm_extern_t -> wasm_table_t (Table):
        wasm_table_as_extern wasm_extern_as_table wasm_table_as_extern_const wasm_extern_as_table_const;
    wasm_extern_t -> wasm_memory_t (Memory):
        wasm_memory_as_extern wasm_extern_as_memory wasm_memory_as_extern_const wasm_extern_as_memory_const;
}
