//! What a host function knows of the instance that called it.

use crate::engine::Engine;
use crate::extern_::Extern;
use crate::module::ModuleExport;
use crate::store::{StoreContext, StoreContextMut};
use crate::{AsContext, AsContextMut};

/// The store as a host function sees it, and the instance that called.
///
/// ```
/// use aotc_loader::{Caller, Engine, Linker, Module, Store};
///
/// # fn main() -> anyhow::Result<()> {
/// # fn compile(text: &str) -> Vec<u8> {
/// #     aotc::compile(text.as_bytes(), aotc::Emit::Image, &aotc::Options::default()).unwrap()
/// # }
/// let image = compile(
///     r#"(module
///       (import "host" "log" (func $log (param i32 i32)))
///       (memory (export "memory") 1)
///       (data (i32.const 16) "hello")
///       (func (export "run") (call $log (i32.const 16) (i32.const 5))))"#,
/// );
/// let engine = Engine::default();
/// let module = Module::from_bytes(&engine, &image)?;
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "log", |mut caller: Caller<'_, String>, start: u32, bytes: u32| {
///     let memory = caller.get_export("memory").and_then(|export| export.into_memory());
///     let memory = memory.expect("a memory");
///     let (data, log) = memory.data_and_store_mut(&mut caller);
///     let text = &data[start as usize..][..bytes as usize];
///     log.push_str(std::str::from_utf8(text).expect("text"));
/// })?;
/// let mut store = Store::new(&engine, String::new());
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(store.data(), "hello");
/// # Ok(())
/// # }
/// ```
pub struct Caller<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    /// Context of the instance that called through an import, or 0.
    pub(crate) ctx: u64,
}

impl<'a, T: 'static> Caller<'a, T> {
    /// As [`crate::Store::gc`]. Since WebAssembly has called, nothing is dropped, unless the host called the function itself.
    pub fn gc(&mut self, why: Option<&core::convert::Infallible>) {
        self.store.gc(why);
    }

    /// The host's data.
    #[inline]
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The host's data.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// The calling instance's export of this name. `None` if there is no such export, or if it was
    /// not an instance that called through an import.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let store = &mut self.store.0.opaque;
        let instance = store.instance_of(self.ctx)?;
        store.export(instance, name)
    }

    /// The calling instance's export that `export` leads to. `None` if it is of another module, or if it was
    /// not an instance that called through an import.
    pub fn get_module_export(&mut self, export: &ModuleExport) -> Option<Extern> {
        let store = &mut self.store.0.opaque;
        let instance = store.instance_of(self.ctx)?;
        store.module_export(instance, export)
    }

    /// The store.
    pub fn as_context(&self) -> StoreContext<'_, T> {
        AsContext::as_context(self)
    }

    /// The store.
    pub fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        AsContextMut::as_context_mut(self)
    }
}

impl<'a, T: 'static> From<Caller<'a, T>> for StoreContextMut<'a, T> {
    fn from(caller: Caller<'a, T>) -> Self {
        caller.store
    }
}
