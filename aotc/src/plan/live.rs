//! What is left of a module of which only some exports are kept.
//!
//! ```text
//!   kept exports, start function, what the outside sees --> functions --> functions, globals, tables, memories, segments
//!                                                              ^------------------'
//! ```
//!
//! What nothing leads to is not in the artifact: code, contents of tables and memories, start-up steps, imported functions. Index
//! spaces stay as they are, so that everything is still called what the wasm file calls it. The facts about the code are
//! found anew, from the code that is left.
//!
//! A segment that might not fit must trap at instantiation as it always did, so its table or memory counts as reached.

use std::collections::HashSet;

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::ExternKind;
use aotc_abi::similar::near;
use aotc_abi::vmctx::MEMORY_PAGE_BITS;
use wasmparser::{MemArg, MemArgTarget, Operator};

use crate::error::{Error, Result};
use crate::parse::{ConstExpr, ConstOp, Live, SegmentMode, WasmModule};

/// Drops all exports of `module` but those in `names`, and what then is not reached any more.
///
/// # Errors
/// [`Error::Options`] for a name that is not exported.
pub(crate) fn keep(module: &mut WasmModule<'_>, names: &[String]) -> Result<()> {
    for name in names {
        if !module.exports.iter().any(|export| export.name == name) {
            return Err(unknown(module, name));
        }
    }
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    module.exports.retain(|export| names.contains(export.name));
    let live = Reach::from_roots(module).finish()?;
    module.imports.retain(|import| match import.kind {
        ExternKind::Func => live.functions[import.index as usize],
        // They can be seen from outside.
        ExternKind::Table | ExternKind::Memory | ExternKind::Global => true,
    });
    let imported = module.imported_functions as usize;
    module.bound.retain(|bound| live.functions[imported + bound.function.index()]);
    module.live = Some(live);
    module.collect_facts_of_live()
}

fn unknown(module: &WasmModule<'_>, wanted: &str) -> Error {
    let mut similar: Vec<(usize, &str)> = (module.exports.iter())
        .filter_map(|export| Some((near(wanted, export.name)?, export.name)))
        .collect();
    similar.sort_unstable();
    let names: Vec<_> = similar.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    let hint = match names.is_empty() {
        true => String::new(),
        false => format!("; there is {}", names.join(", ")),
    };
    Error::Options(format!("no export is called `{wanted}`, which is to be kept{hint}"))
}

/// What has been reached so far.
struct Reach<'m, 'a> {
    module: &'m WasmModule<'a>,
    live: Live,
    elements: Vec<bool>,
    data: Vec<bool>,
    /// Defined functions whose bodies are still to be read.
    pending: Vec<FuncIndex>,
}

impl<'m, 'a> Reach<'m, 'a> {
    fn from_roots(module: &'m WasmModule<'a>) -> Self {
        let mut reach = Self {
            module,
            live: Live {
                functions: vec![false; module.functions.len()],
                tables: vec![false; module.tables.len()],
                memories: vec![false; module.memories.len()],
                globals: vec![false; module.globals.len()],
            },
            elements: vec![false; module.elements.len()],
            data: vec![false; module.data.len()],
            pending: Vec::new(),
        };
        for export in &module.exports {
            match export.kind {
                ExternKind::Func => reach.function(export.index),
                ExternKind::Table => reach.table(export.index),
                ExternKind::Memory => reach.memory(export.index),
                ExternKind::Global => reach.global(export.index),
            }
        }
        if let Some(start) = module.start {
            reach.function(start.0);
        }
        (0..module.imported_tables).for_each(|table| reach.table(table));
        (0..module.imported_memories).for_each(|memory| reach.memory(memory));
        (0..module.imported_globals).for_each(|global| reach.global(global));
        for segment in &module.elements {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            let room = module.tables[target.index()].min;
            if !fits(offset, segment.items.len() as u64, room) {
                reach.table(target.0);
            }
        }
        for segment in &module.data {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            let room = module.memories[target.index()].min << MEMORY_PAGE_BITS;
            if !fits(offset, segment.bytes.len() as u64, room) {
                reach.memory(target.0);
            }
        }
        reach
    }

    fn finish(mut self) -> Result<Live> {
        while let Some(function) = self.pending.pop() {
            let body = function.0 - self.module.imported_functions;
            for operator in self.module.bodies[body as usize].get_operators_reader()? {
                self.operator(&operator?);
            }
        }
        Ok(self.live)
    }

    fn function(&mut self, index: u32) {
        let reached = std::mem::replace(&mut self.live.functions[index as usize], true);
        if !reached && index >= self.module.imported_functions {
            self.pending.push(FuncIndex(index));
        }
    }

    fn global(&mut self, index: u32) {
        let reached = std::mem::replace(&mut self.live.globals[index as usize], true);
        if !reached {
            self.module.globals[index as usize].init.iter().for_each(|init| self.expr(init));
        }
    }

    fn table(&mut self, index: u32) {
        if std::mem::replace(&mut self.live.tables[index as usize], true) {
            return;
        }
        let module = self.module;
        module.tables[index as usize].init.iter().for_each(|init| self.expr(init));
        for (number, segment) in module.elements.iter().enumerate() {
            if let SegmentMode::Active { target, .. } = &segment.mode
                && target.0 == index
            {
                self.elements(number as u32);
            }
        }
    }

    fn memory(&mut self, index: u32) {
        if std::mem::replace(&mut self.live.memories[index as usize], true) {
            return;
        }
        for (number, segment) in self.module.data.iter().enumerate() {
            if let SegmentMode::Active { target, .. } = &segment.mode
                && target.0 == index
            {
                self.data(number as u32);
            }
        }
    }

    fn elements(&mut self, index: u32) {
        if std::mem::replace(&mut self.elements[index as usize], true) {
            return;
        }
        let segment = &self.module.elements[index as usize];
        segment.items.iter().for_each(|item| self.expr(item));
        if let SegmentMode::Active { target, offset } = &segment.mode {
            self.table(target.0);
            self.expr(offset);
        }
    }

    fn data(&mut self, index: u32) {
        if std::mem::replace(&mut self.data[index as usize], true) {
            return;
        }
        if let SegmentMode::Active { target, offset } = &self.module.data[index as usize].mode {
            self.memory(target.0);
            self.expr(offset);
        }
    }

    fn expr(&mut self, expr: &ConstExpr) {
        for op in &expr.0 {
            match op {
                ConstOp::RefFunc(function) => self.function(function.0),
                ConstOp::GlobalGet(global) => self.global(global.0),
                _ => {}
            }
        }
    }

    fn access(&mut self, memarg: &MemArg) {
        match memarg.target {
            MemArgTarget::Memory(memory) => self.memory(memory),
            _ => unreachable!("other targets are not enabled"),
        }
    }

    /// Reaches what an operator names: its operands are told apart by what the list of operators calls them.
    fn operator(&mut self, operator: &Operator<'_>) {
        macro_rules! reach {
            (function_index $value:ident) => {
                self.function(*$value)
            };
            (global_index $value:ident) => {
                self.global(*$value)
            };
            (table $value:ident) => {
                self.table(*$value)
            };
            (table_index $value:ident) => {
                self.table(*$value)
            };
            (dst_table $value:ident) => {
                self.table(*$value)
            };
            (src_table $value:ident) => {
                self.table(*$value)
            };
            (mem $value:ident) => {
                self.memory(*$value)
            };
            (dst_mem $value:ident) => {
                self.memory(*$value)
            };
            (src_mem $value:ident) => {
                self.memory(*$value)
            };
            (memarg $value:ident) => {
                self.access($value)
            };
            (elem_index $value:ident) => {
                self.elements(*$value)
            };
            (data_index $value:ident) => {
                self.data(*$value)
            };
            ($other:ident $value:ident) => {{
                let _ = $value;
            }};
        }
        macro_rules! operands {
            ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
                match operator {
                    $(Operator::$op $({ $($arg),* })? => { $($(reach!($arg $arg);)*)? })*
                    _ => {}
                }
            };
        }
        wasmparser::for_each_operator!(operands);
    }
}

/// Whether a segment is known to fit.
fn fits(offset: &ConstExpr, length: u64, room: u64) -> bool {
    match offset.0[..] {
        [ConstOp::I32(offset)] => u64::from(offset as u32) + length <= room,
        _ => false,
    }
}
