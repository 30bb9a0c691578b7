//! A parsed, valid module.

use std::fmt;

use aotc_abi::index::{
    DefinedFuncIndex, FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex,
};
use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasmparser::FunctionBody;

use super::{Origin, Source};
use crate::bind::BoundFunction;

/// A valid module. Index spaces have imports first.
#[derive(Default)]
pub(crate) struct WasmModule<'a> {
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Vec<Import<'a>>,
    pub(crate) exports: Vec<Export<'a>>,
    /// Types of all functions.
    pub(crate) functions: Vec<TypeIndex>,
    pub(crate) imported_functions: u32,
    pub(crate) tables: Vec<Table>,
    pub(crate) imported_tables: u32,
    pub(crate) memories: Vec<Memory>,
    pub(crate) imported_memories: u32,
    pub(crate) globals: Vec<Global>,
    pub(crate) imported_globals: u32,
    pub(crate) elements: Vec<ElementSegment>,
    pub(crate) data: Vec<DataSegment<'a>>,
    pub(crate) start: Option<FuncIndex>,
    /// Bodies of the defined functions.
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    /// The files that the code comes from: one, or those that were merged.
    pub(crate) sources: Vec<Source<'a>>,
    /// By defined function: where it comes from. Empty if the module is one file.
    pub(crate) origins: &'a [Origin],
    /// Functions that stand for C functions, by ascending index; what their bodies are does not matter.
    pub(crate) bound: Vec<BoundFunction>,
    pub(crate) names: Names<'a>,
    pub(crate) facts: super::facts::Facts,
    /// What is reached, if only some exports are kept; `None`: everything counts.
    pub(crate) live: Option<Live>,
}

/// What is reached, by index.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) functions: Vec<bool>,
    pub(crate) tables: Vec<bool>,
    pub(crate) memories: Vec<bool>,
    pub(crate) globals: Vec<bool>,
}

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncType {
    pub(crate) params: Box<[ValType]>,
    pub(crate) results: Box<[ValType]>,
}

/// As the loader shows it: `(func (param i32 i64) (result f32))`.
impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        for (word, types) in [("param", &self.params), ("result", &self.results)] {
            if !types.is_empty() {
                write!(f, " ({word}")?;
                for ty in types {
                    write!(f, " {ty}")?;
                }
                f.write_str(")")?;
            }
        }
        f.write_str(")")
    }
}

/// An import, and the item it makes in an index space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Import<'a> {
    pub(crate) module: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: ExternKind,
    pub(crate) index: u32,
}

/// An export.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ExternKind,
    pub(crate) index: u32,
}

/// A table, imported or defined.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) element: ValType,
    /// In elements.
    pub(crate) min: u64,
    /// In elements.
    pub(crate) max: Option<u64>,
    /// Initial value of the elements, if not null.
    pub(crate) init: Option<ConstExpr>,
}

/// A memory, imported or defined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// In pages of 64 KiB.
    pub(crate) min: u64,
    /// In pages.
    pub(crate) max: Option<u64>,
}

/// A global, imported or defined.
#[derive(Clone, Debug)]
pub(crate) struct Global {
    pub(crate) ty: ValType,
    pub(crate) mutable: bool,
    /// Initial value; `None` for an import.
    pub(crate) init: Option<ConstExpr>,
}

/// An element segment.
#[derive(Clone, Debug)]
pub(crate) struct ElementSegment {
    pub(crate) mode: SegmentMode<TableIndex>,
    pub(crate) element: ValType,
    pub(crate) items: Vec<ConstExpr>,
}

/// A data segment.
#[derive(Clone, Debug)]
pub(crate) struct DataSegment<'a> {
    pub(crate) mode: SegmentMode<MemoryIndex>,
    pub(crate) bytes: &'a [u8],
}

/// When a segment is used.
#[derive(Clone, Debug)]
pub(crate) enum SegmentMode<Index> {
    /// At instantiation.
    Active { target: Index, offset: ConstExpr },
    /// By instructions.
    Passive,
    /// Never; it only declares references.
    Declared,
}

/// A constant expression in postfix order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConstExpr(pub(crate) Vec<ConstOp>);

/// An instruction of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ConstOp {
    I32(i32),
    I64(i64),
    /// Bits.
    F32(u32),
    /// Bits.
    F64(u64),
    V128(u128),
    RefNull,
    RefFunc(FuncIndex),
    GlobalGet(GlobalIndex),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// What the name section says.
#[derive(Default)]
pub(crate) struct Names<'a> {
    pub(crate) module: Option<&'a str>,
    /// By function index.
    pub(crate) functions: Vec<Option<&'a str>>,
    /// Names of parameters and locals, by function; not read yet.
    pub(crate) locals: Option<wasmparser::IndirectNameMap<'a>>,
}

impl<'a> Names<'a> {
    /// What is known of the names of the `count` parameters of function `index`.
    pub(crate) fn parameters(&self, index: FuncIndex, count: usize) -> Vec<Option<&'a str>> {
        let mut names = vec![None; count];
        let functions = self.locals.clone().into_iter().flatten().map_while(Result::ok);
        for function in functions.filter(|function| function.index == index.0) {
            for naming in function.names.map_while(Result::ok) {
                if let Some(name) = names.get_mut(naming.index as usize) {
                    *name = Some(naming.name);
                }
            }
        }
        names
    }
}

impl WasmModule<'_> {
    /// Whether function `index` is reached.
    pub(crate) fn is_live_function(&self, index: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.functions[index])
    }

    /// Whether table `index` is reached.
    pub(crate) fn is_live_table(&self, index: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.tables[index])
    }

    /// Whether memory `index` is reached.
    pub(crate) fn is_live_memory(&self, index: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.memories[index])
    }

    /// Whether global `index` is reached.
    pub(crate) fn is_live_global(&self, index: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.globals[index])
    }

    /// The type of function `index`.
    pub(crate) fn function_type(&self, index: FuncIndex) -> &FuncType {
        &self.types[self.functions[index.index()].index()]
    }

    /// The number of the bound function that `index` is, if it is one.
    pub(crate) fn bound_number(&self, index: DefinedFuncIndex) -> Option<usize> {
        self.bound.binary_search_by_key(&index.0, |bound| bound.function.0).ok()
    }

    /// The name of function `index` from the name section, or empty.
    pub(crate) fn function_name(&self, index: FuncIndex) -> &str {
        self.names.functions.get(index.index()).copied().flatten().unwrap_or_default()
    }
}
