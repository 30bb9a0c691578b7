//! The start-up routine: what could not be done at compile time, in the order of the specification.

use aotc_abi::builtin::Builtin;
use aotc_abi::index::{DataIndex, GlobalIndex, MemoryIndex};
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Translator;
use crate::parse::ConstExpr;
use crate::plan::StartUpStep;

impl Translator<'_, '_> {
    /// Translates the steps of the plan.
    pub(super) fn start_up(&mut self) {
        self.check_stack();
        for step in &self.env.plan.start_up {
            self.start_up_step(step);
        }
        self.builder.ins().return_(&[]);
    }

    fn start_up_step(&mut self, step: &StartUpStep) {
        match step {
            StartUpStep::InitGlobal { global, value } => {
                let value = self.const_expr(value);
                self.global_set(GlobalIndex(*global), value);
            }
            StartUpStep::FillTable { table, value } => {
                let value = self.const_expr(value);
                let length = self.env.module.tables[*table as usize].min;
                let start = self.builder.ins().iconst(types::I64, 0);
                let length = self.builder.ins().iconst(types::I64, length as i64);
                let table = self.index_arg(*table);
                self.call_builtin(Builtin::TableFill, &[table, start, value, length]);
            }
            StartUpStep::ElementSegment { segment, table, offset } => {
                let items = self.env.module.elements[*segment as usize].items.len();
                let (to, from, length) = self.whole_segment(offset, items);
                self.init_table(*table, *segment, to, from, length);
                let plan = &self.env.plan.elem_segments[*segment as usize];
                self.drop_segment(plan.length.expect("a used segment has a length"));
            }
            StartUpStep::DataSegment { segment, memory, offset } => {
                let bytes = self.env.module.data[*segment as usize].bytes.len();
                let (to, from, length) = self.whole_segment(offset, bytes);
                let index = DataIndex(*segment);
                self.init_memory(MemoryIndex(*memory), index, to, from, length);
                self.data_drop(index);
            }
            StartUpStep::Call(function) => {
                let ty = self.env.module.function_type(*function);
                self.call_function(*function, ty, &[]);
            }
        }
    }

    /// Target, source and length of the use of a whole segment.
    fn whole_segment(&mut self, offset: &ConstExpr, length: usize) -> (Value, Value, Value) {
        let offset = self.const_expr(offset);
        let to = self.builder.ins().uextend(types::I64, offset);
        let from = self.builder.ins().iconst(types::I64, 0);
        let length = self.builder.ins().iconst(types::I64, length as i64);
        (to, from, length)
    }
}
