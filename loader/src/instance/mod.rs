//! Instances: allocation, imports, start-up, exports.

#[cfg(feature = "async")]
mod asynchronous;
#[cfg(not(feature = "std"))]
mod heap_slot;
mod imports;
#[cfg(feature = "std")]
mod pool;
mod recycle;
mod reset;
#[cfg(feature = "std")]
mod slot;

#[cfg(feature = "std")]
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use anyhow::{Context, Result, anyhow};
use aotc_abi::meta::ExternKind;
use aotc_abi::target::BoundsStyle;
use aotc_abi::vmctx::{
    VmCalleePrefix, VmFunctionImport, VmHostFunc, VmMemoryDefinition, VmTableDefinition,
};

#[cfg(not(feature = "std"))]
pub(crate) use heap_slot::Slot;
pub(crate) use imports::{Given, Item, Items, check, names};
#[cfg(feature = "std")]
pub(crate) use pool::Pool;
pub(crate) use recycle::Recycled;
#[cfg(feature = "std")]
pub(crate) use slot::{Keep, Slot};

use crate::builtins;
use crate::call::{self, Callee};
use crate::error::{LinkError, LoadError};
use crate::extern_::{Export, Extern};
use crate::func::{Func, RawFunc, TypedFunc, WasmParams, WasmResults, host_record};
use crate::global::Global;
use crate::handle::Handle;
#[cfg(feature = "std")]
use crate::locals::Locals;
use crate::memory::Memory;
use crate::module::{ImportPlan, MemoryPlan, Module, ModuleExport, SlotPlan, TablePlan};
use crate::prelude::*;
use crate::store::{
    AsContextMut, InstanceData, MemoryAddresses, MemoryData, NO_TABLE, Obstacle, StoreId,
    StoreOpaque, TableData,
};
#[cfg(feature = "std")]
use crate::sync::OnceLock;
use crate::table::Table;
use crate::types::{GlobalType, RefType};
use crate::vmctx::{InstanceCtx, VmPtr};

/// What may have been written to an instance since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Only what making an instance writes, and always writes: none of its code ran, and nobody had a handle of its
    /// memories, tables or globals.
    Records,
    /// Anything.
    Anything,
    /// Anything, and resetting it failed half-way: it is not used again.
    Unknown,
}

/// An instance of a module, owned by its store: a handle of 16 bytes, the store's 64-bit number and the place in the
/// store, that is as good as any copy of it.
///
/// WebAssembly 3.0 adds exports of two kinds, shared memories and tags; their accessors will stand beside the
/// others.
///
/// ```
/// use aotc_loader::{Engine, Func, Instance, Module, Store};
///
/// # fn main() -> anyhow::Result<()> {
/// # fn compile(text: &str) -> Vec<u8> {
/// #     aotc::compile(text.as_bytes(), aotc::Emit::Image, &aotc::Options::default()).unwrap()
/// # }
/// let image = compile(
///     r#"(module
///       (import "host" "answer" (func $answer (result i32)))
///       (memory (export "memory") 1)
///       (func (export "run") (i32.store (i32.const 8) (call $answer))))"#,
/// );
/// let engine = Engine::default();
/// let module = Module::from_bytes(&engine, &image)?;
/// let mut store = Store::new(&engine, ());
/// let answer = Func::wrap(&mut store, || 42);
/// let instance = Instance::new(&mut store, &module, &[answer.into()])?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// let memory = instance.get_memory(&mut store, "memory").expect("an export");
/// assert_eq!(memory.data(&store)[8], 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instance {
    store: StoreId,
    index: usize,
}

// The layout that headers for other languages rely on.
const _: () = {
    assert!(core::mem::offset_of!(Instance, store) == 0);
    assert!(core::mem::offset_of!(Instance, index) == 8);
    assert!(size_of::<StoreId>() == 8);
    assert!(size_of::<Instance>() == 8 + size_of::<usize>().next_multiple_of(align_of::<u64>()));
};

impl Instance {
    /// Instantiates `module` with one import for each that it has, in order, and runs its start function.
    ///
    /// # Errors
    /// [`LinkError`]; [`crate::LoadError`] if the system refuses memory: then the store is as it was, and all memory is given
    /// back. A [`crate::Trap`] or other error of the start function, in which case what it did to the store stays.
    pub fn new(
        mut store: impl AsContextMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let store = &mut store.as_context_mut().0.opaque;
        let items = items_of(store, module, imports)?;
        store.synchronously(|store| instantiate(store, module, &items))
    }

    /// The module.
    ///
    /// # Panics
    /// As all methods: if the instance belongs to another store.
    pub fn module<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContext<'a, T>>,
    ) -> &'a Module {
        &self.data(&store.into().0.opaque).module
    }

    /// The exports, in the module's order.
    pub fn exports<'a, T: 'static>(
        &self,
        store: impl Into<crate::StoreContextMut<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let store: &'a StoreOpaque = &store.into().0.opaque;
        let index = self.index as u32;
        let data = self.data(store).module.data();
        data.exports().iter().map(move |export| {
            let kind = ExternKind::from_u32(export.kind).expect("checked export kind");
            Export { name: data.str(export.name), item: store.item(index, kind, export.index) }
        })
    }

    /// The export `name`.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        store.export(self.index as u32, name)
    }

    /// The export that `export` leads to, without looking for a name; `None` if it is of another module.
    pub fn get_module_export(
        &self,
        mut store: impl AsContextMut,
        export: &ModuleExport,
    ) -> Option<Extern> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        store.module_export(self.index as u32, export)
    }

    /// The exported function `name`.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The exported function `name`, for calls with Rust types.
    ///
    /// # Errors
    /// If there is no such function, or it has another type.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let func = self
            .get_func(&mut store, name)
            .ok_or_else(|| anyhow!("failed to find function export `{name}`"))?;
        func.typed(&store)
            .with_context(|| format!("failed to convert function `{name}` to given type"))
    }

    /// The exported memory `name`.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The exported table `name`.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The exported global `name`.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// Instance `index` of `store`.
    pub(crate) fn from_index(store: &StoreOpaque, index: u32) -> Self {
        Self { store: store.id, index: index as usize }
    }

    /// Place in the store.
    pub(crate) fn index(&self) -> u32 {
        self.index as u32
    }

    pub(crate) fn data<'a>(&self, store: &'a StoreOpaque) -> &'a InstanceData {
        store.check(self.store);
        &store.instances[self.index]
    }
}

/// A module with its imports, matched once and for all: see [`crate::Linker::instantiate_pre`].
pub struct InstancePre<T: 'static> {
    matched: Matched,
    /// The same for each thread that makes instances, whose stores count there how often they have it.
    #[cfg(feature = "std")]
    locals: Arc<Locals<OnceLock<Matched>>>,
    data: PhantomData<fn() -> T>,
}

/// A module, and the items that match its imports.
#[derive(Clone)]
struct Matched {
    module: Module,
    items: Handle<Items>,
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self {
            matched: self.matched.clone(),
            #[cfg(feature = "std")]
            locals: self.locals.clone(),
            data: PhantomData,
        }
    }
}

impl<T: 'static> InstancePre<T> {
    pub(crate) fn new(module: &Module, items: Handle<Items>) -> Self {
        Self {
            matched: Matched { module: module.clone(), items },
            #[cfg(feature = "std")]
            locals: Arc::default(),
            data: PhantomData,
        }
    }

    /// What this thread makes instances of.
    fn local(&self) -> &Matched {
        #[cfg(feature = "std")]
        return self.locals.mine().get_or_init(|| {
            let Matched { module, items } = &self.matched;
            Matched { module: module.apart(), items: items.apart() }
        });
        #[cfg(not(feature = "std"))]
        &self.matched
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.matched.module
    }

    /// Makes an instance, and runs its start function.
    ///
    /// # Errors
    /// As [`Instance::new`]; imports were matched before.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let store = &mut store.as_context_mut().0.opaque;
        let Matched { module, items } = self.local();
        note_async(store, items);
        store.synchronously(|store| instantiate(store, module, items))
    }
}

/// The items for a module's imports, one for each, which match.
fn items_of(store: &StoreOpaque, module: &Module, imports: &[Extern]) -> Result<Handle<Items>> {
    let expected = module.plan().imports.len();
    if imports.len() != expected {
        return Err(LinkError::ImportCount { expected, found: imports.len() }.into());
    }
    let items = Items::new(imports.iter().copied().map(|import| Ok(Item::Extern(import))))?;
    check_items(store, module, &items)?;
    Ok(items)
}

/// Notes in the store if a host function among `items` may have to wait.
pub(crate) fn note_async(store: &mut StoreOpaque, items: &[Item]) {
    let is_async = |item: &Item| matches!(item, Item::Host(func) if func.is_async());
    if items.iter().any(is_async) {
        store.obstacles.add(Obstacle::Async);
    }
}

/// Refuses what belongs to another store.
pub(crate) fn check_store(
    store: &StoreOpaque,
    module: &Module,
    index: usize,
    item: &Item,
) -> Result<()> {
    if item.is_of(store) {
        return Ok(());
    }
    let (module, name) = names(module, index);
    Err(LinkError::OtherStore { module, name }.into())
}

/// Matches all `items` with the imports of `module`.
pub(crate) fn check_items(store: &StoreOpaque, module: &Module, items: &[Item]) -> Result<()> {
    for (index, item) in items.iter().enumerate() {
        check_store(store, module, index, item)?;
        check(module, index, &item.given(store))?;
    }
    Ok(())
}

/// Makes an instance from imports that match, and runs its start function.
pub(crate) fn instantiate(
    store: &mut StoreOpaque,
    module: &Module,
    items: &Handle<Items>,
) -> Result<Instance> {
    if !crate::Engine::same(&store.engine, module.engine()) {
        return Err(LinkError::OtherEngine.into());
    }
    for (index, item) in items.iter().enumerate() {
        check_store(store, module, index, item)?;
    }
    ask_limiter(store, module)?;
    let before = store.extent();
    let allocated = allocate(store, module, items);
    if allocated.is_err() {
        store.cut(before);
    }
    let (index, ctx) = allocated?;
    // From here on code may run, and what it did stays.
    store.register_module(module);
    #[cfg(feature = "std")]
    module.keep_engine(&store.engine);
    if !items.is_empty() && !store.imports.last().is_some_and(|last| Handle::same(last, items)) {
        store.imports.push(items.clone());
    }
    start(store, module, ctx)?;
    Ok(Instance { store: store.id, index: index as usize })
}

/// Asks the store's limiter, if it has one, for all that an instance of `module` has.
///
/// # Errors
/// If it refuses something.
fn ask_limiter(store: &mut StoreOpaque, module: &Module) -> Result<()> {
    if !store.has_limiter() {
        return Ok(());
    }
    let plan = module.plan();
    let memories = plan.memories.iter().filter_map(|plan| match *plan {
        MemoryPlan::Imported => None,
        MemoryPlan::AtCtx { min, max } | MemoryPlan::Separate { min, max, .. } => Some((min, max)),
    });
    let tables = plan.tables.iter().filter_map(|plan| match *plan {
        TablePlan::Defined { min, max, .. } => Some((min, max)),
        TablePlan::Imported | TablePlan::Closed => None,
    });
    store.check_counts(1, memories.clone().count(), tables.clone().count())?;
    for (min, max) in memories {
        store.new_memory_may_have(min, max)?;
    }
    for (min, max) in tables {
        store.new_table_may_have(min, max)?;
    }
    Ok(())
}

/// Puts an instance into the store, with all its memory and its imports. If it fails, what it has put into the
/// store is left there for the caller.
fn allocate(
    store: &mut StoreOpaque,
    module: &Module,
    items: &[Item],
) -> Result<(u32, InstanceCtx)> {
    let plan = module.plan();
    // From here on nothing is allocated but memories and tables.
    store.reserve(plan.memories.len(), plan.tables.len())?;
    let slot = module.take_slot(store.key)?;
    let ctx = slot.ctx();
    let index = store.instances.len() as u32;
    store.instances.push(InstanceData {
        ctx,
        module: module.clone(),
        slot: Some(slot),
        written: Written::Anything,
        memories_start: store.memory_indices.len() as u32,
        tables_start: store.table_indices.len() as u32,
    });
    fill_header(store, module, ctx, index);
    for (import, item) in items.iter().enumerate() {
        fill_import(store, module, ctx, import, item);
    }
    fill_tables(store, module, ctx)?;
    fill_memories(store, module, ctx)?;
    Ok((index, ctx))
}

fn fill_header(store: &StoreOpaque, module: &Module, ctx: InstanceCtx, index: u32) {
    let header = ctx.header();
    let mut record = header.read();
    record.instance = index.into();
    record.builtins = builtins::table_address();
    record.memory0 =
        VmMemoryDefinition { base: ctx.address(), length_bytes: module.plan().slot.memory_bytes };
    record.prefix = VmCalleePrefix { code_base: module.code_base(), store: store.vm_address() };
    header.write(record);
}

fn fill_import(
    store: &mut StoreOpaque,
    module: &Module,
    ctx: InstanceCtx,
    import: usize,
    item: &Item,
) {
    let ImportPlan { slot, exit, .. } = module.plan().imports[import];
    match item {
        Item::Host(func) => {
            let host = func.record(ctx.address());
            fill_host_func(store, module, ctx.at(slot), exit, host);
        }
        Item::Extern(Extern::Func(Func { raw, .. })) if raw.code == 0 => {
            let host = VmHostFunc { caller: ctx.address(), ..host_record(raw) };
            fill_host_func(store, module, ctx.at(slot), exit, host);
        }
        Item::Extern(Extern::Func(Func { raw, .. })) => {
            let (code, ctx_of_code) = (raw.code, raw.ctx);
            let record = VmFunctionImport { code, ctx: ctx_of_code, ..VmFunctionImport::default() };
            ctx.at(slot).write(record);
        }
        Item::Extern(Extern::Table(table)) => {
            ctx.at(slot).write(store.table(table.index).definition.address());
            store.table_indices.push(table.index);
        }
        Item::Extern(Extern::Memory(memory)) => {
            ctx.at(slot).write(store.memory(memory.index).definition.address());
            store.memory_indices.push(memory.index);
        }
        Item::Extern(Extern::Global(global)) => ctx.at(slot).write(global.slot.address()),
    }
}

/// Fills the record of an imported host function: its context is part of it.
fn fill_host_func(
    store: &StoreOpaque,
    module: &Module,
    import: VmPtr<VmFunctionImport>,
    exit: i32,
    host: VmHostFunc,
) {
    let code = module.code_address(exit).expect("imported function types have exit trampolines");
    import.write(VmFunctionImport {
        code,
        ctx: import.address() + core::mem::offset_of!(VmFunctionImport, host) as u64,
        prefix: VmCalleePrefix { code_base: code, store: store.vm_address() },
        host,
    });
}

fn fill_tables(store: &mut StoreOpaque, module: &Module, ctx: InstanceCtx) -> Result<()> {
    for plan in &module.plan().tables {
        let index = match *plan {
            TablePlan::Imported => continue,
            TablePlan::Closed => NO_TABLE,
            TablePlan::Defined { definition, elements, element, min, max } => {
                let definition = ctx.at::<VmTableDefinition>(definition);
                definition.write(table_definition(ctx, elements, element, min));
                let growth_max = module.table_elements_max();
                let mut data =
                    TableData { definition, element, max, growth_max, storage: Vec::new() };
                if elements == 0 && data.grow(0, min).is_none() {
                    return Err(LoadError::OutOfMemory { action: ALLOCATE_TABLE }.into());
                }
                store.push_table(data).index
            }
        };
        store.table_indices.push(index);
    }
    Ok(())
}

/// What fails when a table cannot be allocated.
const ALLOCATE_TABLE: &str = "allocate the elements of a table";

/// What a table is at first; if its elements are not below the context, it has none yet.
fn table_definition(
    ctx: InstanceCtx,
    elements: i32,
    element: RefType,
    min: u64,
) -> VmTableDefinition {
    let anchor = match element {
        RefType::FUNCREF => ctx.null_func_ref(),
        RefType::EXTERNREF => 0,
    };
    match elements {
        0 => VmTableDefinition { base: 0, length: 0, anchor },
        offset => {
            let base = ctx.address().wrapping_add_signed(offset.into());
            VmTableDefinition { base, length: min, anchor }
        }
    }
}

fn fill_memories(store: &mut StoreOpaque, module: &Module, ctx: InstanceCtx) -> Result<()> {
    let SlotPlan { guard_bytes, bounds, .. } = module.plan().slot;
    for plan in &module.plan().memories {
        let index = match *plan {
            MemoryPlan::Imported => continue,
            MemoryPlan::AtCtx { min: _, max } => {
                let definition = ctx.at(aotc_abi::vmctx::ctx::MEMORY0);
                let addresses = MemoryAddresses::Slot { guard_bytes };
                let growth_pages_max = module.memory_pages_max();
                let data = MemoryData { definition, max_pages: max, growth_pages_max, addresses };
                store.push_memory(data).index
            }
            MemoryPlan::Separate { definition, min, max } => {
                let guard_bytes = match bounds {
                    BoundsStyle::Guard => Some(guard_bytes.max(crate::memory::GUARD_BYTES)),
                    BoundsStyle::Explicit => None,
                };
                let addresses = MemoryAddresses::new(&store.engine, min, max, guard_bytes)?;
                let memory = store.new_memory(ctx.at(definition), min, max, addresses);
                store.memory_mut(memory.index).growth_pages_max = module.memory_pages_max();
                memory.index
            }
        };
        store.memory_indices.push(index);
    }
    Ok(())
}

/// Runs the start-up routine, which is compiled code: what could not be put into the image, then the start function.
fn start(store: &mut StoreOpaque, module: &Module, ctx: InstanceCtx) -> Result<()> {
    let fixed = &module.data().header().fixed;
    let (Some(code), Some(entry)) =
        (module.code_address(fixed.start_up), module.code_address(fixed.start_up_entry))
    else {
        return Ok(());
    };
    call::call(store, Callee { ctx: ctx.address(), code, entry }, &mut [])
}

impl StoreOpaque {
    /// The export of an instance that `export` leads to; `None` if it is of another module.
    pub(crate) fn module_export(&self, instance: u32, export: &ModuleExport) -> Option<Extern> {
        let module = &self.instances[instance as usize].module;
        (module.id() == export.module).then(|| self.item(instance, export.kind, export.index))
    }

    /// An item of an instance's index spaces.
    ///
    /// # Panics
    /// If it is a table that exists as read-only data only; those are not exported.
    pub(crate) fn item(&self, instance: u32, kind: ExternKind, index: u32) -> Extern {
        let data = &self.instances[instance as usize];
        if kind != ExternKind::Func {
            self.reached.store(true, Ordering::Relaxed);
        }
        match kind {
            ExternKind::Func => self.instance_func(data, index).into(),
            ExternKind::Table => {
                let index = self.table_index(instance, index);
                Table { store: self.id, index }.into()
            }
            ExternKind::Memory => {
                let index = self.memory_index(instance, index);
                Memory { store: self.id, index }.into()
            }
            ExternKind::Global => self.instance_global(data, index).into(),
        }
    }

    /// Place of an instance's table in the store.
    pub(crate) fn table_index(&self, instance: u32, table: u32) -> u32 {
        let start = self.instances[instance as usize].tables_start;
        let index = self.table_indices[(start + table) as usize];
        assert!(index != NO_TABLE, "closed table used at run time");
        index
    }

    /// Place of an instance's memory in the store.
    pub(crate) fn memory_index(&self, instance: u32, memory: u32) -> u32 {
        let start = self.instances[instance as usize].memories_start;
        self.memory_indices[(start + memory) as usize]
    }

    /// A function of an instance's index space.
    pub(crate) fn instance_func(&self, instance: &InstanceData, index: u32) -> Func {
        let module = &instance.module;
        let function = module.data().functions().at(index);
        let hash = module.func_type(index).hash();
        let func_ref = match function.func_ref {
            0 => 0,
            offset => instance.ctx.address().wrapping_add_signed(offset.into()),
        };
        let import = module.data().function_import(index);
        let raw = if import != 0 {
            let import = instance.ctx.at::<VmFunctionImport>(import).read();
            let code = if import.host.call == 0 { import.code } else { 0 };
            RawFunc { ctx: import.ctx, code, hash, func_ref }
        } else {
            let code = module.code_address(module.data().function_code(index)).unwrap_or(0);
            assert!(code != 0, "function {index} was exported without code");
            RawFunc { ctx: instance.ctx.address(), code, hash, func_ref }
        };
        Func { store: self.id, raw }
    }

    pub(crate) fn instance_global(&self, instance: &InstanceData, index: u32) -> Global {
        let global = instance.module.data().globals().at(index);
        let ty = GlobalType::from_meta(&global);
        let slot = instance.ctx.at::<u64>(global.slot);
        let imported = global.flags & aotc_abi::meta::flags::IMPORTED != 0;
        let slot = if imported { VmPtr::stored_at(slot) } else { slot };
        Global { store: self.id, slot, content: *ty.content(), mutability: ty.mutability() }
    }
}
