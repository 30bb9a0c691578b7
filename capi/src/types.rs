//! Types: of values, and of what can be imported and exported.
//!
//! ```text
//!   wasm_functype_t    ──.
//!   wasm_globaltype_t  ──|
//!   wasm_tabletype_t   ──|── are all a wasm_externtype_t, whose kind tells which;
//!   wasm_memorytype_t  ──|   the conversions of the API only change the pointer's type
//!   wasm_tagtype_t     ──'
//! ```

use core::ptr;

use anyhow::Result;
use aotc_loader::{
    Engine, ExternType, FuncType, GlobalType, MemoryType, Mutability, RefType, TableType, ValType,
};

use crate::prelude::*;
use crate::vector::{Vector, wasm_byte_vec_t};

/// `WASM_I32` and so on, and `AOTC_V128`.
pub(crate) const I32: u8 = 0;
pub(crate) const I64: u8 = 1;
pub(crate) const F32: u8 = 2;
pub(crate) const F64: u8 = 3;
pub(crate) const V128: u8 = 4;
pub(crate) const EXTERNREF: u8 = 128;
pub(crate) const FUNCREF: u8 = 129;

/// `WASM_CONST` and `WASM_VAR`.
pub(crate) const CONST: u8 = 0;
pub(crate) const VAR: u8 = 1;

/// `WASM_EXTERN_FUNC` and so on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExternKind {
    Func = 0,
    Global = 1,
    Table = 2,
    Memory = 3,
    Tag = 4,
}

/// `wasm_limits_max_default`.
const NO_MAXIMUM: u32 = u32::MAX;

#[derive(Clone)]
pub(crate) struct wasm_valtype_t(ValType);

/// The `wasm_*kind_t` of a type.
pub(crate) fn kind_of(ty: ValType) -> u8 {
    match ty {
        ValType::I32 => I32,
        ValType::I64 => I64,
        ValType::F32 => F32,
        ValType::F64 => F64,
        ValType::V128 => V128,
        ValType::Ref(RefType::FUNCREF) => FUNCREF,
        ValType::Ref(RefType::EXTERNREF) => EXTERNREF,
    }
}

/// The type of a kind.
pub(crate) fn type_of(kind: u8) -> Option<ValType> {
    Some(match kind {
        I32 => ValType::I32,
        I64 => ValType::I64,
        F32 => ValType::F32,
        F64 => ValType::F64,
        V128 => ValType::V128,
        FUNCREF => ValType::FUNCREF,
        EXTERNREF => ValType::EXTERNREF,
        _ => return None,
    })
}

/// `wasm_valtype_vec_t`.
pub(crate) type wasm_valtype_vec_t = Vector<Option<Box<wasm_valtype_t>>>;

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct wasm_limits_t {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl wasm_limits_t {
    fn new(min: u64, max: Option<u64>) -> Self {
        let word = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { min: word(min), max: max.map_or(NO_MAXIMUM, word) }
    }

    fn maximum(&self) -> Option<u32> {
        (self.max != NO_MAXIMUM).then_some(self.max)
    }
}

/// A type of any kind.
#[derive(Clone)]
pub(crate) struct wasm_externtype_t(TypeOf);

#[derive(Clone)]
enum TypeOf {
    Func { params: wasm_valtype_vec_t, results: wasm_valtype_vec_t },
    Global { content: wasm_valtype_t, mutability: u8 },
    Table { element: wasm_valtype_t, limits: wasm_limits_t },
    Memory { limits: wasm_limits_t },
    Tag { func: Box<wasm_functype_t> },
}

impl wasm_externtype_t {
    fn kind(&self) -> ExternKind {
        match self.0 {
            TypeOf::Func { .. } => ExternKind::Func,
            TypeOf::Global { .. } => ExternKind::Global,
            TypeOf::Table { .. } => ExternKind::Table,
            TypeOf::Memory { .. } => ExternKind::Memory,
            TypeOf::Tag { .. } => ExternKind::Tag,
        }
    }
}

impl From<ExternType> for wasm_externtype_t {
    fn from(ty: ExternType) -> Self {
        match ty {
            ExternType::Func(ty) => wasm_functype_t::from(ty).0,
            ExternType::Global(ty) => wasm_globaltype_t::from(ty).0,
            ExternType::Table(ty) => wasm_tabletype_t::from(ty).0,
            ExternType::Memory(ty) => wasm_memorytype_t::from(ty).0,
        }
    }
}

macro_rules! kinds {
    ($($name:ident $kind:ident: $delete:ident $copy:ident
        $to:ident $from:ident $to_const:ident $from_const:ident;)*) => {$(
        #[derive(Clone)]
        #[repr(transparent)]
        pub(crate) struct $name(wasm_externtype_t);

        #[unsafe(no_mangle)]
        extern "C" fn $delete(ty: Option<Box<$name>>) {
            drop(ty);
        }

        #[unsafe(no_mangle)]
        extern "C" fn $copy(ty: &$name) -> Box<$name> {
            Box::new(ty.clone())
        }

        #[unsafe(no_mangle)]
        extern "C" fn $to(ty: &mut $name) -> &mut wasm_externtype_t {
            &mut ty.0
        }

        #[unsafe(no_mangle)]
        extern "C" fn $from(ty: &mut wasm_externtype_t) -> *mut $name {
            let is = ty.kind() == ExternKind::$kind;
            if is { ptr::from_mut(ty).cast() } else { ptr::null_mut() }
        }

        #[unsafe(no_mangle)]
        extern "C" fn $to_const(ty: &$name) -> &wasm_externtype_t {
            &ty.0
        }

        #[unsafe(no_mangle)]
        extern "C" fn $from_const(ty: &wasm_externtype_t) -> *const $name {
            let is = ty.kind() == ExternKind::$kind;
            if is { ptr::from_ref(ty).cast() } else { ptr::null() }
        }
    )*};
}

kinds! {
    wasm_functype_t Func: wasm_functype_delete wasm_functype_copy wasm_functype_as_externtype
        wasm_externtype_as_functype wasm_functype_as_externtype_const wasm_externtype_as_functype_const;
    wasm_globaltype_t Global: wasm_globaltype_delete wasm_globaltype_copy wasm_globaltype_as_externtype
        wasm_externtype_as_globaltype wasm_globaltype_as_externtype_const wasm_externtype_as_globaltype_const;
    wasm_tabletype_t Table: wasm_tabletype_delete wasm_tabletype_copy wasm_tabletype_as_externtype
        wasm_externtype_as_tabletype wasm_tabletype_as_externtype_const wasm_externtype_as_tabletype_const;
    wasm_memorytype_t Memory: wasm_memorytype_delete wasm_memorytype_copy wasm_memorytype_as_externtype
        wasm_externtype_as_memorytype wasm_memorytype_as_externtype_const wasm_externtype_as_memorytype_const;
    wasm_tagtype_t Tag: wasm_tagtype_delete wasm_tagtype_copy wasm_tagtype_as_externtype
        wasm_externtype_as_tagtype wasm_tagtype_as_externtype_const wasm_externtype_as_tagtype_const;
}

#[unsafe(no_mangle)]
extern "C" fn wasm_externtype_delete(ty: Option<Box<wasm_externtype_t>>) {
    drop(ty);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_externtype_copy(ty: &wasm_externtype_t) -> Box<wasm_externtype_t> {
    Box::new(ty.clone())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_externtype_kind(ty: &wasm_externtype_t) -> u8 {
    ty.kind() as u8
}

// Types of values.

#[unsafe(no_mangle)]
extern "C" fn wasm_valtype_new(kind: u8) -> Option<Box<wasm_valtype_t>> {
    type_of(kind).map(|ty| Box::new(wasm_valtype_t(ty)))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_valtype_delete(ty: Option<Box<wasm_valtype_t>>) {
    drop(ty);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_valtype_copy(ty: &wasm_valtype_t) -> Box<wasm_valtype_t> {
    Box::new(ty.clone())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_valtype_kind(ty: &wasm_valtype_t) -> u8 {
    kind_of(ty.0)
}

// Functions.

impl From<FuncType> for wasm_functype_t {
    fn from(ty: FuncType) -> Self {
        let params = Vector::of(ty.params().map(wasm_valtype_t));
        let results = Vector::of(ty.results().map(wasm_valtype_t));
        Self(wasm_externtype_t(TypeOf::Func { params, results }))
    }
}

impl wasm_functype_t {
    /// A type by its values' types.
    pub(crate) fn of_types(params: Vec<ValType>, results: Vec<ValType>) -> Self {
        let vector = |types: Vec<ValType>| Vector::of(types.into_iter().map(wasm_valtype_t));
        let (params, results) = (vector(params), vector(results));
        Self(wasm_externtype_t(TypeOf::Func { params, results }))
    }

    fn parts(&self) -> (&wasm_valtype_vec_t, &wasm_valtype_vec_t) {
        match &self.0.0 {
            TypeOf::Func { params, results } => (params, results),
            _ => unreachable!("a wasm_functype_t is a function's type"),
        }
    }

    /// The type for the loader.
    ///
    /// # Errors
    /// As [`FuncType::try_new`].
    pub(crate) fn to_type(&self, engine: &Engine) -> Result<FuncType> {
        let (params, results) = self.parts();
        FuncType::try_new(engine, params.iter().map(|ty| ty.0), results.iter().map(|ty| ty.0))
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_functype_new(
    params: &mut wasm_valtype_vec_t,
    results: &mut wasm_valtype_vec_t,
) -> Box<wasm_functype_t> {
    let (params, results) = (core::mem::take(params), core::mem::take(results));
    Box::new(wasm_functype_t(wasm_externtype_t(TypeOf::Func { params, results })))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_functype_params(ty: &wasm_functype_t) -> &wasm_valtype_vec_t {
    ty.parts().0
}

#[unsafe(no_mangle)]
extern "C" fn wasm_functype_results(ty: &wasm_functype_t) -> &wasm_valtype_vec_t {
    ty.parts().1
}

// Globals.

impl From<GlobalType> for wasm_globaltype_t {
    fn from(ty: GlobalType) -> Self {
        let mutability = if ty.mutability().is_var() { VAR } else { CONST };
        let content = wasm_valtype_t(*ty.content());
        Self(wasm_externtype_t(TypeOf::Global { content, mutability }))
    }
}

impl wasm_globaltype_t {
    fn parts(&self) -> (&wasm_valtype_t, u8) {
        match &self.0.0 {
            TypeOf::Global { content, mutability } => (content, *mutability),
            _ => unreachable!("a wasm_globaltype_t is a global's type"),
        }
    }

    /// The type for the loader.
    pub(crate) fn to_type(&self) -> GlobalType {
        let (content, mutability) = self.parts();
        let mutability = if mutability == VAR { Mutability::Var } else { Mutability::Const };
        GlobalType::new(content.0, mutability)
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_globaltype_new(
    content: Box<wasm_valtype_t>,
    mutability: u8,
) -> Box<wasm_globaltype_t> {
    Box::new(wasm_globaltype_t(wasm_externtype_t(TypeOf::Global { content: *content, mutability })))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_globaltype_content(ty: &wasm_globaltype_t) -> &wasm_valtype_t {
    ty.parts().0
}

#[unsafe(no_mangle)]
extern "C" fn wasm_globaltype_mutability(ty: &wasm_globaltype_t) -> u8 {
    ty.parts().1
}

// Tables.

impl From<TableType> for wasm_tabletype_t {
    fn from(ty: TableType) -> Self {
        let element = wasm_valtype_t(ValType::Ref(*ty.element()));
        let limits = wasm_limits_t::new(ty.minimum(), ty.maximum());
        Self(wasm_externtype_t(TypeOf::Table { element, limits }))
    }
}

impl wasm_tabletype_t {
    fn parts(&self) -> (&wasm_valtype_t, &wasm_limits_t) {
        match &self.0.0 {
            TypeOf::Table { element, limits } => (element, limits),
            _ => unreachable!("a wasm_tabletype_t is a table's type"),
        }
    }

    /// The type for the loader.
    pub(crate) fn to_type(&self) -> TableType {
        let (element, limits) = self.parts();
        TableType::new(*element.0.unwrap_ref(), limits.min, limits.maximum())
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_tabletype_new(
    element: Box<wasm_valtype_t>,
    limits: &wasm_limits_t,
) -> Option<Box<wasm_tabletype_t>> {
    let is_ref = element.0.is_ref();
    let table = TypeOf::Table { element: *element, limits: *limits };
    is_ref.then(|| Box::new(wasm_tabletype_t(wasm_externtype_t(table))))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_tabletype_element(ty: &wasm_tabletype_t) -> &wasm_valtype_t {
    ty.parts().0
}

#[unsafe(no_mangle)]
extern "C" fn wasm_tabletype_limits(ty: &wasm_tabletype_t) -> &wasm_limits_t {
    ty.parts().1
}

// Memories.

impl From<MemoryType> for wasm_memorytype_t {
    fn from(ty: MemoryType) -> Self {
        let limits = wasm_limits_t::new(ty.minimum(), ty.maximum());
        Self(wasm_externtype_t(TypeOf::Memory { limits }))
    }
}

impl wasm_memorytype_t {
    fn limits(&self) -> &wasm_limits_t {
        match &self.0.0 {
            TypeOf::Memory { limits } => limits,
            _ => unreachable!("a wasm_memorytype_t is a memory's type"),
        }
    }

    /// The type for the loader.
    pub(crate) fn to_type(&self) -> MemoryType {
        MemoryType::new(self.limits().min, self.limits().maximum())
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memorytype_new(limits: &wasm_limits_t) -> Box<wasm_memorytype_t> {
    Box::new(wasm_memorytype_t(wasm_externtype_t(TypeOf::Memory { limits: *limits })))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memorytype_limits(ty: &wasm_memorytype_t) -> &wasm_limits_t {
    ty.limits()
}

// Tags.

#[unsafe(no_mangle)]
extern "C" fn wasm_tagtype_new(func: Box<wasm_functype_t>) -> Box<wasm_tagtype_t> {
    Box::new(wasm_tagtype_t(wasm_externtype_t(TypeOf::Tag { func })))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_tagtype_functype(ty: &wasm_tagtype_t) -> &wasm_functype_t {
    match &ty.0.0 {
        TypeOf::Tag { func } => func,
        _ => unreachable!("a wasm_tagtype_t is a tag's type"),
    }
}

// Imports and exports of modules.

#[derive(Clone)]
pub(crate) struct wasm_importtype_t {
    module: wasm_byte_vec_t,
    name: wasm_byte_vec_t,
    ty: Box<wasm_externtype_t>,
}

impl From<aotc_loader::ImportType<'_>> for wasm_importtype_t {
    fn from(import: aotc_loader::ImportType<'_>) -> Self {
        let name = |text: &str| Vector::from_vec(text.as_bytes().to_vec());
        let (module, name) = (name(import.module()), name(import.name()));
        Self { module, name, ty: Box::new(import.ty().into()) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_new(
    module: &mut wasm_byte_vec_t,
    name: &mut wasm_byte_vec_t,
    ty: Box<wasm_externtype_t>,
) -> Box<wasm_importtype_t> {
    let (module, name) = (core::mem::take(module), core::mem::take(name));
    Box::new(wasm_importtype_t { module, name, ty })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_delete(ty: Option<Box<wasm_importtype_t>>) {
    drop(ty);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_copy(ty: &wasm_importtype_t) -> Box<wasm_importtype_t> {
    Box::new(ty.clone())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_module(ty: &wasm_importtype_t) -> &wasm_byte_vec_t {
    &ty.module
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_name(ty: &wasm_importtype_t) -> &wasm_byte_vec_t {
    &ty.name
}

#[unsafe(no_mangle)]
extern "C" fn wasm_importtype_type(ty: &wasm_importtype_t) -> &wasm_externtype_t {
    &ty.ty
}

#[derive(Clone)]
pub(crate) struct wasm_exporttype_t {
    name: wasm_byte_vec_t,
    ty: Box<wasm_externtype_t>,
}

impl From<aotc_loader::ExportType<'_>> for wasm_exporttype_t {
    fn from(export: aotc_loader::ExportType<'_>) -> Self {
        let name = Vector::from_vec(export.name().as_bytes().to_vec());
        Self { name, ty: Box::new(export.ty().into()) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_exporttype_new(
    name: &mut wasm_byte_vec_t,
    ty: Box<wasm_externtype_t>,
) -> Box<wasm_exporttype_t> {
    Box::new(wasm_exporttype_t { name: core::mem::take(name), ty })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_exporttype_delete(ty: Option<Box<wasm_exporttype_t>>) {
    drop(ty);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_exporttype_copy(ty: &wasm_exporttype_t) -> Box<wasm_exporttype_t> {
    Box::new(ty.clone())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_exporttype_name(ty: &wasm_exporttype_t) -> &wasm_byte_vec_t {
    &ty.name
}

#[unsafe(no_mangle)]
extern "C" fn wasm_exporttype_type(ty: &wasm_exporttype_t) -> &wasm_externtype_t {
    &ty.ty
}
