//! The name section of the merged module.
//!
//! Functions of the main module keep their names, others' begin with the name of their module: `math::double`. A
//! function without a name is called by its index in its own file, which is not the one in the merged module.

use std::collections::BTreeMap;

use aotc_abi::meta::ExternKind;
use wasm_encoder::{IndirectNameMap, NameMap, NameSection};

use super::encode::Merge;
use super::order::{Order, Start};
use crate::parse::WasmModule;

pub(super) fn names(merge: &Merge<'_>, order: &Order) -> NameSection {
    let mut functions: BTreeMap<u32, String> = BTreeMap::new();
    let mut locals: BTreeMap<u32, NameMap> = BTreeMap::new();
    for (number, part) in merge.parts.iter().enumerate() {
        let module = &part.module;
        let prefix = match number {
            0 => String::new(),
            _ => format!("{}::", part.input.name),
        };
        let imported = module.imported_functions;
        for index in imported..module.functions.len() as u32 {
            let name = match module.function_name(aotc_abi::index::FuncIndex(index)) {
                "" => format!("{prefix}<wasm function {index}>"),
                name => format!("{prefix}{name}"),
            };
            functions.insert(merge.index(number, ExternKind::Func, index), name);
        }
        for (index, names) in local_names(module) {
            if (imported..module.functions.len() as u32).contains(&index) {
                locals.insert(merge.index(number, ExternKind::Func, index), names);
            }
        }
    }
    for (number, bound) in merge.resolution.bound.iter().enumerate() {
        let name = format!("{}::{}", bound.binding.module, bound.binding.name);
        functions.insert(merge.layout.bound(number), name);
    }
    if let Start::Made(_) = order.start {
        functions.insert(merge.made_start(), "<instantiation>".to_owned());
    }
    let mut section = NameSection::new();
    if let Some(name) = merge.parts[0].module.names.module {
        section.module(name);
    }
    let mut map = NameMap::new();
    functions.iter().for_each(|(&index, name)| map.append(index, name));
    section.functions(&map);
    let mut map = IndirectNameMap::new();
    locals.iter().for_each(|(&index, names)| map.append(index, names));
    section.locals(&map);
    section
}

/// Names of the locals of a module's functions, as far as they can be read.
fn local_names(module: &WasmModule<'_>) -> impl Iterator<Item = (u32, NameMap)> {
    let functions = module.names.locals.clone().into_iter().flatten().map_while(Result::ok);
    functions.map(|function| {
        let mut names = NameMap::new();
        for naming in function.names.map_while(Result::ok) {
            names.append(naming.index, naming.name);
        }
        (function.index, names)
    })
}
