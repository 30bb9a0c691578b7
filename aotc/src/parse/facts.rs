//! What the code of a module does as a whole: found while the bodies are validated, used to decide
//! what may be assumed.

use std::num::NonZero;

use aotc_abi::builtin::{BUILTIN_COUNT, Builtin};
use wasmparser::{FuncValidatorAllocations, FunctionBody, Operator};

use super::{Body, ConstOp, WasmModule};
use crate::error::Result;
use crate::parallel;

/// Facts about all code of a module. Vectors are by index.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Globals that an instruction sets.
    pub(crate) globals_set: Vec<bool>,
    /// Memories that an instruction grows.
    pub(crate) memories_grown: Vec<bool>,
    /// Tables that an instruction grows.
    pub(crate) tables_grown: Vec<bool>,
    /// Tables that instructions other than `call_indirect` and `table.size` use.
    pub(crate) tables_accessed: Vec<bool>,
    /// Functions that an instruction or constant references.
    pub(crate) functions_referenced: Vec<bool>,
    /// Types that `call_indirect` calls.
    pub(crate) types_called: Vec<bool>,
    /// Data segments that `memory.init` uses.
    pub(crate) data_used: Vec<bool>,
    /// Element segments that `table.init` uses.
    pub(crate) elements_used: Vec<bool>,
    /// Builtins that instructions need, besides [`Builtin::Trap`].
    pub(crate) builtins: [bool; BUILTIN_COUNT],
}

impl Facts {
    fn for_module(module: &WasmModule<'_>) -> Self {
        Self {
            globals_set: vec![false; module.globals.len()],
            memories_grown: vec![false; module.memories.len()],
            tables_grown: vec![false; module.tables.len()],
            tables_accessed: vec![false; module.tables.len()],
            functions_referenced: vec![false; module.functions.len()],
            types_called: vec![false; module.types.len()],
            data_used: vec![false; module.data.len()],
            elements_used: vec![false; module.elements.len()],
            builtins: [false; BUILTIN_COUNT],
        }
    }

    fn needs(&mut self, builtin: Builtin) {
        self.builtins[builtin as usize] = true;
    }

    fn operator(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        match *operator {
            O::GlobalSet { global_index } => self.globals_set[global_index as usize] = true,
            O::MemoryGrow { mem, .. } => {
                self.memories_grown[mem as usize] = true;
                self.needs(Builtin::MemoryGrow);
            }
            O::MemoryFill { .. } => self.needs(Builtin::MemoryFill),
            O::MemoryCopy { .. } => self.needs(Builtin::MemoryCopy),
            O::MemoryInit { data_index, .. } => {
                self.data_used[data_index as usize] = true;
                self.needs(Builtin::MemoryCopy);
            }
            O::TableGet { table } | O::TableSet { table } => {
                self.tables_accessed[table as usize] = true;
            }
            O::TableGrow { table } => {
                self.tables_grown[table as usize] = true;
                self.tables_accessed[table as usize] = true;
                self.needs(Builtin::TableGrow);
            }
            O::TableFill { table } => {
                self.tables_accessed[table as usize] = true;
                self.needs(Builtin::TableFill);
            }
            O::TableCopy { dst_table, src_table } => {
                self.tables_accessed[dst_table as usize] = true;
                self.tables_accessed[src_table as usize] = true;
                self.needs(Builtin::TableCopy);
            }
            O::TableInit { elem_index, table } => {
                self.tables_accessed[table as usize] = true;
                self.elements_used[elem_index as usize] = true;
                self.needs(Builtin::TableInit);
            }
            O::CallIndirect { type_index, .. } => self.types_called[type_index as usize] = true,
            O::RefFunc { function_index } => {
                self.functions_referenced[function_index as usize] = true;
            }
            _ => {}
        }
    }

    fn merge(&mut self, other: &Self) {
        fn or(into: &mut [bool], from: &[bool]) {
            for (into, from) in into.iter_mut().zip(from) {
                *into |= from;
            }
        }
        or(&mut self.globals_set, &other.globals_set);
        or(&mut self.memories_grown, &other.memories_grown);
        or(&mut self.tables_grown, &other.tables_grown);
        or(&mut self.tables_accessed, &other.tables_accessed);
        or(&mut self.functions_referenced, &other.functions_referenced);
        or(&mut self.types_called, &other.types_called);
        or(&mut self.data_used, &other.data_used);
        or(&mut self.elements_used, &other.elements_used);
        or(&mut self.builtins, &other.builtins);
    }

    /// Global initialisers reference functions too; so do segments, but only some of them matter,
    /// which the plan decides.
    fn globals(&mut self, module: &WasmModule<'_>) {
        let globals = module.globals.iter().enumerate();
        let globals = globals.filter(|(index, _)| module.is_live_global(*index));
        let tables = module.tables.iter().enumerate();
        let tables = tables.filter(|(index, _)| module.is_live_table(*index));
        let inits = globals.filter_map(|(_, global)| global.init.as_ref());
        let inits = inits.chain(tables.filter_map(|(_, table)| table.init.as_ref()));
        for op in inits.flat_map(|expr| &expr.0) {
            if let ConstOp::RefFunc(function) = op {
                self.functions_referenced[function.index()] = true;
            }
        }
    }
}

/// The facts of the code that is reached.
pub(super) fn of_live(module: &WasmModule<'_>) -> Result<Facts> {
    let mut facts = Facts::for_module(module);
    for (index, body) in module.bodies.iter().enumerate() {
        if module.is_live_function(module.imported_functions as usize + index) {
            for operator in body.get_operators_reader()? {
                facts.operator(&operator?);
            }
        }
    }
    facts.globals(module);
    Ok(facts)
}

/// Validates the bodies, puts them into the module, and collects the facts.
pub(super) fn collect<'a>(
    module: &WasmModule<'a>,
    bodies: Vec<Body<'a>>,
    threads: NonZero<usize>,
) -> Result<(Vec<FunctionBody<'a>>, Facts)> {
    let kept = bodies.iter().map(|(_, body)| body.clone()).collect();
    let results = parallel::map(
        bodies,
        threads,
        || (FuncValidatorAllocations::default(), Facts::for_module(module)),
        |(allocations, facts), (to_validate, body)| -> Result<()> {
            let mut validator = to_validate.into_validator(std::mem::take(allocations));
            let mut reader = body.get_binary_reader();
            validator.read_locals(&mut reader)?;
            let mut operators = wasmparser::OperatorsReader::new(reader);
            while !operators.eof() {
                let (operator, offset) = operators.read_with_offset()?;
                validator.op(offset, &operator)?;
                facts.operator(&operator);
            }
            operators.finish()?;
            *allocations = validator.into_allocations();
            Ok(())
        },
    );
    let (results, states) = results;
    for result in results {
        // The first in the order of the file, whatever thread found it.
        result?;
    }
    let mut facts = Facts::for_module(module);
    for (_, other) in states {
        facts.merge(&other);
    }
    facts.globals(module);
    Ok((kept, facts))
}
