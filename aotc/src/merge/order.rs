//! Segments and start functions in the order in which separate instantiations would get to them.
//!
//! Of one module, WebAssembly applies the element segments, then the data segments, then calls the start function; a
//! segment that does not fit stops all that. Several modules one after the other:
//!
//! ```text
//!   separate   E1 D1 S1   E2 D2 S2   ...   Em Dm Sm
//!   merged     E1 E2 .. Em   D1 D2 .. Dm   S          what a module can say; S is one function
//! ```
//!
//! What can be told apart is deferred: its segments become passive ones, which `S` applies and drops as active ones are,
//! in their turn. A segment may stay active
//!
//! - while nothing before it in the separate order is deferred or is a start function, and no element segment is
//!   moved before a data segment unless both certainly fit;
//! - or if all segments of its module certainly fit, and it fills what its own module defines. Before its module's turn
//!   nobody has that, and nobody gets it if things end before.

use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasm_encoder::{Function, Instruction};

use super::constant::instruction;
use super::encode::Merge;
use super::instantiation_order;
use super::resolve::Item;
use crate::error::Result;
use crate::parse::{ConstExpr, ConstOp, SegmentMode};

/// What happens when.
pub(super) struct Order {
    /// By part: which of its element segments are deferred.
    pub(super) elements_deferred: Vec<Vec<bool>>,
    /// By part: which of its data segments are deferred.
    pub(super) data_deferred: Vec<Vec<bool>>,
    /// What is called in the end.
    pub(super) start: Start,
}

/// The start function of the merged module.
pub(super) enum Start {
    /// There is none.
    None,
    /// That of a part, by its index in the merged module.
    Of(u32),
    /// This one, which stands in no part.
    Made(Function),
}

impl Order {
    /// # Errors
    /// [`crate::Error::Limit`] if a constant becomes too long.
    pub(super) fn new(merge: &Merge<'_>) -> Result<Self> {
        let parts = merge.parts;
        let facts =
            (0..parts.len()).map(|part| Facts::new(merge, part)).collect::<Result<Vec<_>>>()?;
        let none = |count: fn(&crate::parse::WasmModule<'_>) -> usize| {
            parts.iter().map(|part| vec![false; count(&part.module)]).collect::<Vec<_>>()
        };
        let mut elements_deferred = none(|module| module.elements.len());
        let mut data_deferred = none(|module| module.data.len());
        // Something before is a start function or is deferred.
        let mut waiting = false;
        // Data segments before, and whether all certainly fit.
        let (mut any_data, mut data_fits) = (false, true);
        let mut starts = Vec::new();
        for part in instantiation_order(parts.len()) {
            let module = &parts[part].module;
            let fact = &facts[part];
            let elements_early = any_data && fact.any_elements && !(data_fits && fact.elements_fit);
            if waiting || elements_early {
                let all_fit = fact.elements_fit && fact.data_fit;
                for (deferred, own) in elements_deferred[part].iter_mut().zip(&fact.elements_own) {
                    *deferred = own.is_some_and(|own| !(all_fit && own));
                    waiting |= *deferred;
                }
                for (deferred, own) in data_deferred[part].iter_mut().zip(&fact.data_own) {
                    *deferred = own.is_some_and(|own| !(all_fit && own));
                    waiting |= *deferred;
                }
            }
            any_data |= fact.data_own.iter().any(Option::is_some);
            data_fits &= fact.data_fit;
            if let Some(start) = module.start {
                starts.push((part, merge.index(part, ExternKind::Func, start.0)));
                waiting = true;
            }
        }
        let any_deferred = elements_deferred.iter().chain(&data_deferred).flatten().any(|&it| it);
        let mut order = Self { elements_deferred, data_deferred, start: Start::None };
        order.start = match starts[..] {
            [] if !any_deferred => Start::None,
            [(_, start)] if !any_deferred => Start::Of(start),
            _ => Start::Made(order.make_start(merge, &starts)?),
        };
        Ok(order)
    }

    /// Applies what is deferred, and calls the start functions, `starts` by part.
    fn make_start(&self, merge: &Merge<'_>, starts: &[(usize, u32)]) -> Result<Function> {
        let mut function = Function::new([]);
        let range = |function: &mut Function, part, offset: &ConstExpr, length: usize| {
            for op in &merge.constant(part, offset)?.0 {
                function.instruction(&instruction(ValType::I32, op));
            }
            function.instruction(&Instruction::I32Const(0));
            function.instruction(&Instruction::I32Const(length as i32));
            Ok::<_, crate::Error>(())
        };
        for part in instantiation_order(merge.parts.len()) {
            let module = &merge.parts[part].module;
            for (index, segment) in module.elements.iter().enumerate() {
                let SegmentMode::Active { target, offset } = &segment.mode else { continue };
                if self.elements_deferred[part][index] {
                    range(&mut function, part, offset, segment.items.len())?;
                    let elem_index = merge.layout.element(part, index as u32);
                    let table = merge.index(part, ExternKind::Table, target.0);
                    function.instruction(&Instruction::TableInit { elem_index, table });
                    function.instruction(&Instruction::ElemDrop(elem_index));
                }
            }
            for (index, segment) in module.data.iter().enumerate() {
                let SegmentMode::Active { target, offset } = &segment.mode else { continue };
                if self.data_deferred[part][index] {
                    range(&mut function, part, offset, segment.bytes.len())?;
                    let data_index = merge.layout.data(part, index as u32);
                    let mem = merge.index(part, ExternKind::Memory, target.0);
                    function.instruction(&Instruction::MemoryInit { mem, data_index });
                    function.instruction(&Instruction::DataDrop(data_index));
                }
            }
            for (_, start) in starts.iter().filter(|&&(of, _)| of == part) {
                function.instruction(&Instruction::Call(*start));
            }
        }
        function.instruction(&Instruction::End);
        Ok(function)
    }
}

/// What is known of the active segments of a part.
struct Facts {
    any_elements: bool,
    /// Whether all its element segments certainly fit.
    elements_fit: bool,
    data_fit: bool,
    /// By element segment, if it is active: whether it fills a table that the part defines.
    elements_own: Vec<Option<bool>>,
    data_own: Vec<Option<bool>>,
}

impl Facts {
    fn new(merge: &Merge<'_>, part: usize) -> Result<Self> {
        let module = &merge.parts[part].module;
        let mut facts = Self {
            any_elements: false,
            elements_fit: true,
            data_fit: true,
            elements_own: Vec::new(),
            data_own: Vec::new(),
        };
        let is_own = |kind, index| matches!(merge.item(part, kind, index), Item::Defined { part: of, .. } if of == part);
        for segment in &module.elements {
            facts.elements_own.push(match &segment.mode {
                SegmentMode::Active { target, offset } => {
                    let offset = merge.constant(part, offset)?;
                    let elements_min = module.tables[target.index()].min;
                    facts.any_elements = true;
                    facts.elements_fit &= fits(&offset, segment.items.len(), elements_min);
                    Some(is_own(ExternKind::Table, target.0))
                }
                SegmentMode::Passive | SegmentMode::Declared => None,
            });
        }
        for segment in &module.data {
            facts.data_own.push(match &segment.mode {
                SegmentMode::Active { target, offset } => {
                    let offset = merge.constant(part, offset)?;
                    let bytes_min = module.memories[target.index()].min << 16;
                    facts.data_fit &= fits(&offset, segment.bytes.len(), bytes_min);
                    Some(is_own(ExternKind::Memory, target.0))
                }
                SegmentMode::Passive | SegmentMode::Declared => None,
            });
        }
        Ok(facts)
    }
}

/// Whether a segment of this length certainly fits something that has at least `min`: nothing ever shrinks.
fn fits(offset: &ConstExpr, length: usize, min: u64) -> bool {
    match offset.0[..] {
        [ConstOp::I32(offset)] => u64::from(offset as u32) + length as u64 <= min,
        _ => false,
    }
}
