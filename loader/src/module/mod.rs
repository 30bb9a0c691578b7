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
//! [`ModuleInner::data`] refers to bytes that [`Source`] keeps, for as long as the module lives. They are
//! mapped private and read-only; that nobody changes the file meanwhile is the caller's promise, as with any shared
//! library. Code runs only after every check.
#![allow(unsafe_code, reason = "artifacts as memory")]

mod host;
mod image;
mod plan;
pub(crate) mod registry;

use crate::prelude::*;
use crate::sync::{Mutex, OnceLock};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aotc_abi::meta::{
    CodeOrder, CodeRange, ExternKind, Header, MetaError, ModuleData, Record, Section, flags,
};
use aotc_abi::symbol::descriptor_symbol;
use aotc_abi::target::TrapStyle;

pub(crate) use plan::{MemoryPlan, Plan, SlotPlan, TablePlan};

use crate::engine::Engine;
use crate::error::LoadError;
use crate::instance::Slot;
use crate::sys::{self, FileMapping};
use crate::types::{
    ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, TableType,
};
use crate::vmctx::InstanceCtx;

/// A compiled module, ready to be instantiated. Cloning gives another handle of the same module.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

pub(crate) struct ModuleInner {
    engine: Engine,
    data: ModuleData<'static>,
    /// Where code may lie.
    text: Range<u64>,
    order: CodeOrder,
    /// The pieces of code by address, if a linker may have moved them: made when it is first asked where something
    /// is, which only traps and backtraces do.
    sorted: OnceLock<Box<[u32]>>,
    /// The module's function types, by index.
    types: Box<[FuncType]>,
    plan: Plan,
    /// The file that instances map their image from.
    image: OnceLock<Image>,
    /// Slots of dropped instances, reset.
    free: Mutex<Vec<Slot>>,
    #[allow(dead_code, reason = "released when dropped")]
    source: Source,
}

/// What keeps the module's bytes and code.
#[allow(dead_code, reason = "released when dropped")]
enum Source {
    /// A mapping of ours.
    Mapped(FileMapping),
    /// The OS's linker.
    Library(libloading::Library),
    /// The program.
    Linked,
}

/// An instance image in a file.
pub(crate) struct Image {
    file: OwnedFd,
    offset: u64,
}

/// Bytes and code that were found somewhere, not checked yet.
struct Found {
    source: Source,
    /// Starts with the module data.
    bytes: &'static [u8],
    text: Range<u64>,
    order: CodeOrder,
    image: Option<Image>,
}

/// Most slots that a module keeps for instances to come.
const FREE_SLOTS_MAX: usize = 100;

impl Module {
    /// Maps the image at `path`. Nobody may change the file as long as the module lives.
    ///
    /// # Errors
    /// [`LoadError`], with the path as context.
    pub fn open(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let open = || {
            let (file, bytes) = sys::open(path).map_err(LoadError::os("open the file"))?;
            Self::map(engine, file, bytes)
        };
        open().with_context(|| format!("failed to load module from `{}`", path.display()))
    }

    /// Maps an image that is in memory, through a copy in a sealed file.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        // Before anything is copied.
        image::parse(&bytes)?;
        let file =
            sys::sealed_memory_file(bytes).map_err(LoadError::os("make a file in memory"))?;
        Self::map(engine, file, bytes.len() as u64)
    }

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
        let text = linked_text(bytes)?;
        let order = CodeOrder::Linked;
        Self::check(engine, Found { source: Source::Linked, bytes, text, order, image: None })
    }

    /// Opens the image at `path` as a shared library.
    ///
    /// # Errors
    /// [`LoadError`], or the OS linker's error, with the path as context.
    ///
    /// # Safety
    /// The OS's linker runs what a library wants to be run, so the file must be trusted. Nobody
    /// changes it as long as the module lives.
    pub unsafe fn dlopen(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let open = || {
            let (file, bytes) = sys::open(path).map_err(LoadError::os("open the file"))?;
            let mapping = FileMapping::new(file.as_fd(), bytes)?;
            // SAFETY: used before the mapping is dropped; nobody changes the file.
            let contents = unsafe { mapping.contents() };
            let layout = image::parse(&contents)?;
            let code = layout.text.start as i64 - layout.data.start as i64
                ..layout.text.end as i64 - layout.data.start as i64;
            let order = CodeOrder::Sorted;
            let data = ModuleData::parse(&contents[layout.data_range()], code, order)
                .map_err(LoadError::from)?;
            let symbol = descriptor_symbol(data.str(data.header().fixed.name));
            // A bare file name would be searched for in the library path.
            let absolute = std::fs::canonicalize(path).map_err(LoadError::os("find the file"))?;
            // SAFETY: the caller's promise; the symbol's value is only used as an address.
            let (library, descriptor) = unsafe {
                let library = libloading::Library::new(absolute)?;
                let descriptor = library.get::<*const u8>(symbol.as_bytes())?.try_as_raw_ptr();
                (library, descriptor)
            };
            let descriptor = descriptor.ok_or_else(|| anyhow!("symbol `{symbol}` is null"))?;
            // SAFETY: the symbol that this file defines.
            let bytes = unsafe { linked_data(descriptor.cast()) }?;
            let base = (descriptor as u64).wrapping_sub(layout.data.start);
            let text = base + layout.text.start..base + layout.text.end;
            let source = Source::Library(library);
            Self::check(engine, Found { source, bytes, text, order, image: None })
        };
        open().with_context(|| format!("failed to load module from `{}`", path.display()))
    }

    fn map(engine: &Engine, file: OwnedFd, bytes: u64) -> Result<Module> {
        if bytes == 0 {
            return Err(LoadError::image("the file is empty").into());
        }
        // What is looked at is read, so that code is mapped over pages that were not touched, and nothing needs to be
        // mapped behind it. A small module is read as a whole: the kernel copies it faster than it serves the page
        // faults of looking at the mapping.
        let input = FileInput::new(file.as_fd(), bytes)?;
        let layout = image::parse(&input)?;
        let head = input.head;
        let mapping = map_layout(file.as_fd(), &layout)?;
        // SAFETY: the module keeps the mapping as long as the contents; nobody changes the file.
        let contents: &'static [u8] = unsafe { mapping.contents() };
        let data = &contents[layout.data_range()];
        let text = mapping.base() + layout.text.start..mapping.base() + layout.text.end;
        let image = Some(Image { file, offset: layout.data.start });
        let order = CodeOrder::Sorted;
        let source = Source::Mapped(mapping);
        let copy = head.get(layout.data_range());
        Self::check_copy(engine, Found { source, bytes: data, text, order, image }, copy)
    }

    fn check(engine: &Engine, found: Found) -> Result<Module> {
        Self::check_copy(engine, found, None)
    }

    /// Checks what was found, looking at a copy of its module data if there is one.
    fn check_copy(engine: &Engine, found: Found, copy: Option<&[u8]>) -> Result<Module> {
        let Found { source, bytes, text, order, image } = found;
        let looked_at = copy.unwrap_or(bytes);
        let header = ModuleData::parse_header(looked_at).map_err(LoadError::from)?;
        host::check(&header)?;
        let base = bytes.as_ptr() as u64;
        let code = text.start.wrapping_sub(base) as i64..text.end.wrapping_sub(base) as i64;
        let data = ModuleData::parse(looked_at, code, order).map_err(LoadError::from)?;
        let types: Box<[FuncType]> =
            data.types().iter().map(|ty| FuncType::from_meta(&data, &ty)).collect();
        for ty in &types {
            engine.types().add(ty)?;
        }
        let plan = Plan::new(&data, &types);
        check_reachable(&data, &plan).map_err(LoadError::from)?;
        // Nobody changes the file, so the mapping has the same bytes.
        let data = data.moved_to(bytes);
        if data.trap_style() == TrapStyle::Signals {
            sys::install_handlers();
        }
        let image = image.and_then(|image| image.inside(&data));
        let inner = Arc::new(ModuleInner {
            engine: engine.clone(),
            plan,
            data,
            text,
            order,
            sorted: OnceLock::new(),
            types,
            image: image.map_or_else(OnceLock::new, OnceLock::from),
            free: Mutex::new(Vec::new()),
            source,
        });
        registry::register(&inner);
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

    /// The type of the export `name`.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let (_, export) = self.inner.data.export(name)?;
        Some(self.item_type(export.kind, export.index))
    }

    /// Whether both are handles of one module.
    pub fn same(a: &Module, b: &Module) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
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

    /// A slot for a new instance: one that was used before, or a new one.
    pub(crate) fn take_slot(&self) -> Result<Slot> {
        let free = self.inner.free.lock().expect("no panic with free slots").pop();
        match free {
            Some(slot) => Ok(slot),
            None => Slot::new(self),
        }
    }

    /// Takes back a slot, and keeps it if there is room.
    pub(crate) fn give_back(&self, slot: Slot, ctx: InstanceCtx) {
        if slot.reset(self, ctx).is_err() {
            return;
        }
        let mut free = self.inner.free.lock().expect("no panic with free slots");
        if free.len() < FREE_SLOTS_MAX {
            free.push(slot);
        }
    }

    /// The file to map an instance's image from, and the image's offset in it.
    pub(crate) fn image_file(&self) -> Result<(BorrowedFd<'_>, u64)> {
        let image = match self.inner.image.get() {
            Some(image) => image,
            None => {
                let file = sys::sealed_memory_file(self.inner.data.image())
                    .map_err(LoadError::os("make a file in memory"))?;
                self.inner.image.get_or_init(|| Image { file, offset: 0 })
            }
        };
        Ok((image.file.as_fd(), image.offset))
    }
}

/// Largest file that is read as a whole, in bytes.
const WHOLE_BYTES_MAX: u64 = 64 << 10;

/// A file to look into, of which only the first bytes were read.
struct FileInput<'a> {
    file: BorrowedFd<'a>,
    bytes: u64,
    /// The first bytes: all, if there are no more than [`WHOLE_BYTES_MAX`].
    head: Vec<u8>,
}

impl<'a> FileInput<'a> {
    fn new(file: BorrowedFd<'a>, bytes: u64) -> Result<Self> {
        let head_bytes = if bytes <= WHOLE_BYTES_MAX { bytes as usize } else { image::HEAD_BYTES };
        let mut head = vec![0; head_bytes];
        let read = sys::read_at(file, 0, &mut head).map_err(LoadError::os("read the file"))?;
        head.truncate(read);
        Ok(Self { file, bytes, head })
    }
}

impl image::Input for FileInput<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn head(&self) -> &[u8] {
        &self.head
    }

    fn read(&self, range: &Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.head.get(range.start as usize..range.end as usize) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        match sys::read_at(self.file, range.start, &mut bytes)? {
            all if all == bytes.len() => Ok(Cow::Owned(bytes)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Image {
    /// The instance image in a file that has the module data at `self.offset`; `None` if it is not on a
    /// page boundary of the host.
    fn inside(self, data: &ModuleData<'_>) -> Option<Self> {
        let offset = self.offset + data.header().fixed.image_offset;
        offset.is_multiple_of(sys::page_bytes()).then_some(Self { offset, ..self })
    }
}

impl ModuleInner {
    pub(crate) fn code_base(&self) -> u64 {
        self.data.bytes().as_ptr() as u64
    }

    pub(crate) fn text(&self) -> Range<u64> {
        self.text.clone()
    }

    pub(crate) fn data(&self) -> &ModuleData<'static> {
        &self.data
    }

    /// Sorts the pieces of code by address, unless they are.
    fn sort_code(&self) {
        let ranges = self.data.code_ranges();
        match self.order {
            CodeOrder::Sorted => {}
            CodeOrder::Linked => {
                self.sorted.get_or_init(|| {
                    let mut order: Vec<u32> = (0..ranges.len() as u32).collect();
                    // Of pieces that were merged into one place, the longest is found.
                    order.sort_by_key(|&index| {
                        let range = ranges.at(index);
                        (range.code, range.bytes)
                    });
                    order.into()
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
        low.checked_sub(1).and_then(|index| hit(nth(index)))
    }
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        registry::unregister(self);
    }
}

/// Maps a file up to the end of its data and code.
fn map_layout(file: BorrowedFd<'_>, layout: &image::Layout) -> Result<FileMapping> {
    // Two neighbours are made faster than one mapping is split.
    let data_is_before = (1..=layout.text.start).contains(&layout.data.end);
    if data_is_before
        && !layout.text.is_empty()
        && let Some(mapping) = FileMapping::before_code(file, layout.text.clone())?
    {
        return Ok(mapping);
    }
    let mapping = FileMapping::new(file, layout.data.end.max(layout.text.end))?;
    mapping.map_code(file, layout.text.start, layout.text.end - layout.text.start)?;
    Ok(mapping)
}

/// Checks that whatever others can reach has what is needed to reach it.
fn check_reachable(data: &ModuleData<'_>, plan: &Plan) -> Result<(), MetaError> {
    let fail = |what, at: u32| Err(MetaError::Malformed { what, offset: at.into() });
    for function in data.functions().iter().filter(|function| function.import != 0) {
        let hash = data.types().at(function.ty).hash;
        if plan.trampolines(hash).is_none_or(|trampolines| trampolines.exit == 0) {
            return fail("imported function without exit trampoline", function.ty);
        }
    }
    for export in data.exports().iter() {
        match ExternKind::from_u32(export.kind).expect("checked kind") {
            ExternKind::Func => {
                let function = data.functions().at(export.index);
                if function.import == 0 && function.code == 0 {
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

/// Where the linker put the code.
fn linked_text(bytes: &'static [u8]) -> Result<Range<u64>> {
    let base = bytes.as_ptr() as u64;
    // The rest of the data is checked when it is known where code may lie.
    let data = ModuleData::parse_header(bytes).map_err(LoadError::from)?;
    let section = data.header().sections[Section::CodeRanges as usize];
    let section_bytes = u64::from(section.count) * CodeRange::BYTES as u64;
    if u64::from(section.offset) + section_bytes > bytes.len() as u64 {
        let what = "section outside the module data";
        let error = MetaError::Malformed { what, offset: section.offset.into() };
        return Err(LoadError::from(error).into());
    }
    let (mut first, mut last) = (u64::MAX, 0);
    for range in data.code_ranges().iter() {
        let start = base.wrapping_add_signed(range.code.into());
        first = first.min(start);
        last = last.max(start + u64::from(range.bytes));
    }
    Ok(first.min(last)..last)
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name()).finish_non_exhaustive()
    }
}
