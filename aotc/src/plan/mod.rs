//! Everything that is decided about a module before code is generated: which pieces of code there
//! will be, where each item lies below the context, what is known at compile time, and the
//! initial instance.

mod build;
mod initial;
mod live;

use aotc_abi::builtin::{BUILTIN_COUNT, Builtin};
use aotc_abi::index::{DefinedFuncIndex, FuncIndex, TypeIndex};
use aotc_abi::types::ValType;
use aotc_abi::vmctx::VmCtxLayout;

use crate::parse::ConstExpr;

pub(crate) use build::{build, module_name};
pub(crate) use live::keep;

/// A piece of code: a place in [`Plan::codes`], in the order of their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CodeId(pub(crate) u32);

/// What a piece of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CodeKey {
    /// A function of the module.
    Function(DefinedFuncIndex),
    /// A local stand-in for an imported function that is referenced: jumps to the import.
    Thunk(FuncIndex),
    /// Array call to wasm call, for a signature.
    Entry(SigId),
    /// Direct call to wasm call, for a signature.
    DirectEntry(SigId),
    /// Wasm call to array call, for a signature.
    Exit(SigId),
    /// Wasm call to a builtin.
    Builtin(Builtin),
    /// The start-up routine.
    StartUp,
    /// What gives the recorded type of a bound function, by its number.
    BoundType(u32),
}

/// A distinct function type: a place in [`Plan::sigs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SigId(pub(crate) u32);

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Name of the module.
    pub(crate) name: String,
    pub(crate) layout: VmCtxLayout,
    /// Pieces of code, in the order in which they are laid out: functions that are reached first, by index.
    pub(crate) codes: Vec<CodeKey>,
    /// Distinct function types.
    pub(crate) sigs: Vec<SigPlan>,
    /// By type index.
    pub(crate) type_sigs: Vec<SigId>,
    /// By function index.
    pub(crate) functions: Vec<FunctionPlan>,
    /// By table index.
    pub(crate) tables: Vec<TablePlan>,
    /// By memory index.
    pub(crate) memories: Vec<MemoryPlan>,
    /// By global index.
    pub(crate) globals: Vec<GlobalPlan>,
    /// By data segment index.
    pub(crate) data_segments: Vec<DataSegmentPlan>,
    /// By element segment index.
    pub(crate) elem_segments: Vec<ElemSegmentPlan>,
    /// By builtin: its trampoline, if it is used.
    pub(crate) builtins: [Option<CodeId>; BUILTIN_COUNT],
    /// What goes into the module data at fixed places (`Builder::data`): closed tables and segments.
    pub(crate) data: Vec<u8>,
    /// 32-bit code offsets in `data`: place and target.
    pub(crate) data_code: Vec<(u32, CodeId)>,
    /// The instance image: `layout.vmctx_bytes` of context, then the pages of memory 0 from
    /// `memory_start` on that are not zero.
    pub(crate) image: Vec<u8>,
    /// Where in memory 0 its pages in the image lie, in bytes.
    pub(crate) memory_start: u64,
    /// 32-bit code offsets in `image`: place and target.
    pub(crate) image_code: Vec<(u32, CodeId)>,
    /// What is left to do at instantiation, in order.
    pub(crate) start_up: Vec<StartUpStep>,
    /// The start-up routine, if there are steps, and the entry trampoline for it.
    pub(crate) start_up_code: Option<(CodeId, CodeId)>,
}

/// A distinct function type.
#[derive(Debug)]
pub(crate) struct SigPlan {
    /// The first of the module's types with this structure; `None` for `[] -> []` of the start-up
    /// routine in a module without that type.
    pub(crate) ty: Option<TypeIndex>,
    pub(crate) hash: u64,
    pub(crate) entry: Option<CodeId>,
    pub(crate) direct: Option<CodeId>,
    pub(crate) exit: Option<CodeId>,
}

/// A function of the index space.
#[derive(Debug)]
pub(crate) struct FunctionPlan {
    /// Its code: the function's, if it is reached, or the thunk of an import that is referenced.
    pub(crate) code: Option<CodeId>,
    /// Context offset of its `VmFunctionImport`, for an import that is reached.
    pub(crate) import: Option<i32>,
    /// Context offset of its `VmFuncRef`, if it can be referenced.
    pub(crate) func_ref: Option<i32>,
}

/// A table of the index space.
#[derive(Debug)]
pub(crate) enum TablePlan {
    /// Its definition's address is at this context offset.
    Imported { definition: i32 },
    /// Its definition is at `definition`, its `min` elements at `elements` (`None`: allocated by the loader).
    Own { definition: i32, elements: Option<i32>, growth: Growth },
    /// It is read-only data, of use for `call_indirect` only.
    Closed(ClosedTable),
}

/// A table that nothing can change and only `call_indirect` reads: an array of code offsets in the
/// module data, with the signatures beside them unless they are all the same.
///
/// An entry is `{ code: i32, sig: u32 }`, or `{ code: i32 }` if `sig` is known. Null entries have
/// `code` 0, and `sig` `u32::MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedTable {
    /// Where it starts, counted from `code_base`.
    pub(crate) offset: u32,
    /// Number of elements.
    pub(crate) length: u32,
    /// The signature of all elements, if they have the same one. None of them is null then.
    pub(crate) sig: Option<SigId>,
}

/// Whether the size of something can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It stays at its minimum for ever.
    Never,
    /// It may grow.
    Possible,
}

/// A memory of the index space.
#[derive(Debug)]
pub(crate) struct MemoryPlan {
    pub(crate) place: MemoryPlace,
    pub(crate) growth: Growth,
}

/// Where a memory's definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryPlace {
    /// Memory 0 of the instance, reserved: its base is the context.
    AtCtx,
    /// Defined, with its `VmMemoryDefinition` at this context offset.
    Own(i32),
    /// Imported: the definition's address is at this context offset.
    Imported(i32),
}

/// A global of the index space.
#[derive(Debug)]
pub(crate) struct GlobalPlan {
    /// Context offset of its slot, or of the slot's address for an import.
    pub(crate) slot: i32,
    pub(crate) place: GlobalPlace,
    /// Its value, if it never changes and is known.
    pub(crate) constant: Option<Constant>,
}

/// Where a global's slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobalPlace {
    Own,
    Imported,
}

/// A known value: its type and bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Constant {
    pub(crate) ty: ValType,
    pub(crate) bits: u128,
}

/// A data segment.
#[derive(Debug)]
pub(crate) struct DataSegmentPlan {
    /// Where its bytes are in the module data, counted from `code_base`, and how many; `None` if
    /// they are only in the image.
    pub(crate) bytes: Option<(u32, u32)>,
    /// Context offset of its current length, if an instruction uses it.
    pub(crate) length: Option<i32>,
}

/// An element segment.
#[derive(Debug)]
pub(crate) struct ElemSegmentPlan {
    /// Context offset of its current length, if an instruction or the start-up routine uses it.
    pub(crate) length: Option<i32>,
}

/// A step of the start-up routine.
#[derive(Clone, Debug)]
pub(crate) enum StartUpStep {
    /// Sets a global to a value that only the instance knows.
    InitGlobal { global: u32, value: ConstExpr },
    /// Fills a new table with a value.
    FillTable { table: u32, value: ConstExpr },
    /// Applies an active element segment, and drops it.
    ElementSegment { segment: u32, table: u32, offset: ConstExpr },
    /// Applies an active data segment, and drops it.
    DataSegment { segment: u32, memory: u32, offset: ConstExpr },
    /// Calls the start function.
    Call(FuncIndex),
}

impl Plan {
    /// The trampoline of `builtin`.
    ///
    /// # Panics
    /// If the facts did not say that it is used.
    pub(crate) fn builtin(&self, builtin: Builtin) -> CodeId {
        self.builtins[builtin as usize].expect("a used builtin has a trampoline")
    }

    /// Name of a piece of code for symbols and listings, without the module's name.
    pub(crate) fn code_name(&self, key: CodeKey, module: &crate::parse::WasmModule<'_>) -> String {
        match key {
            CodeKey::Function(index) => {
                let index = FuncIndex(index.0 + module.imported_functions);
                match module.function_name(index) {
                    "" => format!("func[{}]", index.0),
                    name => name.to_owned(),
                }
            }
            CodeKey::Thunk(index) => {
                let import = &module.imports.iter().find(|import| {
                    import.kind == aotc_abi::meta::ExternKind::Func && import.index == index.0
                });
                import.map_or_else(
                    || format!("thunk[{}]", index.0),
                    |import| format!("thunk {}.{}", import.module, import.name),
                )
            }
            CodeKey::Entry(sig) => format!("entry[{}]", sig.0),
            CodeKey::DirectEntry(sig) => format!("direct entry[{}]", sig.0),
            CodeKey::Exit(sig) => format!("exit[{}]", sig.0),
            CodeKey::Builtin(builtin) => format!("builtin {}", builtin.row().name),
            CodeKey::StartUp => "start-up".to_owned(),
            CodeKey::BoundType(bound) => format!("bound type[{bound}]"),
        }
    }
}
