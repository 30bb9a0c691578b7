//! Types of values, functions and the other things that modules import and export.

use alloc::sync::Arc;
use core::fmt;

use aotc_abi::meta::{self, NO_MAXIMUM};
use aotc_abi::types::{self as abi, func_type_hash};

use anyhow::{Result, anyhow, bail};
use aotc_abi::vmctx::{MEMORY_PAGE_BITS, MEMORY_PAGES_MAX};

use crate::engine::Engine;
use crate::extern_::Extern;
use crate::func::Func;
use crate::global::Global;
use crate::memory::Memory;
use crate::prelude::*;
use crate::store::AsContextMut;
use crate::table::Table;
use crate::value::{Ref, Val};

/// The type of what references lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeapType {
    /// Functions.
    Func,
    /// The host's values.
    Extern,
}

impl HeapType {
    /// Whether this is [`HeapType::Func`].
    pub fn is_func(&self) -> bool {
        matches!(self, Self::Func)
    }

    /// Whether this is [`HeapType::Extern`].
    pub fn is_extern(&self) -> bool {
        matches!(self, Self::Extern)
    }

    /// Whether it is a type of the specification's and not one that a module declares: always, in this version.
    pub fn is_abstract(&self) -> bool {
        true
    }

    /// Whether it is a type that a module declares: never, in this version.
    pub fn is_concrete(&self) -> bool {
        false
    }

    /// The type above it that has none above: itself, in this version.
    pub fn top(&self) -> HeapType {
        *self
    }

    /// Whether no type is above it: always, in this version.
    pub fn is_top(&self) -> bool {
        true
    }

    /// Whether this is `other` or below it.
    pub fn matches(&self, other: &HeapType) -> bool {
        self == other
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Func => "func",
            Self::Extern => "extern",
        })
    }
}

/// A reference type. References are nullable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType(HeapType);

impl RefType {
    /// `funcref`.
    pub const FUNCREF: Self = Self(HeapType::Func);
    /// `externref`.
    pub const EXTERNREF: Self = Self(HeapType::Extern);

    /// A reference to what `heap_type` says.
    ///
    /// # Panics
    /// If it is not to be nullable: such references come with WebAssembly 3.0.
    pub fn new(is_nullable: bool, heap_type: HeapType) -> Self {
        assert!(is_nullable, "references that are not nullable are not supported");
        Self(heap_type)
    }

    /// Whether null is a value of the type: always, in this version.
    pub fn is_nullable(&self) -> bool {
        true
    }

    /// What the reference leads to.
    pub fn heap_type(&self) -> &HeapType {
        &self.0
    }

    /// Whether every value of this type is one of `other`.
    pub fn matches(&self, other: &RefType) -> bool {
        self == other
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

    /// Whether this is a number: `i32`, `i64`, `f32` or `f64`.
    pub fn is_num(&self) -> bool {
        matches!(self, Self::I32 | Self::I64 | Self::F32 | Self::F64)
    }

    /// Whether this is `i32`.
    pub fn is_i32(&self) -> bool {
        matches!(self, Self::I32)
    }

    /// Whether this is `i64`.
    pub fn is_i64(&self) -> bool {
        matches!(self, Self::I64)
    }

    /// Whether this is `f32`.
    pub fn is_f32(&self) -> bool {
        matches!(self, Self::F32)
    }

    /// Whether this is `f64`.
    pub fn is_f64(&self) -> bool {
        matches!(self, Self::F64)
    }

    /// Whether this is `v128`.
    pub fn is_v128(&self) -> bool {
        matches!(self, Self::V128)
    }

    /// Whether this is a reference type.
    pub fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// Whether this is `funcref`.
    pub fn is_funcref(&self) -> bool {
        *self == Self::FUNCREF
    }

    /// Whether this is `externref`.
    pub fn is_externref(&self) -> bool {
        *self == Self::EXTERNREF
    }

    /// The reference type, if it is one.
    pub fn as_ref(&self) -> Option<&RefType> {
        match self {
            Self::Ref(ty) => Some(ty),
            _ => None,
        }
    }

    /// The reference type.
    ///
    /// # Panics
    /// If it is another type.
    pub fn unwrap_ref(&self) -> &RefType {
        self.as_ref().expect("expected a reference type")
    }

    /// Whether every value of this type is one of `other`.
    pub fn matches(&self, other: &ValType) -> bool {
        self == other
    }

    /// Zero, or null: what a local of this type begins with.
    pub fn default_value(&self) -> Option<Val> {
        Val::default_for_ty(self)
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

impl From<RefType> for ValType {
    fn from(ty: RefType) -> Self {
        Self::Ref(ty)
    }
}

/// A function type.
///
/// ```
/// use aotc_loader::{Engine, FuncType, ValType};
///
/// let engine = Engine::default();
/// let ty = FuncType::new(&engine, [ValType::I32, ValType::FUNCREF], [ValType::I64]);
/// assert_eq!(ty.param(1), Some(ValType::FUNCREF));
/// assert_eq!(ty.to_string(), "(func (param i32 funcref) (result i64))");
/// ```
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
        Self::try_new(engine, params, results).expect("function type with a hash of its own")
    }

    /// As [`FuncType::new`].
    ///
    /// # Errors
    /// [`crate::LoadError::TypeHashCollision`] where that panics.
    pub fn try_new(
        engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Result<Self> {
        let ty = Self::unregistered(params, results);
        engine.types().add(&ty)?;
        Ok(ty)
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

    /// Whether a function of this type can stand where one of `other` is expected: types are equal by what
    /// they consist of, whichever engine or module they come from.
    pub fn matches(&self, other: &FuncType) -> bool {
        self == other
    }

    /// A function of this type that returns zeros and nulls.
    ///
    /// # Errors
    /// If the store's engine holds another type with the same 64-bit identity.
    pub fn default_value(&self, mut store: impl AsContextMut) -> Result<Func> {
        store.as_context_mut().engine().types().add(self)?;
        // Results are zero and null unless the function sets them.
        Ok(Func::new(store, self.clone(), |_, _, _| Ok(())))
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

impl Mutability {
    /// Whether this is [`Mutability::Const`].
    pub fn is_const(&self) -> bool {
        matches!(self, Self::Const)
    }

    /// Whether this is [`Mutability::Var`].
    pub fn is_var(&self) -> bool {
        matches!(self, Self::Var)
    }
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

    /// A global of this type that holds zero or null.
    ///
    /// # Errors
    /// As [`Global::new`].
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Global> {
        let value = self.content.default_value();
        let value = value.ok_or_else(|| anyhow!("type `{}` has no default value", self.content))?;
        Global::new(store, self.clone(), value)
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

    /// Whether indices are 64-bit: never, in this version.
    pub fn is_64(&self) -> bool {
        false
    }

    /// A table of this type, with its smallest number of elements, which are null.
    ///
    /// # Errors
    /// As [`Table::new`].
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Table> {
        Table::new(store, self.clone(), Ref::null(self.element.heap_type()))
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

    /// A builder, whose memory is of 0 pages and without maximum at first.
    pub fn builder() -> MemoryTypeBuilder {
        MemoryTypeBuilder::new()
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

    /// Binary logarithm of the page size.
    pub fn page_size_log2(&self) -> u8 {
        MEMORY_PAGE_BITS as u8
    }

    /// A memory of this type, with its smallest size.
    ///
    /// # Errors
    /// As [`Memory::new`].
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Memory> {
        Memory::new(store, self.clone())
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

/// Makes a [`MemoryType`].
///
/// ```
/// use aotc_loader::MemoryType;
///
/// # fn main() -> anyhow::Result<()> {
/// let ty = MemoryType::builder().min(1).max(Some(16)).build()?;
/// assert_eq!(ty, MemoryType::new(1, Some(16)));
/// assert!(MemoryType::builder().min(2).max(Some(1)).build().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryTypeBuilder {
    minimum: u64,
    maximum: Option<u64>,
    is_64: bool,
    shared: bool,
    page_size_log2: u8,
}

impl Default for MemoryTypeBuilder {
    fn default() -> Self {
        let page_size_log2 = MEMORY_PAGE_BITS as u8;
        Self { minimum: 0, maximum: None, is_64: false, shared: false, page_size_log2 }
    }
}

impl MemoryTypeBuilder {
    /// As [`MemoryType::builder`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the smallest size, in pages.
    pub fn min(&mut self, minimum: u64) -> &mut Self {
        self.minimum = minimum;
        self
    }

    /// Sets the largest size, in pages.
    pub fn max(&mut self, maximum: Option<u64>) -> &mut Self {
        self.maximum = maximum;
        self
    }

    /// Sets whether indices are 64-bit, which [`MemoryTypeBuilder::build`] refuses in this version.
    pub fn memory64(&mut self, memory64: bool) -> &mut Self {
        self.is_64 = memory64;
        self
    }

    /// Sets whether threads share it, which [`MemoryTypeBuilder::build`] refuses in this version.
    pub fn shared(&mut self, shared: bool) -> &mut Self {
        self.shared = shared;
        self
    }

    /// Sets the binary logarithm of the page size. [`MemoryTypeBuilder::build`] refuses others than 16 in this
    /// version.
    pub fn page_size_log2(&mut self, page_size_log2: u8) -> &mut Self {
        self.page_size_log2 = page_size_log2;
        self
    }

    /// The type.
    ///
    /// # Errors
    /// If the limits are not valid, or it is a type that this version has not got.
    pub fn build(&self) -> Result<MemoryType> {
        if self.is_64 {
            bail!("memories with 64-bit indices are not supported");
        }
        if self.shared {
            bail!("shared memories are not supported");
        }
        if u32::from(self.page_size_log2) != MEMORY_PAGE_BITS {
            bail!("memories with pages of 2^{} bytes are not supported", self.page_size_log2);
        }
        if self.maximum.is_some_and(|maximum| maximum < self.minimum) {
            bail!("maximum size must not be smaller than the minimum");
        }
        if self.minimum.max(self.maximum.unwrap_or(0)) > MEMORY_PAGES_MAX {
            bail!("memories have at most {MEMORY_PAGES_MAX} pages");
        }
        Ok(MemoryType { minimum: self.minimum, maximum: self.maximum })
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
    /// A thing of this type: a function that returns zeros and nulls, a global that holds zero or null, a table
    /// of nulls or a memory of zeros, of their smallest size.
    ///
    /// # Errors
    /// As the constructor of the thing.
    pub fn default_value(&self, store: impl AsContextMut) -> Result<Extern> {
        Ok(match self {
            Self::Func(ty) => ty.default_value(store)?.into(),
            Self::Global(ty) => ty.default_value(store)?.into(),
            Self::Table(ty) => ty.default_value(store)?.into(),
            Self::Memory(ty) => ty.default_value(store)?.into(),
        })
    }

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
