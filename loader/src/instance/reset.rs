//! Resetting an instance in place.

use anyhow::{Result, bail};
use aotc_abi::vmctx::{VmFunctionImport, VmMemoryDefinition, VmTableDefinition};

use super::{ALLOCATE_TABLE, Instance, Written, start, table_definition};
use crate::error::LoadError;
use crate::module::{MemoryPlan, Module, TablePlan};
use crate::prelude::*;
use crate::reserve::collect;
use crate::store::{AsContextMut, StoreOpaque};
use crate::types::ExternType;
use crate::vmctx::{InstanceCtx, VmPtr};

/// A record below the context that leads to an import.
enum ImportRecord {
    Func(Kept<VmFunctionImport>),
    /// The address of a definition or a global.
    Address(Kept<u64>),
}

/// A record and what it held.
struct Kept<T> {
    record: VmPtr<T>,
    value: T,
}

impl<T: Copy> Kept<T> {
    fn new(record: VmPtr<T>) -> Self {
        Self { record, value: record.read() }
    }

    fn restore(self) {
        self.record.write(self.value);
    }
}

impl Instance {
    /// Makes the instance what it was after it was instantiated: its memories, tables, globals and segments are those of
    /// the module again, with their first sizes, and its start function runs again.
    ///
    /// Handles of the instance and of what it exports stay valid. What the instance imports is not reset, nor
    /// the host's data, nor what the start function did to them the first time.
    ///
    /// The pages that were written are copied back, and no others, as when an instance is dropped.
    ///
    /// ```no_run
    /// # use aotc_loader::{Engine, Instance, Module, Store};
    /// # fn main() -> anyhow::Result<()> {
    /// let engine = Engine::default();
    /// let module = Module::open(&engine, "plugin.aot")?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let handle = instance.get_typed_func::<i32, i32>(&mut store, "handle")?;
    /// for request in 0..10 {
    ///     handle.call(&mut store, request)?;
    ///     instance.reset(&mut store)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If code of the store is being run, that is, in a host function that it called: nothing is changed then. If the
    /// system refuses memory, or the start function traps or fails: then the instance is in a state between, and must be
    /// reset again before it is used.
    ///
    /// # Panics
    /// If the instance belongs to another store.
    pub fn reset(&self, mut store: impl AsContextMut) -> Result<()> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        if store.is_running() {
            bail!("cannot reset an instance while code of its store is on the stack");
        }
        let index = self.index as u32;
        let data = &store.instances[self.index];
        let (module, ctx) = (data.module.clone(), data.ctx);
        reset_slot(store, index, &module, ctx)?;
        reset_tables(store, index, &module, ctx)?;
        reset_memories(store, index, &module)?;
        start(store, &module, ctx)
    }
}

/// Resets the context and memory 0, but for what instantiation wrote.
fn reset_slot(
    store: &mut StoreOpaque,
    index: u32,
    module: &Module,
    ctx: InstanceCtx,
) -> Result<()> {
    let plan = module.plan();
    let imports = plan.imports.iter().map(|import| match import.ty {
        ExternType::Func(_) => ImportRecord::Func(Kept::new(ctx.at(import.slot))),
        ExternType::Global(_) | ExternType::Memory(_) | ExternType::Table(_) => {
            ImportRecord::Address(Kept::new(ctx.at(import.slot)))
        }
    });
    let imports = collect(imports)?;
    let memories = plan.memories.iter().filter_map(|memory| match *memory {
        MemoryPlan::Separate { definition, .. } => Some(Kept::new(ctx.at(definition))),
        MemoryPlan::Imported | MemoryPlan::AtCtx { .. } => None,
    });
    let memories: Vec<Kept<VmMemoryDefinition>> = memories.collect();
    let mut header = Kept::new(ctx.header());
    let data = &mut store.instances[index as usize];
    let slot = data.slot.as_ref().expect("an instance of the store has its slot");
    let reset = slot.reset(module, ctx, Written::Anything);
    if reset.is_err() {
        data.written = Written::Unknown;
    }
    // As much is accessible in any case.
    header.value.memory0.length_bytes = plan.slot.memory_bytes;
    header.restore();
    for import in imports {
        match import {
            ImportRecord::Func(record) => record.restore(),
            ImportRecord::Address(address) => address.restore(),
        }
    }
    memories.into_iter().for_each(Kept::restore);
    reset
}

fn reset_tables(
    store: &mut StoreOpaque,
    instance: u32,
    module: &Module,
    ctx: InstanceCtx,
) -> Result<()> {
    for (index, plan) in module.plan().tables.iter().enumerate() {
        let TablePlan::Defined { definition, elements, element, min, .. } = *plan else { continue };
        let definition = ctx.at::<VmTableDefinition>(definition);
        definition.write(table_definition(ctx, elements, element, min));
        let table = store.table_index(instance, index as u32);
        let data = store.table_mut(table);
        data.storage.clear();
        if elements == 0 && data.grow(0, min).is_none() {
            return Err(LoadError::OutOfMemory { action: ALLOCATE_TABLE }.into());
        }
    }
    Ok(())
}

fn reset_memories(store: &mut StoreOpaque, instance: u32, module: &Module) -> Result<()> {
    for (index, plan) in module.plan().memories.iter().enumerate() {
        let MemoryPlan::Separate { min, .. } = *plan else { continue };
        let memory = store.memory_index(instance, index as u32);
        store.memory_mut(memory).reset(min)?;
    }
    Ok(())
}
