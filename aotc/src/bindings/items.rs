//! What a program sees of a module: imports and exports under identifiers of the program's language.

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::ExternKind;

use super::{Identifiers, in_comment};
use crate::parse::{Export, Import, WasmModule};

/// What a reactor is made ready by.
const INITIALIZE: &str = "_initialize";
/// What a command is started by.
const START: &str = "_start";
/// The module name under which WASI's functions are imported.
pub(super) const WASI: &str = "wasi_snapshot_preview1";

/// An import or export.
pub(super) struct Item<'a> {
    /// What the program calls it.
    pub(super) identifier: String,
    /// The module's name of an import.
    pub(super) from: &'a str,
    pub(super) name: &'a str,
    pub(super) kind: ExternKind,
    pub(super) index: u32,
}

impl Item<'_> {
    /// What it is called in the documentation.
    pub(super) fn title(&self) -> String {
        match self.from {
            "" => format!("`{}`", in_comment(self.name)),
            from => format!("`{}` of `{}`", in_comment(self.name), in_comment(from)),
        }
    }
}

/// The exports, with identifiers of `names`.
pub(super) fn exports<'a>(module: &'a WasmModule<'a>, mut names: Identifiers) -> Vec<Item<'a>> {
    let mut item = |export: &Export<'a>| Item {
        identifier: names.lower(export.name),
        from: "",
        name: export.name,
        kind: export.kind,
        index: export.index,
    };
    module.exports.iter().map(&mut item).collect()
}

/// Those of the imports that are `asked` for, with identifiers of `names`; those of the same names and type are one.
pub(super) fn imports<'a>(
    module: &'a WasmModule<'a>,
    asked: &[&Import<'a>],
    mut names: Identifiers,
) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Vec::new();
    for import in asked {
        let same = |item: &&Item<'_>| (item.from, item.name) == (import.module, import.name);
        let twice = items.iter().filter(same).any(|item| {
            item.kind == import.kind
                && (item.kind != ExternKind::Func
                    || module.function_type(FuncIndex(item.index))
                        == module.function_type(FuncIndex(import.index)))
        });
        if twice {
            continue;
        }
        let several_modules = asked.iter().any(|other| other.module != import.module);
        let name = match several_modules {
            true => format!("{}.{}", import.module, import.name),
            false => import.name.to_owned(),
        };
        items.push(Item {
            identifier: names.lower(&name),
            from: import.module,
            name: import.name,
            kind: import.kind,
            index: import.index,
        });
    }
    items
}

/// Whether the module is a reactor that has to be made ready.
pub(super) fn calls_initialize(module: &WasmModule<'_>, exports: &[Item<'_>]) -> bool {
    let func = |export: &&Item<'_>| export.kind == ExternKind::Func && export.name == INITIALIZE;
    let is_command = exports.iter().any(|export| export.name == START);
    !is_command
        && exports.iter().find(func).is_some_and(|export| {
            let ty = module.function_type(FuncIndex(export.index));
            ty.params.is_empty() && ty.results.is_empty()
        })
}

/// Limits of a table or memory, in words.
pub(super) fn limits(min: u64, max: Option<u64>) -> String {
    match max {
        Some(max) => format!("{min} to {max}"),
        None => format!("at least {min}"),
    }
}
