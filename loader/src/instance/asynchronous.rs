//! Instantiation on a stack of its own, so that start functions can wait.

use anyhow::Result;

use super::{Instance, InstancePre, Matched, instantiate, items_of, note_async};
use crate::extern_::Extern;
use crate::fiber::on_fiber;
use crate::module::Module;
use crate::store::AsContextMut;

impl Instance {
    /// Instantiates `module` as [`Instance::new`] does; its start function runs on a stack of its own, so that host functions
    /// can wait.
    ///
    /// # Errors
    /// As [`Instance::new`], and if there is no memory for a stack.
    pub async fn new_async(
        mut store: impl AsContextMut<Data: Send>,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let store = store.as_context_mut().0;
        let items = items_of(&store.opaque, module, imports)?;
        on_fiber(store, |store| instantiate(&mut store.opaque, module, &items)).await?
    }
}

impl<T: 'static> InstancePre<T> {
    /// Makes an instance as [`InstancePre::instantiate`] does; its start function runs on a stack of its own, so that host
    /// functions can wait.
    ///
    /// # Errors
    /// As [`InstancePre::instantiate`], and if there is no memory for a stack.
    pub async fn instantiate_async(
        &self,
        mut store: impl AsContextMut<Data = T>,
    ) -> Result<Instance>
    where
        T: Send,
    {
        let store = store.as_context_mut().0;
        let Matched { module, items } = self.local();
        note_async(&mut store.opaque, items);
        on_fiber(store, |store| instantiate(&mut store.opaque, module, items)).await?
    }
}
