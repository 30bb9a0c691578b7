//! Modules: artifacts that were checked and whose code is mapped.
//!
//! ```text
//!   open       file ── image::parse ── map readable ── map code executable ─┐
//!   from_bytes sealed memory file ── as open                                ├─ ModuleData::parse ── host checks ── Module
//!   dlopen     the OS's linker; image::parse of the file for the name       │
//!   from_linked a descriptor in this program                                ┘
//! ```
//!
//! # Safety
//!
//! `ModuleInner::data` refers to bytes that [`Source`] keeps, for as long as the module lives. They are
//! mapped private and read-only; that nobody changes the file meanwhile is the caller's promise, as with any shared
//! library. Code runs only after every check.
#![allow(unsafe_code, reason = "artifacts as memory")]

#[cfg(feature = "std")]
mod artifact;
#[cfg(feature = "std")]
mod file;
pub(crate) mod host;
#[cfg(feature = "std")]
mod image;
mod info;
#[cfg(feature = "dlopen")]
mod library;
mod order;
mod plan;
#[cfg(feature = "std")]
pub(crate) mod registry;

use core::fmt;
use core::ops::Range;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use aotc_abi::meta::{
    CodeOrder, CodeRange, ExternKind, Header, LINKED_CODE, MetaError, ModuleData, flags,
};
#[cfg(feature = "std")]
use aotc_abi::target::TrapStyle;

#[cfg(feature = "std")]
pub use artifact::Precompiled;
pub use info::{ModuleExport, ModuleFunction, ResourcesRequired};
use order::sorted;
pub(crate) use plan::{ImportPlan, MemoryPlan, Plan, SlotPlan, TablePlan};

#[cfg(feature = "std")]
use file::Image;

use crate::engine::Engine;
use crate::error::LoadError;
use crate::handle::Handle;
#[cfg(feature = "std")]
use crate::image::InstanceImage;
#[cfg(feature = "std")]
use crate::instance::{Keep, Pool};
use crate::instance::{Recycled, Slot, Written};
#[cfg(feature = "std")]
use crate::locals::Locals;
#[cfg(feature = "std")]
use crate::memory::PAGE_BYTES;
use crate::prelude::*;
use crate::reserve::collect;
use crate::sync::OnceLock;
use crate::sys::keys::Key;
use crate::types::{
    ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType,
};
use crate::vmctx::InstanceCtx;

/// A compiled module, ready to be instantiated. Cloning gives another handle of the same module.
///
/// ```
/// use aotc_loader::{Engine, Module};
///
/// # fn main() -> anyhow::Result<()> {
/// # let text = br#"(module $shapes (import "host" "log" (func (param i32))) (memory (export "memory") 2 4))"#;
/// # let options = aotc::Options { name: Some("shapes".to_owned()), ..aotc::Options::default() };
/// # let image = aotc::compile(text, aotc::Emit::Image, &options)?;
/// // What `aotc compile --emit image` makes, from a file with `Module::open`, or from memory:
/// let module = Module::from_bytes(&Engine::default(), &image)?;
/// assert_eq!(module.name(), Some("shapes"));
/// for import in module.imports() {
///     assert_eq!((import.module(), import.name()), ("host", "log"));
///     assert_eq!(import.ty().to_string(), "(func (param i32))");
/// }
/// for export in module.exports() {
///     assert_eq!(export.name(), "memory");
///     assert_eq!(export.ty().unwrap_memory().maximum(), Some(4));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Module {
    inner: Handle<ModuleInner>,
}

pub(crate) struct ModuleInner {
    /// Its number in this process, never used again.
    id: u64,
    engine: Engine,
    /// Of each thread that makes instances, the handle of the engine by which its stores are counted.
    #[cfg(feature = "std")]
    local_engines: Locals<OnceLock<Engine>>,
    data: ModuleData<'static>,
    /// What code offsets count from: where the module data is, or would be if it were in memory as in the artifact.
    code_base: u64,
    /// Where code may lie: of a linked module as far as code offsets lead, since the linker put its pieces anywhere.
    text: Range<u64>,
    order: CodeOrder,
    /// The pieces of code by address, if a linker may have moved them: made when it is first asked where something
    /// is, which only traps and backtraces do.
    sorted: OnceLock<Box<[u32]>>,
    /// The module's function types, by index.
    types: Box<[FuncType]>,
    plan: Plan,
    /// The file that instances map their image from.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "there are no files"))]
    image: OnceLock<Image>,
    /// Slots of dropped instances, reset.
    recycled: Recycled,
    /// The image that the embedder made, or left to the engine; dropped behind the slots that map it.
    #[cfg(feature = "std")]
    created_image: OnceLock<Option<Box<dyn InstanceImage>>>,
    #[allow(dead_code, reason = "released when dropped")]
    source: Source,
}

// What the embedder supplies is shared between threads, so it is used to meeting itself half done.
impl UnwindSafe for ModuleInner {}
impl RefUnwindSafe for ModuleInner {}

/// What keeps the module's bytes and code.
#[allow(dead_code, reason = "released when dropped")]
enum Source {
    /// A mapping of ours.
    #[cfg(feature = "std")]
    Mapped(crate::sys::FileMapping),
    /// A mapping of the code; the rest was read.
    #[cfg(feature = "std")]
    Read(Vec<u8>, crate::sys::FileMapping),
    /// The OS's linker.
    #[cfg(feature = "dlopen")]
    Library(libloading::Library),
    /// The program.
    Linked,
}

/// An instance image in a file: there are no files.
#[cfg(not(feature = "std"))]
enum Image {}

#[cfg(not(feature = "std"))]
impl Image {
    fn inside(self, _: &ModuleData<'_>) -> Option<Self> {
        match self {}
    }
}

/// Bytes and code that were found somewhere, not checked yet.
struct Found {
    source: Source,
    /// Starts with the module data.
    bytes: &'static [u8],
    /// [`ModuleInner::code_base`].
    base: u64,
    text: Range<u64>,
    order: CodeOrder,
    image: Option<Image>,
}

impl Module {
    /// Takes a module that is linked into the program: `descriptor` is the address of its
    /// `aotc_module_<name>` symbol.
    ///
    /// # Errors
    /// [`LoadError`].
    ///
    /// # Safety
    /// `descriptor` is the symbol of an object that `aotc` compiled, linked as it is, and its library, if it
    /// is in one, is not unloaded before the module and what was made from it.
    pub unsafe fn from_linked(engine: &Engine, descriptor: *const u8) -> Result<Module> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { linked_data(descriptor) }?;
        let base = bytes.as_ptr() as u64;
        let text = base.saturating_add_signed(LINKED_CODE.start)
            ..base.saturating_add_signed(LINKED_CODE.end);
        let order = CodeOrder::Linked;
        Self::check(engine, Found { source: Source::Linked, bytes, base, text, order, image: None })
    }

    fn check(engine: &Engine, found: Found) -> Result<Module> {
        let Found { source, bytes, base, text, order, image } = found;
        let header = ModuleData::parse_header(bytes).map_err(LoadError::from)?;
        host::check(&header, engine, order)?;
        let code = text.start.wrapping_sub(base) as i64..text.end.wrapping_sub(base) as i64;
        let data = match order {
            CodeOrder::Sorted => ModuleData::parse(bytes, code, order),
            CodeOrder::Linked => ModuleData::parse_linked(bytes),
        };
        let data = data.map_err(LoadError::from)?;
        let types = collect(data.types().iter().map(|ty| FuncType::from_meta(&data, &ty)))?;
        for ty in &types {
            engine.types().add(ty)?;
        }
        let plan = Plan::new(&data, &types)?;
        check_reachable(&data, &plan).map_err(LoadError::from)?;
        crate::bound::check(&data, &types, base)?;
        #[cfg(feature = "std")]
        if let Some(pool) = engine.pool() {
            pool.check(&plan)?;
        }
        #[cfg(feature = "std")]
        if data.trap_style() == TrapStyle::Signals {
            crate::sys::install_handlers();
        }
        let image = image.and_then(|image| image.inside(&data));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let inner = Handle::new(ModuleInner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            engine: engine.clone(),
            #[cfg(feature = "std")]
            local_engines: Locals::default(),
            plan,
            data,
            code_base: base,
            text,
            order,
            sorted: OnceLock::new(),
            types,
            image: image.map_or_else(OnceLock::new, OnceLock::from),
            recycled: Recycled::default(),
            #[cfg(feature = "std")]
            created_image: OnceLock::new(),
            source,
        });
        #[cfg(feature = "std")]
        registry::register(inner.as_ptr());
        Ok(Module { inner })
    }

    /// The module's name.
    pub fn name(&self) -> Option<&str> {
        let name = self.inner.data.str(self.inner.data.header().fixed.name);
        (!name.is_empty()).then_some(name)
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        let data = &self.inner.data;
        data.imports().iter().zip(&self.inner.plan.imports).map(|(import, plan)| ImportType {
            module: data.str(import.module),
            name: data.str(import.name),
            ty: plan.ty.clone(),
        })
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        let data = &self.inner.data;
        data.exports().iter().map(|export| ExportType {
            name: data.str(export.name),
            ty: self.item_type(export.kind, export.index),
        })
    }

    /// Whether both are handles of one module.
    pub fn same(a: &Module, b: &Module) -> bool {
        Handle::same(&a.inner, &b.inner)
    }

    fn item_type(&self, kind: u32, index: u32) -> ExternType {
        item_type(&self.inner.data, &self.inner.types, kind, index)
    }

    // For the loader.

    pub(crate) fn data(&self) -> &ModuleData<'static> {
        &self.inner.data
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// Address of the module data.
    pub(crate) fn code_base(&self) -> u64 {
        self.inner.code_base()
    }

    /// This module, by a handle that is counted apart from this one.
    #[cfg(feature = "std")]
    pub(crate) fn apart(&self) -> Self {
        Self { inner: self.inner.apart() }
    }

    /// Keeps a handle of the engine that a store on this thread has, so that the next store has the same
    /// ([`Engine::local`]).
    #[cfg(feature = "std")]
    pub(crate) fn keep_engine(&self, engine: &Engine) {
        let place = self.inner.local_engines.mine();
        if place.get().is_none() {
            let _ = place.set(engine.clone());
        }
    }

    /// Its number in this process.
    pub(crate) fn id(&self) -> u64 {
        self.inner.id
    }

    pub(crate) fn func_type(&self, func: u32) -> &FuncType {
        &self.inner.types[self.inner.data.functions().at(func).ty as usize]
    }

    /// Address of the entry trampoline for a type.
    pub(crate) fn entry_trampoline(&self, hash: u64) -> Option<u64> {
        let trampolines = self.inner.plan.trampolines(hash)?;
        self.code_address(trampolines.entry)
    }

    /// Address of the direct entry trampoline for a type.
    pub(crate) fn direct_entry(&self, hash: u64) -> Option<u64> {
        let trampolines = self.inner.plan.trampolines(hash)?;
        self.code_address(trampolines.direct)
    }

    /// Address of the exit trampoline for a type.
    pub(crate) fn exit_trampoline(&self, hash: u64) -> Option<u64> {
        let trampolines = self.inner.plan.trampolines(hash)?;
        self.code_address(trampolines.exit)
    }

    /// The address that a code offset leads to; `None` for 0.
    pub(crate) fn code_address(&self, offset: i32) -> Option<u64> {
        (offset != 0).then(|| self.code_base().wrapping_add_signed(offset.into()))
    }

    /// The piece of code at `pc`, and the offset in it.
    pub(crate) fn find_code(&self, pc: u64) -> Option<(CodeRange, u32)> {
        self.inner.sort_code();
        self.inner.find_code(pc)
    }

    /// A slot for a new instance, in a store with this protection key: one that was used before, or a new one.
    pub(crate) fn take_slot(&self, key: Option<Key>) -> Result<Slot> {
        #[cfg(feature = "std")]
        if let Some(pool) = self.inner.engine.pool() {
            return pool.take(self, key);
        }
        let _ = key;
        match self.inner.recycled.take() {
            Some(slot) => Ok(slot),
            None => Slot::new(self),
        }
    }

    /// What the module's slots keep when they are reset.
    #[cfg(feature = "std")]
    pub(crate) fn keep(&self) -> Keep {
        self.inner.engine.pool().map_or(Keep::ON_DEMAND, Pool::keep)
    }

    /// Most pages to which the memories of its instances are grown.
    pub(crate) fn memory_pages_max(&self) -> u64 {
        #[cfg(feature = "std")]
        if let Some(pool) = self.inner.engine.pool() {
            return pool.config().max_memory_bytes as u64 / PAGE_BYTES;
        }
        u64::MAX
    }

    /// Most elements to which the tables of its instances are grown.
    pub(crate) fn table_elements_max(&self) -> u64 {
        #[cfg(feature = "std")]
        if let Some(pool) = self.inner.engine.pool() {
            return pool.config().table_elements as u64;
        }
        u64::MAX
    }

    /// What the module is known by among those that exist.
    #[cfg(feature = "std")]
    pub(crate) fn identity(&self) -> u64 {
        self.inner.identity()
    }

    /// Takes back a slot, and keeps it if there is room.
    pub(crate) fn give_back(&self, slot: Slot, ctx: InstanceCtx, written: Written) {
        if slot.reset(self, ctx, written).is_err() {
            return self.discard(slot);
        }
        #[cfg(feature = "std")]
        if let Some(pool) = self.inner.engine.pool() {
            return pool.give_back(slot, self);
        }
        self.inner.recycled.give_back(slot);
    }

    /// Takes back a slot of which nothing shall be kept.
    pub(crate) fn discard(&self, slot: Slot) {
        #[cfg(feature = "std")]
        if let Some(pool) = self.inner.engine.pool() {
            return pool.give_back_dirty(slot, self);
        }
        drop(slot);
    }
}

impl ModuleInner {
    #[cfg(feature = "std")]
    fn identity(&self) -> u64 {
        &raw const *self as u64
    }

    pub(crate) fn code_base(&self) -> u64 {
        self.code_base
    }

    /// From code offsets to places in [`Self::exact_text`].
    fn text_offsets(&self) -> impl Fn(i32) -> usize {
        let (base, start) = (self.code_base(), self.exact_text().start);
        move |code| (base.wrapping_add_signed(code.into()) - start) as usize
    }

    /// Where code lies: from the first piece of it to the end of the last.
    fn exact_text(&self) -> Range<u64> {
        match self.order {
            CodeOrder::Sorted => self.text.clone(),
            CodeOrder::Linked => {
                let start =
                    |range: &CodeRange| self.code_base().wrapping_add_signed(range.code.into());
                let places = || self.data.code_ranges().iter().filter(|range| range.bytes > 0);
                let first = places().map(|range| start(&range)).min().unwrap_or_default();
                let end = places().map(|range| start(&range) + u64::from(range.bytes)).max();
                first..end.unwrap_or_default()
            }
        }
    }

    /// The pieces of code by address.
    fn code_in_order(&self) -> impl Iterator<Item = CodeRange> + '_ {
        self.sort_code();
        let ranges = self.data.code_ranges();
        let sorted = self.sorted.get();
        let nth = move |index: u32| sorted.map_or(index, |sorted| sorted[index as usize]);
        (0..ranges.len() as u32).map(move |index| ranges.at(nth(index)))
    }

    /// Sorts the pieces of code by address, unless they are.
    fn sort_code(&self) {
        let ranges = self.data.code_ranges();
        match self.order {
            CodeOrder::Sorted => {}
            CodeOrder::Linked => {
                self.sorted.get_or_init(|| {
                    // Of pieces that were merged into one place, the longest is found.
                    let keys = ranges.iter().map(|range| {
                        let place = (i64::from(range.code) - i64::from(i32::MIN)) as u64;
                        place << 32 | u64::from(range.bytes)
                    });
                    sorted(keys.zip(0..).collect()).collect()
                });
            }
        }
    }

    /// The piece of code at `pc`, and the offset in it. Allocates nothing, so that the signal handler can ask; it may
    /// have to look at all pieces as long as nobody sorted them.
    pub(crate) fn find_code(&self, pc: u64) -> Option<(CodeRange, u32)> {
        if !self.text.contains(&pc) {
            return None;
        }
        let place = i32::try_from(pc.wrapping_sub(self.code_base()) as i64).ok()?;
        let hit = |range: CodeRange| {
            let offset = i64::from(place) - i64::from(range.code);
            (offset >= 0 && offset < i64::from(range.bytes)).then_some((range, offset as u32))
        };
        let ranges = self.data.code_ranges();
        let sorted = self.sorted.get();
        if self.order == CodeOrder::Linked && sorted.is_none() {
            return ranges.iter().find_map(hit);
        }
        let nth = |index: u32| ranges.at(sorted.map_or(index, |sorted| sorted[index as usize]));
        let (mut low, mut high) = (0, ranges.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if nth(middle).code <= place {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Functions without code are where another piece of code is.
        (0..low).rev().map(nth).find(|range| range.bytes > 0).and_then(hit)
    }
}

#[cfg(feature = "std")]
impl Drop for ModuleInner {
    fn drop(&mut self) {
        registry::unregister(self);
        #[cfg(feature = "std")]
        if let Some(pool) = self.engine.pool() {
            pool.forget(self.identity());
        }
    }
}

/// Checks that whatever others can reach has what is needed to reach it.
fn check_reachable(data: &ModuleData<'_>, plan: &Plan) -> Result<(), MetaError> {
    let fail = |what, at: u32| Err(MetaError::Malformed { what, offset: at.into() });
    let imported = data.imports().iter().filter(|import| import.kind == ExternKind::Func as u32);
    for ty in imported.map(|import| data.functions().at(import.index).ty) {
        let hash = data.types().at(ty).hash;
        if plan.trampolines(hash).is_none_or(|trampolines| trampolines.exit == 0) {
            return fail("imported function without exit trampoline", ty);
        }
    }
    for export in data.exports().iter() {
        match ExternKind::from_u32(export.kind).expect("checked kind") {
            ExternKind::Func => {
                let is_import = data.function_import(export.index) != 0;
                if !is_import && data.function_code(export.index) == 0 {
                    return fail("exported function without code", export.index);
                }
            }
            ExternKind::Table if data.tables().at(export.index).flags & flags::CLOSED != 0 => {
                return fail("exported table that is closed", export.index);
            }
            ExternKind::Table | ExternKind::Memory | ExternKind::Global => {}
        }
    }
    Ok(())
}

/// The type of an item of a module's index spaces.
fn item_type(data: &ModuleData<'_>, types: &[FuncType], kind: u32, index: u32) -> ExternType {
    match ExternKind::from_u32(kind).expect("checked kind") {
        ExternKind::Func => types[data.functions().at(index).ty as usize].clone().into(),
        ExternKind::Table => TableType::from_meta(&data.tables().at(index)).into(),
        ExternKind::Memory => MemoryType::from_meta(&data.memories().at(index)).into(),
        ExternKind::Global => GlobalType::from_meta(&data.globals().at(index)).into(),
    }
}

/// The bytes of the module data at `descriptor`.
///
/// # Safety
/// It is the address of module data that stays as long as the program needs it.
unsafe fn linked_data(descriptor: *const u8) -> Result<&'static [u8]> {
    // SAFETY: the caller's promise: at least a header.
    let head = unsafe { core::slice::from_raw_parts(descriptor, Header::BYTES) };
    match ModuleData::parse_header(head) {
        Ok(_) | Err(MetaError::Truncated { .. }) => {}
        Err(error) => return Err(LoadError::from(error).into()),
    }
    let bytes = Header::decode(head).fixed.blob_bytes;
    // SAFETY: the caller's promise; magic, version and layout were compared, so this is the size.
    Ok(unsafe { core::slice::from_raw_parts(descriptor, bytes as usize) })
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}
