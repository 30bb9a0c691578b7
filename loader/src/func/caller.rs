//! What a host function knows of the instance that called it.

use crate::engine::Engine;
use crate::extern_::Extern;
use crate::store::{StoreContext, StoreContextMut};
use crate::{AsContext, AsContextMut};

/// The store as a host function sees it, and the instance that called.
pub struct Caller<'a, T: 'static> {
    pub(crate) store: StoreContextMut<'a, T>,
    /// Context of the instance that called through an import, or 0.
    pub(crate) ctx: u64,
}

impl<'a, T: 'static> Caller<'a, T> {
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

    /// The store.
    pub fn as_context(&self) -> StoreContext<'_, T> {
        AsContext::as_context(self)
    }

    /// The store.
    pub fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        AsContextMut::as_context_mut(self)
    }
}
