//! What is known of a module without making an instance.

use aotc_abi::meta::{CodeKind, ExternKind, flags};

use super::{Module, item_type};
use crate::prelude::*;
use crate::types::ExternType;

/// A place among a module's exports: finds an instance's export without its name. See
/// [`Module::get_export_index`].
#[derive(Clone, Copy, Debug)]
pub struct ModuleExport {
    /// Number of the module.
    pub(crate) module: u64,
    pub(crate) kind: ExternKind,
    /// In the index space of its kind.
    pub(crate) index: u32,
}

/// What an instance of a module needs besides its imports. See [`Module::resources_required`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourcesRequired {
    /// Number of memories that the module defines.
    pub num_memories: u32,
    /// The largest of their first sizes, in pages of 64 KiB; `None` if there are none.
    pub max_initial_memory_size: Option<u64>,
    /// Number of tables that the module defines.
    pub num_tables: u32,
    /// The largest of their first sizes, in elements; `None` if there are none.
    pub max_initial_table_size: Option<u64>,
}

/// A function that a module defines, and where its code is. See [`Module::functions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFunction {
    /// Place in the module's functions, imports first.
    pub index: u32,
    /// The name in the module's name section.
    pub name: Option<String>,
    /// Place of its first byte in `Module::text`.
    pub offset: usize,
    /// Length of its code, in bytes.
    pub len: usize,
}

impl Module {
    /// Where the export `name` is, for [`crate::Instance::get_module_export`].
    ///
    /// ```
    /// # use aotc_loader::{Engine, Instance, Module, Store};
    /// # fn main() -> anyhow::Result<()> {
    /// # let engine = Engine::default();
    /// # let text = br#"(module (func (export "seven") (result i32) (i32.const 7)))"#;
    /// # let image = aotc::compile(text, aotc::Emit::Image, &aotc::Options::default())?;
    /// let module = Module::from_bytes(&engine, &image)?;
    /// let seven = module.get_export_index("seven").expect("an export");
    ///
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let export = instance.get_module_export(&mut store, &seven).expect("of its own module");
    /// let seven = export.into_func().expect("a function").typed::<(), i32>(&store)?;
    /// assert_eq!(seven.call(&mut store, ())?, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_export_index(&self, name: &str) -> Option<ModuleExport> {
        let (_, export) = self.inner.data.export(name)?;
        let kind = ExternKind::from_u32(export.kind).expect("checked export kind");
        Some(ModuleExport { module: self.inner.id, kind, index: export.index })
    }

    /// The type of the export `name`.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let (_, export) = self.inner.data.export(name)?;
        Some(item_type(&self.inner.data, &self.inner.types, export.kind, export.index))
    }

    /// What an instance needs besides its imports.
    pub fn resources_required(&self) -> ResourcesRequired {
        let data = &self.inner.data;
        let defined = |bits: u32| bits & flags::IMPORTED == 0;
        let memories = data.memories().iter().filter(|memory| defined(memory.flags));
        let tables = data.tables().iter().filter(|table| defined(table.flags));
        let memories: Vec<u64> = memories.map(|memory| memory.min).collect();
        let tables: Vec<u64> = tables.map(|table| table.min).collect();
        ResourcesRequired {
            num_memories: memories.len() as u32,
            max_initial_memory_size: memories.into_iter().max(),
            num_tables: tables.len() as u32,
            max_initial_table_size: tables.into_iter().max(),
        }
    }

    /// The functions that the module defines and that have code, in the order of their code; functions that
    /// nothing can call have none.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction> + '_ {
        let data = &self.inner.data;
        let ranges = self
            .inner
            .code_in_order()
            .filter(|range| range.kind == CodeKind::Function as u32 && range.bytes > 0);
        let ranges: Vec<_> = ranges.collect();
        let text_offset = self.inner.text_offsets();
        ranges.into_iter().map(move |range| {
            let name = data.function_name(range.index);
            ModuleFunction {
                index: range.index,
                name: (!name.is_empty()).then(|| name.to_owned()),
                offset: text_offset(range.code),
                len: range.bytes as usize,
            }
        })
    }

    /// From places in `Module::text` to offsets in the wasm file, in the order of the code. An entry holds up to the next. It is
    /// exact for every instruction that can trap, and for the last byte of every call; between two of these, the entry of
    /// the second may begin before it. `None` if the module was compiled without.
    pub fn address_map(&self) -> Option<impl Iterator<Item = (usize, Option<u32>)> + '_> {
        let inner = &self.inner;
        inner.data.code_ranges().iter().find_map(|range| inner.data.address_map(&range).next())?;
        let text_offset = inner.text_offsets();
        Some(inner.code_in_order().flat_map(move |range| {
            let start = text_offset(range.code);
            let map = inner.data.address_map(&range);
            map.map(move |(code, wasm)| (start + code as usize, Some(wasm)))
        }))
    }
}
