//! Types of values, functions and the other things that modules import and export.

use alloc::sync::Arc;
use core::fmt;

use aotc_abi::meta::{self, NO_MAXIMUM};
use aotc_abi::types::{self as abi, func_type_hash};

use crate::engine::Engine;
use crate::prelude::*;

/// The type of what references lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Functions.
    Func,
    /// The host's values.
    Extern,
}

/// A reference type. References are nullable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType(HeapType);

impl RefType {
    /// `funcref`.
    pub const FUNCREF: Self = Self(HeapType::Func);
    /// `externref`.
    pub const EXTERNREF: Self = Self(HeapType::Extern);

    /// Whether null is a value of the type: always, in this version.
    pub fn is_nullable(&self) -> bool {
        true
    }

    /// What the reference leads to.
    pub fn heap_type(&self) -> &HeapType {
        &self.0
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            HeapType::Func => "funcref",
            HeapType::Extern => "externref",
        })
    }
}

/// A value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`.
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `externref`.
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);

    /// Whether this is a reference type.
    pub fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    pub(crate) fn from_abi(ty: abi::ValType) -> Self {
        match ty {
            abi::ValType::I32 => Self::I32,
            abi::ValType::I64 => Self::I64,
            abi::ValType::F32 => Self::F32,
            abi::ValType::F64 => Self::F64,
            abi::ValType::V128 => Self::V128,
            abi::ValType::FuncRef => Self::FUNCREF,
            abi::ValType::ExternRef => Self::EXTERNREF,
        }
    }

    pub(crate) fn to_abi(self) -> abi::ValType {
        match self {
            Self::I32 => abi::ValType::I32,
            Self::I64 => abi::ValType::I64,
            Self::F32 => abi::ValType::F32,
            Self::F64 => abi::ValType::F64,
            Self::V128 => abi::ValType::V128,
            Self::Ref(RefType::FUNCREF) => abi::ValType::FuncRef,
            Self::Ref(RefType::EXTERNREF) => abi::ValType::ExternRef,
        }
    }

    /// The type that checked module data calls by this number.
    pub(crate) fn from_number(number: u32) -> Self {
        let ty = u8::try_from(number).ok().and_then(abi::ValType::from_u8);
        Self::from_abi(ty.expect("checked value type"))
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_abi().fmt(f)
    }
}

/// A function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameters, then results.
    types: Arc<[ValType]>,
    params: usize,
    hash: u64,
}

impl FuncType {
    /// The type with these parameters and results.
    ///
    /// # Panics
    /// If the engine holds another type with the same 64-bit identity, which no module can have
    /// unless someone searched for it.
    pub fn new(
        engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let ty = Self::unregistered(params, results);
        engine.types().add(&ty).expect("function type with a hash of its own");
        ty
    }

    /// The type, not known to any engine yet.
    pub(crate) fn unregistered(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = types.len();
        types.extend(results);
        let abi = |types: &[ValType]| types.iter().map(|ty| ty.to_abi()).collect::<Vec<_>>();
        let hash = func_type_hash(abi(&types[..params]), abi(&types[params..]));
        Self { types: types.into(), params, hash }
    }

    pub(crate) fn from_meta(data: &meta::ModuleData<'_>, ty: &meta::Type) -> Self {
        let params = data.params(ty);
        let types = params.clone().chain(data.results(ty)).map(ValType::from_abi).collect();
        Self { types, params: params.len(), hash: ty.hash }
    }

    /// Parameter types.
    pub fn params(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.types[..self.params].iter().copied()
    }

    /// Result types.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.types[self.params..].iter().copied()
    }

    /// Parameter `index`.
    pub fn param(&self, index: usize) -> Option<ValType> {
        self.types[..self.params].get(index).copied()
    }

    /// Result `index`.
    pub fn result(&self, index: usize) -> Option<ValType> {
        self.types[self.params..].get(index).copied()
    }

    /// The identity compiled code compares.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        if self.params > 0 {
            f.write_str(" (param")?;
            for ty in self.params() {
                write!(f, " {ty}")?;
            }
            f.write_str(")")?;
        }
        if self.results().len() > 0 {
            f.write_str(" (result")?;
            for ty in self.results() {
                write!(f, " {ty}")?;
            }
            f.write_str(")")?;
        }
        f.write_str(")")
    }
}

/// Whether a global can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// It cannot.
    Const,
    /// It can.
    Var,
}

/// A global's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    content: ValType,
    mutability: Mutability,
}

impl GlobalType {
    /// A global of values of type `content`.
    pub fn new(content: ValType, mutability: Mutability) -> Self {
        Self { content, mutability }
    }

    /// Type of the values.
    pub fn content(&self) -> &ValType {
        &self.content
    }

    /// Whether it can change.
    pub fn mutability(&self) -> Mutability {
        self.mutability
    }

    pub(crate) fn from_meta(global: &meta::Global) -> Self {
        let mutable = global.flags & meta::flags::MUTABLE != 0;
        Self {
            content: ValType::from_number(global.ty),
            mutability: if mutable { Mutability::Var } else { Mutability::Const },
        }
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => write!(f, "(global {})", self.content),
            Mutability::Var => write!(f, "(global (mut {}))", self.content),
        }
    }
}

/// A table's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    element: RefType,
    minimum: u64,
    maximum: Option<u64>,
}

impl TableType {
    /// A table of `element`s: at first `minimum` of them, at most `maximum`.
    pub fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        Self { element, minimum: minimum.into(), maximum: maximum.map(u64::from) }
    }

    /// Type of the elements.
    pub fn element(&self) -> &RefType {
        &self.element
    }

    /// Smallest number of elements.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Largest number of elements.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    pub(crate) fn from_parts(element: RefType, minimum: u64, max: u64) -> Self {
        Self { element, minimum, maximum: (max != NO_MAXIMUM).then_some(max) }
    }

    pub(crate) fn from_meta(table: &meta::Table) -> Self {
        Self::from_parts(element_type(table), table.min, table.max)
    }

    /// As [`meta::Table::max`].
    pub(crate) fn max_or_none(&self) -> u64 {
        self.maximum.unwrap_or(NO_MAXIMUM)
    }
}

/// The element type of a table in checked module data.
pub(crate) fn element_type(table: &meta::Table) -> RefType {
    match ValType::from_number(table.element) {
        ValType::Ref(element) => element,
        _ => unreachable!("checked element type"),
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(table {} {})", Limits(self.minimum, self.maximum), self.element)
    }
}

/// A memory's type. Sizes are in pages of 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    minimum: u64,
    maximum: Option<u64>,
}

impl MemoryType {
    /// A memory of at first `minimum` pages, at most `maximum`.
    pub fn new(minimum: u32, maximum: Option<u32>) -> Self {
        Self { minimum: minimum.into(), maximum: maximum.map(u64::from) }
    }

    /// Smallest size.
    pub fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Largest size.
    pub fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Whether indices are 64-bit: never, in this version.
    pub fn is_64(&self) -> bool {
        false
    }

    /// Whether threads share it: never, in this version.
    pub fn is_shared(&self) -> bool {
        false
    }

    /// Page size in bytes.
    pub fn page_size(&self) -> u64 {
        crate::memory::PAGE_BYTES
    }

    pub(crate) fn from_parts(minimum: u64, max: u64) -> Self {
        Self { minimum, maximum: (max != NO_MAXIMUM).then_some(max) }
    }

    pub(crate) fn from_meta(memory: &meta::Memory) -> Self {
        Self::from_parts(memory.min, memory.max)
    }

    /// As [`meta::Memory::max`].
    pub(crate) fn max_or_none(&self) -> u64 {
        self.maximum.unwrap_or(NO_MAXIMUM)
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(memory {})", Limits(self.minimum, self.maximum))
    }
}

/// Minimum and maximum as in the text format.
struct Limits(u64, Option<u64>);

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(maximum) => write!(f, "{} {maximum}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The type of an import or export.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A global.
    Global(GlobalType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
}

macro_rules! extern_type_accessors {
    ($($variant:ident $ty:ident $get:ident $unwrap:ident)*) => {
        impl ExternType {$(
            #[doc = concat!("The [`", stringify!($ty), "`], if it is one.")]
            pub fn $get(&self) -> Option<&$ty> {
                match self {
                    Self::$variant(ty) => Some(ty),
                    _ => None,
                }
            }

            #[doc = concat!("The [`", stringify!($ty), "`].\n\n# Panics\nIf it is another kind.")]
            pub fn $unwrap(&self) -> &$ty {
                self.$get().expect(concat!("expected ", stringify!($get)))
            }
        )*}

        $(impl From<$ty> for ExternType {
            fn from(ty: $ty) -> Self {
                Self::$variant(ty)
            }
        })*
    };
}

extern_type_accessors! {
    Func FuncType func unwrap_func
    Global GlobalType global unwrap_global
    Table TableType table unwrap_table
    Memory MemoryType memory unwrap_memory
}

impl ExternType {
    /// What kind of thing it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Func(_) => "func",
            Self::Global(_) => "global",
            Self::Table(_) => "table",
            Self::Memory(_) => "memory",
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => ty.fmt(f),
            Self::Global(ty) => ty.fmt(f),
            Self::Table(ty) => ty.fmt(f),
            Self::Memory(ty) => ty.fmt(f),
        }
    }
}

/// An import of a module.
#[derive(Clone, Debug)]
pub struct ImportType<'module> {
    pub(crate) module: &'module str,
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ImportType<'module> {
    /// First name.
    pub fn module(&self) -> &'module str {
        self.module
    }

    /// Second name.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// An export of a module.
#[derive(Clone, Debug)]
pub struct ExportType<'module> {
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ExportType<'module> {
    /// Name.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_in_the_text_format() {
        let func = FuncType::unregistered([ValType::I32, ValType::FUNCREF], [ValType::V128]);
        assert_eq!(func.to_string(), "(func (param i32 funcref) (result v128))");
        assert_eq!(FuncType::unregistered([], []).to_string(), "(func)");
        assert_eq!(MemoryType::new(1, Some(2)).to_string(), "(memory 1 2)");
        assert_eq!(TableType::new(RefType::EXTERNREF, 3, None).to_string(), "(table 3 externref)");
        let global = GlobalType::new(ValType::I64, Mutability::Var);
        assert_eq!(global.to_string(), "(global (mut i64))");
    }
}
