//! What each import means: an item of another module, or an import of the merged module.

use std::collections::HashMap;
use std::fmt;

use aotc_abi::index::DefinedFuncIndex;
use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasmparser::{Parser, Payload};

use super::layout::Layout;
use super::{Part, in_file, instantiation_order};
use crate::bind::{self, Binding, BoundFunction};
use crate::error::{Error, Result};
use crate::parse::{Export, FuncType, Import, Memory, WasmModule};

/// What the imports of all parts mean.
pub(super) struct Resolution<'a> {
    /// What is still imported, in the order of first use: the main module's come first.
    pub(super) imports: Vec<StillImported<'a>>,
    /// Bound functions.
    pub(super) bound: Vec<StillBound<'a>>,
    /// By part and kind: the items of its imports, in the order of the index space.
    items: Vec<[Vec<Item>; 4]>,
}

/// An import of the merged module.
pub(super) struct StillImported<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) ty: ExternType,
}

/// An import of some part that is a C function.
pub(super) struct StillBound<'a> {
    pub(super) binding: &'a Binding,
    pub(super) ty: FuncType,
}

/// What an index of an index space means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An import of the merged module, by its number in [`Resolution::imports`].
    Import(usize),
    /// A function that an import is bound to, by its number in [`Resolution::bound`].
    Bound(usize),
    /// What a part defines, by the index in the part.
    Defined { part: usize, index: u32 },
}

/// The type of something that can be imported. Shown as the loader shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExternType {
    Func(FuncType),
    Table { element: ValType, limits: Limits },
    Memory(Limits),
    Global { content: ValType, mutable: bool },
}

/// Minimum and maximum of a table, in elements, or a memory, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) min: u64,
    pub(super) max: Option<u64>,
}

/// Finds what the imports of `parts` mean, and checks their types.
///
/// # Errors
/// [`Error::In`] with the part whose import has the wrong type or comes too early.
pub(super) fn resolve<'a>(parts: &[Part<'a>], bindings: &'a [Binding]) -> Result<Resolution<'a>> {
    let exports = parts.iter().map(|part| {
        part.module.exports.iter().map(|export| (export.name, *export)).collect::<HashMap<_, _>>()
    });
    let mut resolver = Resolver {
        parts,
        bindings,
        exports: exports.collect(),
        resolution: Resolution {
            imports: Vec::new(),
            bound: Vec::new(),
            items: parts.iter().map(|_| Default::default()).collect(),
        },
    };
    for part in instantiation_order(parts.len()) {
        for number in 0..parts[part].module.imports.len() {
            let import = parts[part].module.imports[number];
            let item = resolver.import(part, &import).map_err(|message| {
                let offset = import_offset(parts[part].wasm, number);
                in_file(parts[part].input, Error::Link { message, offset })
            })?;
            resolver.resolution.items[part][import.kind as usize].push(item);
        }
    }
    Ok(resolver.resolution.in_order_of_use(parts))
}

struct Resolver<'p, 'a> {
    parts: &'p [Part<'a>],
    bindings: &'a [Binding],
    /// By part: its exports by their names.
    exports: Vec<HashMap<&'a str, Export<'a>>>,
    resolution: Resolution<'a>,
}

impl<'a> Resolver<'_, 'a> {
    /// What an import of `part` means, or what is wrong with it.
    fn import(&mut self, part: usize, import: &Import<'a>) -> std::result::Result<Item, String> {
        let expected = type_of(&self.parts[part].module, import.kind, import.index);
        let named = (1..self.parts.len())
            .find(|&other| self.parts[other].input.name == import.module)
            .and_then(|other| Some((other, *self.exports[other].get(import.name)?)));
        match named {
            // What a module imports under its own name is another's: it may wrap it.
            Some((other, _)) if other == part => self.unsatisfied(import, expected),
            Some((other, _)) if part != 0 && other > part => Err(format!(
                "`{}::{}` is an export of {}, which is linked after this module: name it before",
                import.module, import.name, self.parts[other].input.file
            )),
            Some((other, export)) => self.satisfy(part, import, &expected, other, &export),
            None => self.unsatisfied(import, expected),
        }
    }

    /// The item that `export` of the part `other` gives to an import.
    fn satisfy(
        &mut self,
        part: usize,
        import: &Import<'a>,
        expected: &ExternType,
        other: usize,
        export: &Export<'a>,
    ) -> std::result::Result<Item, String> {
        let item = self.resolution.item(self.parts, other, export.kind, export.index);
        let found = self.resolution.type_of(self.parts, item, export.kind);
        let fits = match item {
            Item::Defined { .. } | Item::Bound(_) => expected.accepts(&found),
            // What is imported must fit both.
            Item::Import(number) => match found.narrowed(expected) {
                Some(narrowed) => {
                    self.resolution.imports[number].ty = narrowed;
                    true
                }
                None => false,
            },
        };
        if fits {
            return Ok(item);
        }
        let (importer, exporter) = (self.parts[part].input.file, self.parts[other].input.file);
        Err(format!(
            "incompatible import type for `{}::{}`: {importer} expects {} `{expected}`, {exporter} exports {} `{found}`",
            import.module,
            import.name,
            expected.kind(),
            found.kind()
        ))
    }

    /// What an import means that no module satisfies.
    fn unsatisfied(
        &mut self,
        import: &Import<'a>,
        ty: ExternType,
    ) -> std::result::Result<Item, String> {
        let is_it = |it: &&Binding| it.module == import.module && it.name == import.name;
        let Some(binding) = self.bindings.iter().find(is_it) else {
            return Ok(self.still_import(import, ty));
        };
        let ty = match ty {
            ExternType::Func(ty) if bind::has_prototype(&ty) => ty,
            ty => {
                return Err(format!(
                    "`{}::{}` cannot be bound to `{}`: {} `{ty}` has no C prototype; expected a function of i32, i64, f32 and f64 with at most one result",
                    import.module,
                    import.name,
                    binding.symbol,
                    ty.kind()
                ));
            }
        };
        let known =
            self.resolution.bound.iter().position(|it| it.binding == binding && it.ty == ty);
        Ok(Item::Bound(known.unwrap_or_else(|| {
            self.resolution.bound.push(StillBound { binding, ty });
            self.resolution.bound.len() - 1
        })))
    }

    /// An import that stays one, together with another of the same names if one item can be both.
    fn still_import(&mut self, import: &Import<'a>, ty: ExternType) -> Item {
        for (number, other) in self.resolution.imports.iter_mut().enumerate() {
            if (other.module, other.name) != (import.module, import.name) {
                continue;
            }
            if let Some(narrowed) = other.ty.narrowed(&ty) {
                other.ty = narrowed;
                return Item::Import(number);
            }
        }
        let (module, name) = (import.module, import.name);
        self.resolution.imports.push(StillImported { module, name, ty });
        Item::Import(self.resolution.imports.len() - 1)
    }
}

impl<'a> Resolution<'a> {
    /// What `index` of the index space `kind` of `part` means.
    pub(super) fn item(
        &self,
        parts: &[Part<'_>],
        part: usize,
        kind: ExternKind,
        index: u32,
    ) -> Item {
        if index >= imported(&parts[part].module, kind) {
            return Item::Defined { part, index };
        }
        self.items[part][kind as usize][index as usize]
    }

    fn type_of(&self, parts: &[Part<'_>], item: Item, kind: ExternKind) -> ExternType {
        match item {
            Item::Import(number) => self.imports[number].ty.clone(),
            Item::Bound(number) => ExternType::Func(self.bound[number].ty.clone()),
            Item::Defined { part, index } => type_of(&parts[part].module, kind, index),
        }
    }

    /// The same with the imports in the order in which the parts name them, so that the main module's come first.
    fn in_order_of_use(mut self, parts: &[Part<'_>]) -> Self {
        let mut order: Vec<usize> = Vec::new();
        let mut places = vec![None; self.imports.len()];
        for (part, items) in parts.iter().zip(&mut self.items) {
            for import in &part.module.imports {
                let item = &mut items[import.kind as usize][import.index as usize];
                if let Item::Import(number) = item {
                    *number = *places[*number].get_or_insert_with(|| {
                        order.push(*number);
                        order.len() - 1
                    });
                }
            }
        }
        let mut imports: Vec<_> = self.imports.into_iter().map(Some).collect();
        let take = |number: usize| imports[number].take().expect("each has one place");
        let imports = order.into_iter().map(take).collect();
        Self { imports, bound: self.bound, items: self.items }
    }

    /// The bound functions with their places in the merged module.
    pub(super) fn bound_functions(&self, layout: &Layout<'_>) -> Vec<BoundFunction> {
        let imported = self.imports.iter();
        let imported =
            imported.filter(|import| import.ty.extern_kind() == ExternKind::Func).count() as u32;
        let function = |(number, bound): (usize, &StillBound<'_>)| BoundFunction {
            binding: bound.binding.clone(),
            function: DefinedFuncIndex(layout.bound(number) - imported),
        };
        self.bound.iter().enumerate().map(function).collect()
    }
}

/// Number of imports in the index space `kind`.
pub(super) fn imported(module: &WasmModule<'_>, kind: ExternKind) -> u32 {
    match kind {
        ExternKind::Func => module.imported_functions,
        ExternKind::Table => module.imported_tables,
        ExternKind::Memory => module.imported_memories,
        ExternKind::Global => module.imported_globals,
    }
}

/// The declared type of an item of a module.
fn type_of(module: &WasmModule<'_>, kind: ExternKind, index: u32) -> ExternType {
    let place = index as usize;
    match kind {
        ExternKind::Func => ExternType::Func(module.types[module.functions[place].index()].clone()),
        ExternKind::Table => {
            let table = &module.tables[place];
            let limits = Limits { min: table.min, max: table.max };
            ExternType::Table { element: table.element, limits }
        }
        ExternKind::Memory => {
            let Memory { min, max } = module.memories[place];
            ExternType::Memory(Limits { min, max })
        }
        ExternKind::Global => {
            let global = &module.globals[place];
            ExternType::Global { content: global.ty, mutable: global.mutable }
        }
    }
}

impl ExternType {
    pub(super) fn extern_kind(&self) -> ExternKind {
        match self {
            Self::Func(_) => ExternKind::Func,
            Self::Table { .. } => ExternKind::Table,
            Self::Memory(_) => ExternKind::Memory,
            Self::Global { .. } => ExternKind::Global,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Func(_) => "function",
            Self::Table { .. } => "table",
            Self::Memory(_) => "memory",
            Self::Global { .. } => "global",
        }
    }

    /// Import matching of the specification.
    fn accepts(&self, found: &Self) -> bool {
        match (self, found) {
            (Self::Memory(expected), Self::Memory(found)) => expected.accept(*found),
            (
                Self::Table { element: expected_element, limits: expected },
                Self::Table { element, limits: found },
            ) => expected_element == element && expected.accept(*found),
            (expected, found) => expected == found,
        }
    }

    /// The type of imports that accepts what both accept; `None` if nothing can be both.
    fn narrowed(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Memory(first), Self::Memory(second)) => {
                Some(Self::Memory(first.narrowed(*second)?))
            }
            (
                Self::Table { element, limits: first },
                Self::Table { element: other_element, limits: second },
            ) if element == other_element => {
                Some(Self::Table { element: *element, limits: first.narrowed(*second)? })
            }
            (first, second) => (first == second).then(|| first.clone()),
        }
    }
}

impl Limits {
    fn accept(self, found: Self) -> bool {
        let below = match (self.max, found.max) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(max), Some(found)) => found <= max,
        };
        found.min >= self.min && below
    }

    fn narrowed(self, other: Self) -> Option<Self> {
        let min = self.min.max(other.min);
        let max = [self.max, other.max].into_iter().flatten().min();
        max.is_none_or(|max| min <= max).then_some(Self { min, max })
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => ty.fmt(f),
            Self::Table { element, limits } => write!(f, "(table {limits} {element})"),
            Self::Memory(limits) => write!(f, "(memory {limits})"),
            Self::Global { content, mutable: true } => write!(f, "(global (mut {content}))"),
            Self::Global { content, mutable: false } => write!(f, "(global {content})"),
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.min)?;
        self.max.map_or(Ok(()), |max| write!(f, " {max}"))
    }
}

/// Where import `number` stands in a module, in bytes.
fn import_offset(wasm: &[u8], number: usize) -> u64 {
    let mut payloads = Parser::new(0).parse_all(wasm).map_while(std::result::Result::ok);
    let section = payloads.find_map(|payload| match payload {
        Payload::ImportSection(reader) => Some(reader),
        _ => None,
    });
    let imports = section.into_iter().flat_map(|section| section.into_imports_with_offsets());
    imports.map_while(std::result::Result::ok).nth(number).map_or(0, |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(min: u64, max: Option<u64>) -> Limits {
        Limits { min, max }
    }

    #[test]
    fn limits_match_as_in_the_loader() {
        assert!(limits(1, None).accept(limits(2, Some(3))));
        assert!(limits(1, Some(3)).accept(limits(1, Some(3))));
        assert!(!limits(1, Some(3)).accept(limits(1, None)));
        assert!(!limits(1, Some(3)).accept(limits(1, Some(4))));
        assert!(!limits(2, None).accept(limits(1, None)));
    }

    #[test]
    fn narrowed_limits_accept_what_both_accept() {
        let all: Vec<Limits> = (0..4)
            .flat_map(|min| (0..4).map(Some).chain([None]).map(move |max| limits(min, max)))
            .filter(|limits| limits.max.is_none_or(|max| limits.min <= max))
            .collect();
        for (&first, &second) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            for &found in &all {
                let both = first.accept(found) && second.accept(found);
                let narrowed = first.narrowed(second).is_some_and(|both| both.accept(found));
                assert_eq!(both, narrowed, "{first}, {second}: {found}");
            }
        }
    }
}
