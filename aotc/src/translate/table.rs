//! Table instructions. Elements of funcref tables count from the table's anchor (see `aotc_abi::vmctx`).

use aotc_abi::builtin::Builtin;
use aotc_abi::index::{ElemIndex, FuncIndex, TableIndex};
use aotc_abi::trap::TrapKind;
use aotc_abi::types::ValType;
use aotc_abi::vmctx;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Translator;
use super::access::Region;
use crate::plan::{Growth, TablePlan};

impl Translator<'_, '_> {
    /// `ref.func`.
    pub(super) fn ref_func(&mut self, function: FuncIndex) -> Value {
        let record = self.env.plan.functions[function.index()].func_ref;
        let record = record.expect("a referenced function has a reference record");
        self.builder.ins().iadd_imm_s(self.ctx, i64::from(record))
    }

    /// `table.get`.
    pub(super) fn table_get(&mut self, table: TableIndex) {
        let index = self.pop();
        let address = self.element_address(table, index, TrapKind::TableOutOfBounds);
        let flags = self.record_flags(Region::TableElements);
        let element = self.builder.ins().load(types::I64, flags, address, 0);
        let value = match self.env.module.tables[table.index()].element {
            ValType::FuncRef => {
                let anchor = self.table_anchor(table);
                let record = self.builder.ins().iadd(anchor, element);
                self.null_if_zero(element, record)
            }
            _ => element,
        };
        self.push(value);
    }

    /// `table.set`.
    pub(super) fn table_set(&mut self, table: TableIndex) {
        let (index, value) = self.pop2();
        let address = self.element_address(table, index, TrapKind::TableOutOfBounds);
        let element = match self.env.module.tables[table.index()].element {
            ValType::FuncRef => {
                let anchor = self.table_anchor(table);
                let element = self.builder.ins().isub(value, anchor);
                self.null_if_zero(value, element)
            }
            _ => value,
        };
        let flags = self.record_flags(Region::TableElements);
        self.builder.ins().store(flags, element, address, 0);
    }

    /// `table.size`.
    pub(super) fn table_size(&mut self, table: TableIndex) {
        let length = self.table_length(table);
        let length = self.builder.ins().ireduce(types::I32, length);
        self.push(length);
    }

    /// `table.grow`.
    pub(super) fn table_grow(&mut self, table: TableIndex) {
        let (value, delta) = self.pop2();
        let delta = self.builder.ins().uextend(types::I64, delta);
        let table = self.index_arg(table.0);
        let old = self.call_builtin(Builtin::TableGrow, &[table, value, delta]);
        let old = old.expect("table_grow gives a value");
        let old = self.builder.ins().ireduce(types::I32, old);
        self.push(old);
    }

    /// `table.fill`.
    pub(super) fn table_fill(&mut self, table: TableIndex) {
        let (start, value, length) = self.pop3();
        let start = self.builder.ins().uextend(types::I64, start);
        let length = self.builder.ins().uextend(types::I64, length);
        let table = self.index_arg(table.0);
        self.call_builtin(Builtin::TableFill, &[table, start, value, length]);
    }

    /// `table.copy`.
    pub(super) fn table_copy(&mut self, to_table: TableIndex, from_table: TableIndex) {
        let [to, from, length] = self.pop3_extended();
        let to_table = self.index_arg(to_table.0);
        let from_table = self.index_arg(from_table.0);
        self.call_builtin(Builtin::TableCopy, &[to_table, from_table, to, from, length]);
    }

    /// `table.init`.
    pub(super) fn table_init(&mut self, table: TableIndex, segment: ElemIndex) {
        let [to, from, length] = self.pop3_extended();
        self.init_table(table.0, segment.0, to, from, length);
    }

    /// Copies `length` items of an element segment into a table.
    pub(super) fn init_table(
        &mut self,
        table: u32,
        segment: u32,
        to: Value,
        from: Value,
        length: Value,
    ) {
        let table = self.index_arg(table);
        let segment = self.index_arg(segment);
        self.call_builtin(Builtin::TableInit, &[table, segment, to, from, length]);
    }

    /// `elem.drop`.
    pub(super) fn elem_drop(&mut self, segment: ElemIndex) {
        if let Some(length) = self.env.plan.elem_segments[segment.index()].length {
            self.drop_segment(length);
        }
    }

    /// Sets a segment's current length to 0.
    pub(super) fn drop_segment(&mut self, length: i32) {
        let zero = self.builder.ins().iconst(types::I64, 0);
        let flags = self.record_flags(Region::SegmentLengths);
        self.builder.ins().store(flags, zero, self.ctx, length);
    }

    /// The `VmFuncRef` of an element that is about to be called, after the checks of `call_indirect`.
    /// A null element leads to a record with no type, so the type check covers it.
    pub(super) fn table_callee(&mut self, table: TableIndex, index: Value, hash: u64) -> Value {
        let address = self.element_address(table, index, TrapKind::UndefinedElement);
        let flags = self.record_flags(Region::TableElements);
        let element = self.builder.ins().load(types::I64, flags, address, 0);
        let anchor = self.table_anchor(table);
        let record = self.builder.ins().iadd(anchor, element);
        let flags = self.record_flags(Region::Constant).with_readonly();
        let found =
            self.builder.ins().load(types::I64, flags, record, vmctx::func_ref::TYPE_HASH.offset);
        let hash = self.builder.ins().iconst(types::I64, hash as i64);
        let same = self.builder.ins().icmp(IntCC::Equal, found, hash);
        self.check_callee(same, |t| t.builder.ins().icmp_imm_s(IntCC::Equal, element, 0));
        record
    }

    /// The address of element `index`; traps with `kind` if there is none.
    fn element_address(&mut self, table: TableIndex, index: Value, kind: TrapKind) -> Value {
        let index = self.builder.ins().uextend(types::I64, index);
        let length = self.table_length(table);
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        self.trapnz(outside, kind);
        let offset = self.builder.ins().ishl_imm_u(index, 3);
        match self.env.plan.tables[table.index()] {
            TablePlan::Own { elements: Some(elements), growth: Growth::Never, .. } => {
                let base = self.builder.ins().iadd(self.ctx, offset);
                self.builder.ins().iadd_imm_s(base, i64::from(elements))
            }
            _ => {
                let (base, at) = self.table_definition(table);
                let field = vmctx::table::BASE;
                let base = self.load_field(types::I64, base, at, field, Region::TableDefinition);
                self.builder.ins().iadd(base, offset)
            }
        }
    }

    fn table_length(&mut self, table: TableIndex) -> Value {
        match &self.env.plan.tables[table.index()] {
            TablePlan::Closed(closed) => {
                self.builder.ins().iconst(types::I64, i64::from(closed.length))
            }
            TablePlan::Own { growth: Growth::Never, .. } => {
                let min = self.env.module.tables[table.index()].min;
                self.builder.ins().iconst(types::I64, min as i64)
            }
            _ => {
                let (base, at) = self.table_definition(table);
                self.load_field(types::I64, base, at, vmctx::table::LENGTH, Region::TableDefinition)
            }
        }
    }

    fn table_anchor(&mut self, table: TableIndex) -> Value {
        match self.env.plan.tables[table.index()] {
            TablePlan::Imported { .. } => {
                let (base, at) = self.table_definition(table);
                self.load_field(types::I64, base, at, vmctx::table::ANCHOR, Region::TableDefinition)
            }
            _ => self.builder.ins().iadd_imm_s(self.ctx, i64::from(vmctx::ctx::NULL_FUNC_REF)),
        }
    }

    /// Address of a `VmTableDefinition`: a base and an offset.
    fn table_definition(&mut self, table: TableIndex) -> (Value, i32) {
        match self.env.plan.tables[table.index()] {
            TablePlan::Imported { definition } => (self.load_import_address(definition), 0),
            TablePlan::Own { definition, .. } => (self.ctx, definition),
            TablePlan::Closed(_) => unreachable!("closed tables have no definition"),
        }
    }

    /// `value`, or 0 if `tested` is 0.
    fn null_if_zero(&mut self, tested: Value, value: Value) -> Value {
        let zero = self.builder.ins().iconst(types::I64, 0);
        let is_null = self.builder.ins().icmp_imm_s(IntCC::Equal, tested, 0);
        self.builder.ins().select(is_null, zero, value)
    }

    /// An index as an argument of a builtin.
    pub(super) fn index_arg(&mut self, index: u32) -> Value {
        self.builder.ins().iconst(types::I32, i64::from(index as i32))
    }

    /// Pops three 32-bit values, zero-extended.
    pub(super) fn pop3_extended(&mut self) -> [Value; 3] {
        let (first, second, third) = self.pop3();
        [first, second, third].map(|value| self.builder.ins().uextend(types::I64, value))
    }
}
