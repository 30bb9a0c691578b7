//! What of a module's initialisation can be done at compile time.
//!
//! The specification initialises globals, then tables, then applies element segments, then data
//! segments, each in order, and an out-of-bounds segment stops with a trap. So segments are applied
//! here up to the first whose target, offset or contents are not known or which would trap; from there on, the
//! start-up routine goes on.

use aotc_abi::index::{FuncIndex, GlobalIndex};
use aotc_abi::target::BoundsStyle;
use aotc_abi::types::ValType;
use aotc_abi::vmctx::{MEMORY_PAGE_BITS, TABLE_INLINE_ELEMENTS_MAX};

use super::{Constant, StartUpStep};
use crate::options::Options;
use crate::parse::{ConstExpr, ConstOp, SegmentMode, WasmModule};

/// An image of memory 0 may have this many bytes that no segment fills, besides as many again as
/// are filled. A sparser one is left to the start-up routine.
const IMAGE_HOLES_BYTES_MAX: u64 = 1 << 20;

/// The state of a module before its start-up routine runs.
#[derive(Debug)]
pub(super) struct Initial {
    /// By global: initial value, if known. Imports are not.
    pub(super) globals: Vec<Option<Constant>>,
    /// By table: the functions in it, if that is known and the table is kept below the context.
    pub(super) tables: Vec<Option<Vec<Option<FuncIndex>>>>,
    /// Contents of memory 0 from `memory_start` up to the last byte that is not 0.
    pub(super) memory: Vec<u8>,
    /// The first byte of memory 0 that a segment fills.
    pub(super) memory_start: u64,
    /// Element segments that have been applied.
    pub(super) elements_applied: usize,
    /// By data segment: whether it has been applied.
    pub(super) data_applied: Vec<bool>,
    /// The rest.
    pub(super) steps: Vec<StartUpStep>,
}

impl Initial {
    /// Initialises as much as is known.
    pub(super) fn new(module: &WasmModule<'_>, options: &Options) -> Self {
        let mut initial = Self {
            globals: Vec::with_capacity(module.globals.len()),
            tables: Vec::with_capacity(module.tables.len()),
            memory: Vec::new(),
            memory_start: 0,
            elements_applied: 0,
            data_applied: vec![false; module.data.len()],
            steps: Vec::new(),
        };
        initial.init_globals(module);
        initial.init_tables(module);
        initial.apply_elements(module);
        initial.apply_data(module, options);
        initial.steps.extend(module.start.map(StartUpStep::Call));
        initial
    }

    fn init_globals(&mut self, module: &WasmModule<'_>) {
        for (index, global) in module.globals.iter().enumerate() {
            let value =
                global.init.as_ref().and_then(|init| self.evaluate(module, global.ty, init));
            if let (None, Some(init), true) = (value, &global.init, module.is_live_global(index)) {
                self.steps
                    .push(StartUpStep::InitGlobal { global: index as u32, value: init.clone() });
            }
            self.globals.push(value);
        }
    }

    fn init_tables(&mut self, module: &WasmModule<'_>) {
        for (index, table) in module.tables.iter().enumerate() {
            if !module.is_live_table(index) {
                // Nobody will look.
                self.tables.push(Some(Vec::new()));
                continue;
            }
            let imported = index < module.imported_tables as usize;
            let element = match &table.init {
                None => Some(None),
                Some(init) => reference(init),
            };
            let known = !imported && table.min <= TABLE_INLINE_ELEMENTS_MAX;
            match (element, &table.init) {
                (Some(element), _) if known => {
                    self.tables.push(Some(vec![element; table.min as usize]));
                    continue;
                }
                (_, Some(init)) => self
                    .steps
                    .push(StartUpStep::FillTable { table: index as u32, value: init.clone() }),
                (_, None) => {}
            }
            self.tables.push(None);
        }
    }

    fn apply_elements(&mut self, module: &WasmModule<'_>) {
        let mut applying = true;
        for (index, segment) in module.elements.iter().enumerate() {
            if let SegmentMode::Active { target, offset } = &segment.mode
                && module.is_live_table(target.index())
            {
                let items: Option<Vec<_>> = segment.items.iter().map(reference).collect();
                let offset_known = self.evaluate_u32(module, offset);
                let table = self.tables[target.index()].as_mut();
                applying = applying
                    && match (items, offset_known, table) {
                        (Some(items), Some(offset), Some(table)) => {
                            copy_into(table, offset as usize, &items)
                        }
                        _ => false,
                    };
                if !applying {
                    // What the table holds is not known from here on.
                    self.steps.push(StartUpStep::ElementSegment {
                        segment: index as u32,
                        table: target.0,
                        offset: offset.clone(),
                    });
                }
            }
            if applying {
                self.elements_applied = index + 1;
            }
        }
    }

    fn apply_data(&mut self, module: &WasmModule<'_>, options: &Options) {
        let mut applying = self.elements_applied == module.elements.len();
        let memory0 = module.memories.first().filter(|_| module.imported_memories == 0);
        let guarded = options.bounds_style == BoundsStyle::Guard;
        let length_bytes = memory0.filter(|_| guarded).map(|memory| memory.min << MEMORY_PAGE_BITS);
        self.memory_start = self.lowest_data(module);
        let mut filled_bytes = 0;
        for (index, segment) in module.data.iter().enumerate() {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            if !module.is_live_memory(target.index()) {
                self.data_applied[index] = true;
                continue;
            }
            filled_bytes += segment.bytes.len() as u64;
            let end_max = self.memory_start + 2 * filled_bytes + IMAGE_HOLES_BYTES_MAX;
            applying = applying
                && target.0 == 0
                && match (length_bytes, self.evaluate_u32(module, offset)) {
                    (Some(length_bytes), Some(offset)) => {
                        let limit = length_bytes.min(end_max);
                        self.write_memory(u64::from(offset), segment.bytes, limit)
                    }
                    _ => false,
                };
            self.data_applied[index] = applying;
            if !applying {
                self.steps.push(StartUpStep::DataSegment {
                    segment: index as u32,
                    memory: target.0,
                    offset: offset.clone(),
                });
            }
        }
        let used = self.memory.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.memory.truncate(used);
    }

    /// The lowest address of memory 0 that an active segment is known to fill.
    fn lowest_data(&self, module: &WasmModule<'_>) -> u64 {
        let offsets = module.data.iter().filter_map(|segment| match &segment.mode {
            SegmentMode::Active { target, offset }
                if target.0 == 0 && module.is_live_memory(0) && !segment.bytes.is_empty() =>
            {
                self.evaluate_u32(module, offset)
            }
            _ => None,
        });
        offsets.min().unwrap_or(0).into()
    }

    /// Writes `bytes` at address `offset` of memory 0, if they end within `limit`.
    fn write_memory(&mut self, offset: u64, bytes: &[u8], limit: u64) -> bool {
        let end = offset + bytes.len() as u64;
        if end > limit {
            return false;
        }
        if bytes.is_empty() {
            return true;
        }
        let start = (offset - self.memory_start) as usize;
        let end = start + bytes.len();
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        self.memory[start..end].copy_from_slice(bytes);
        true
    }

    fn evaluate_u32(&self, module: &WasmModule<'_>, expr: &ConstExpr) -> Option<u32> {
        Some(self.evaluate(module, ValType::I32, expr)?.bits as u32)
    }

    /// The value of a constant expression, if no part of it depends on the instance.
    fn evaluate(&self, module: &WasmModule<'_>, ty: ValType, expr: &ConstExpr) -> Option<Constant> {
        let mut stack: Vec<u128> = Vec::new();
        for op in &expr.0 {
            let value = match *op {
                ConstOp::I32(value) => u128::from(value as u32),
                ConstOp::I64(value) => u128::from(value as u64),
                ConstOp::F32(bits) => bits.into(),
                ConstOp::F64(bits) => bits.into(),
                ConstOp::V128(bits) => bits,
                ConstOp::RefNull => 0,
                ConstOp::RefFunc(_) => return None,
                ConstOp::GlobalGet(GlobalIndex(index)) => {
                    if module.globals[index as usize].mutable {
                        return None;
                    }
                    (*self.globals.get(index as usize)?)?.bits
                }
                ConstOp::I32Add => {
                    binary(&mut stack, |a, b| (a as u32).wrapping_add(b as u32).into())?
                }
                ConstOp::I32Sub => {
                    binary(&mut stack, |a, b| (a as u32).wrapping_sub(b as u32).into())?
                }
                ConstOp::I32Mul => {
                    binary(&mut stack, |a, b| (a as u32).wrapping_mul(b as u32).into())?
                }
                ConstOp::I64Add => {
                    binary(&mut stack, |a, b| (a as u64).wrapping_add(b as u64).into())?
                }
                ConstOp::I64Sub => {
                    binary(&mut stack, |a, b| (a as u64).wrapping_sub(b as u64).into())?
                }
                ConstOp::I64Mul => {
                    binary(&mut stack, |a, b| (a as u64).wrapping_mul(b as u64).into())?
                }
            };
            stack.push(value);
        }
        Some(Constant { ty, bits: stack.pop()? })
    }
}

fn binary(stack: &mut Vec<u128>, apply: impl FnOnce(u128, u128) -> u128) -> Option<u128> {
    let b = stack.pop()?;
    let a = stack.pop()?;
    Some(apply(a, b))
}

/// A reference that is known: null, or a function of the module.
fn reference(expr: &ConstExpr) -> Option<Option<FuncIndex>> {
    match expr.0.as_slice() {
        [ConstOp::RefNull] => Some(None),
        [ConstOp::RefFunc(function)] => Some(Some(*function)),
        _ => None,
    }
}

/// Copies `items` to `offset`, if they all fit.
fn copy_into<T: Copy>(table: &mut [T], offset: usize, items: &[T]) -> bool {
    let room = offset.checked_add(items.len()).and_then(|end| table.get_mut(offset..end));
    room.map(|room| room.copy_from_slice(items)).is_some()
}
