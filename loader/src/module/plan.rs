//! What instantiation needs of a module, taken out of the module data once.

use aotc_abi::meta::{self, ExternKind, ModuleData, flags};
use aotc_abi::target::BoundsStyle;
use aotc_abi::vmctx;

use super::item_type;
use super::order::sorted;
use crate::error::LoadError;
use crate::memory::{PAGE_BYTES, RESERVED_BYTES};
use crate::prelude::*;
use crate::reserve::collect;
use crate::types::{ExternType, FuncType, RefType, element_type};

/// A module's imports, and the records below its context that the loader fills.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) imports: Box<[ImportPlan]>,
    /// The table index space.
    pub(crate) tables: Box<[TablePlan]>,
    /// The memory index space.
    pub(crate) memories: Box<[MemoryPlan]>,
    pub(crate) slot: SlotPlan,
    /// By hash.
    trampolines: Box<[Trampolines]>,
}

/// An import.
#[derive(Debug)]
pub(crate) struct ImportPlan {
    pub(crate) ty: ExternType,
    /// Context offset of its record.
    pub(crate) slot: i32,
    /// Of a function: the exit trampoline for its type.
    pub(crate) exit: i32,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TablePlan {
    Imported,
    /// Read-only data that nobody else sees.
    Closed,
    Defined {
        definition: i32,
        /// Context offset of the first elements; 0 if the loader allocates them.
        elements: i32,
        element: RefType,
        min: u64,
        max: u64,
    },
}

/// A memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryPlan {
    Imported,
    /// Memory 0 at the context.
    AtCtx {
        min: u64,
        max: u64,
    },
    /// A memory with addresses of its own.
    Separate {
        definition: i32,
        min: u64,
        max: u64,
    },
}

/// Sizes of an instance's slot, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotPlan {
    /// Below the context.
    pub(crate) vmctx_bytes: u64,
    /// Where the image's pages of memory 0 lie, from its start.
    pub(crate) memory_start: u64,
    /// How much of memory 0 the image has.
    pub(crate) memory_image_bytes: u64,
    /// First length of memory 0; 0 without one of its own.
    pub(crate) memory_bytes: u64,
    /// All addresses.
    pub(crate) reserved_bytes: u64,
    /// What compiled code relies on behind a reserved memory.
    pub(crate) guard_bytes: u64,
    pub(crate) bounds: BoundsStyle,
    /// Number of memories that the module defines.
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "there are no pools"))]
    pub(crate) memories: u32,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "there are no pools"))]
    /// Number of tables that it defines, besides those that are read-only data.
    pub(crate) tables: u32,
}

/// The trampolines for a type, as code offsets; 0 for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trampolines {
    hash: u64,
    pub(crate) entry: i32,
    pub(crate) direct: i32,
    pub(crate) exit: i32,
}

impl Plan {
    /// # Errors
    /// [`LoadError::OutOfMemory`].
    pub(super) fn new(data: &ModuleData<'_>, types: &[FuncType]) -> Result<Self, LoadError> {
        let declared = data.types();
        let hashes = (0..declared.len() as u32).map(|index| (declared.at(index).hash, index));
        let trampolines = collect(sorted(collect(hashes)?).map(|index| {
            let ty = declared.at(index);
            Trampolines { hash: ty.hash, entry: ty.entry, direct: ty.direct, exit: ty.exit }
        }))?;
        let imports = data.imports().iter().map(|import| {
            let ty = item_type(data, types, import.kind, import.index);
            let trampolines = ty.func().and_then(|ty| find(&trampolines, ty.hash()));
            let exit = trampolines.map_or(0, |trampolines| trampolines.exit);
            ImportPlan { ty, slot: import_slot(data, &import), exit }
        });
        let imports = collect(imports)?;
        let memories = collect(data.memories().iter().map(MemoryPlan::new))?;
        let tables = collect(data.tables().iter().map(TablePlan::new))?;
        Ok(Self {
            imports,
            slot: SlotPlan::new(data, &memories, &tables),
            tables,
            memories,
            trampolines,
        })
    }

    /// The trampolines for the type with this hash.
    pub(crate) fn trampolines(&self, hash: u64) -> Option<Trampolines> {
        find(&self.trampolines, hash)
    }
}

/// Those for the type with this hash, among all in the order of their hashes.
fn find(all: &[Trampolines], hash: u64) -> Option<Trampolines> {
    let place = all.partition_point(|trampolines| trampolines.hash < hash);
    let same = all[place..].iter().take_while(|trampolines| trampolines.hash == hash);
    // A type may be declared more than once; its trampolines may hang on any of them.
    same.copied().reduce(|a, b| Trampolines {
        hash,
        entry: if a.entry != 0 { a.entry } else { b.entry },
        direct: if a.direct != 0 { a.direct } else { b.direct },
        exit: if a.exit != 0 { a.exit } else { b.exit },
    })
}

fn import_slot(data: &ModuleData<'_>, import: &meta::Import) -> i32 {
    match ExternKind::from_u32(import.kind).expect("checked import kind") {
        ExternKind::Func => data.function_import(import.index),
        ExternKind::Table => data.tables().at(import.index).definition,
        ExternKind::Memory => data.memories().at(import.index).definition,
        ExternKind::Global => data.globals().at(import.index).slot,
    }
}

impl TablePlan {
    fn new(table: meta::Table) -> Self {
        if table.flags & flags::CLOSED != 0 {
            Self::Closed
        } else if table.flags & flags::IMPORTED != 0 {
            Self::Imported
        } else {
            Self::Defined {
                definition: table.definition,
                elements: table.elements,
                element: element_type(&table),
                min: table.min,
                max: table.max,
            }
        }
    }
}

impl MemoryPlan {
    fn new(memory: meta::Memory) -> Self {
        let meta::Memory { min, max, definition, .. } = memory;
        if memory.flags & flags::IMPORTED != 0 {
            Self::Imported
        } else if memory.flags & flags::AT_CTX != 0 {
            Self::AtCtx { min, max }
        } else {
            Self::Separate { definition, min, max }
        }
    }
}

impl SlotPlan {
    fn new(data: &ModuleData<'_>, memories: &[MemoryPlan], tables: &[TablePlan]) -> Self {
        let fixed = &data.header().fixed;
        let vmctx_bytes = u64::from(fixed.vmctx_bytes);
        let (memory_bytes, reserved_bytes) = match memories.first() {
            Some(MemoryPlan::AtCtx { min, .. }) => {
                (min * PAGE_BYTES, vmctx_bytes + RESERVED_BYTES + fixed.guard_bytes)
            }
            _ => (0, vmctx_bytes),
        };
        const { assert!(vmctx::ctx::STORE.offset < 0) };
        Self {
            vmctx_bytes,
            memory_start: fixed.memory_start,
            memory_image_bytes: fixed.image_bytes - vmctx_bytes,
            memory_bytes,
            reserved_bytes,
            guard_bytes: fixed.guard_bytes,
            bounds: data.bounds_style(),
            memories: memories.iter().filter(|plan| !matches!(plan, MemoryPlan::Imported)).count()
                as u32,
            tables: tables.iter().filter(|plan| matches!(plan, TablePlan::Defined { .. })).count()
                as u32,
        }
    }
}
