//! The index spaces of the merged module.
//!
//! ```text
//!   functions, tables, memories, globals:  | imports | main's | first other's | second other's | ... | bound | start
//!   segments:                              | first other's | second other's | ... | main's
//! ```
//!
//! So memory 0, which code reaches fastest, is the main module's if it defines one and no memory is imported; and
//! segments are applied in the order of instantiation.

use std::collections::HashMap;

use aotc_abi::meta::ExternKind;

use super::resolve::{Item, Resolution, imported};
use super::{Part, instantiation_order};
use crate::parse::{FuncType, WasmModule};

/// Where everything is in the merged module.
pub(super) struct Layout<'a> {
    /// The types, each once.
    pub(super) types: Vec<&'a FuncType>,
    /// By part: the index of each of its types.
    part_types: Vec<Vec<u32>>,
    /// By import of the merged module: its index in its index space.
    imports: Vec<u32>,
    /// By part and kind: the index of the first that it defines.
    bases: Vec<[u32; 4]>,
    /// By part: the index of its first element segment.
    element_bases: Vec<u32>,
    /// By part: the index of its first data segment.
    data_bases: Vec<u32>,
    /// Number of functions of all parts, imports included.
    pub(super) functions: u32,
}

/// Kinds of items, in the order of their numbers.
pub(super) const KINDS: [ExternKind; 4] =
    [ExternKind::Func, ExternKind::Table, ExternKind::Memory, ExternKind::Global];

impl<'a> Layout<'a> {
    pub(super) fn new(parts: &'a [Part<'_>], resolution: &Resolution<'_>) -> Self {
        let mut next = [0; 4];
        let imports = resolution.imports.iter().map(|import| {
            let next = &mut next[import.ty.extern_kind() as usize];
            *next += 1;
            *next - 1
        });
        let imports = imports.collect();
        let bases = parts.iter().map(|part| {
            let base = next;
            for kind in KINDS {
                next[kind as usize] += defined(&part.module, kind);
            }
            base
        });
        let bases = bases.collect();
        let mut element_bases = vec![0; parts.len()];
        let mut data_bases = vec![0; parts.len()];
        let (mut elements, mut data) = (0, 0);
        for part in instantiation_order(parts.len()) {
            element_bases[part] = elements;
            data_bases[part] = data;
            elements += parts[part].module.elements.len() as u32;
            data += parts[part].module.data.len() as u32;
        }
        let mut types = Types::default();
        let part_types = parts
            .iter()
            .map(|part| part.module.types.iter().map(|ty| types.index(ty)).collect())
            .collect();
        // Types of imports are those of the parts, so they are known.
        let [functions, ..] = next;
        let types = types.types;
        Self { types, part_types, imports, bases, element_bases, data_bases, functions }
    }

    /// The index of the type `index` of `part`.
    pub(super) fn ty(&self, part: usize, index: u32) -> u32 {
        self.part_types[part][index as usize]
    }

    /// The index of `ty`, a type of some part.
    pub(super) fn type_index(&self, ty: &FuncType) -> Option<u32> {
        self.types.iter().position(|known| *known == ty).map(|index| index as u32)
    }

    /// The index of an item in its index space.
    pub(super) fn index_of(&self, parts: &[Part<'_>], kind: ExternKind, item: Item) -> u32 {
        match item {
            Item::Import(number) => self.imports[number],
            Item::Bound(number) => self.bound(number),
            Item::Defined { part, index } => {
                self.bases[part][kind as usize] + index - imported(&parts[part].module, kind)
            }
        }
    }

    /// The index of a bound function.
    pub(super) fn bound(&self, number: usize) -> u32 {
        self.functions + number as u32
    }

    /// The index of the element segment `index` of `part`.
    pub(super) fn element(&self, part: usize, index: u32) -> u32 {
        self.element_bases[part] + index
    }

    /// The index of the data segment `index` of `part`.
    pub(super) fn data(&self, part: usize, index: u32) -> u32 {
        self.data_bases[part] + index
    }
}

/// Number of items of a kind that a module defines.
fn defined(module: &WasmModule<'_>, kind: ExternKind) -> u32 {
    let all = match kind {
        ExternKind::Func => module.functions.len(),
        ExternKind::Table => module.tables.len(),
        ExternKind::Memory => module.memories.len(),
        ExternKind::Global => module.globals.len(),
    };
    all as u32 - imported(module, kind)
}

/// Types, each once.
#[derive(Default)]
struct Types<'a> {
    types: Vec<&'a FuncType>,
    known: HashMap<&'a FuncType, u32>,
}

impl<'a> Types<'a> {
    fn index(&mut self, ty: &'a FuncType) -> u32 {
        *self.known.entry(ty).or_insert_with(|| {
            self.types.push(ty);
            self.types.len() as u32 - 1
        })
    }
}
