//! Calls: direct, of imports, through tables.

use aotc_abi::index::{FuncIndex, TableIndex, TypeIndex};
use aotc_abi::trap::TrapKind;
use aotc_abi::types::ValType;
use aotc_abi::vmctx;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, StackSlotData, StackSlotKind, Value, types};

use super::access::Region;
use super::{Translator, clif_type, signature};
use crate::parse::FuncType;
use crate::plan::{ClosedTable, TablePlan};

/// Who is called.
enum Callee {
    Direct(ir::FuncRef),
    Indirect(Value),
}

impl Translator<'_, '_> {
    /// `call`.
    pub(super) fn call(&mut self, index: FuncIndex) {
        let ty = self.env.module.function_type(index);
        let args = self.pop_args(ty);
        let results = self.call_function(index, ty, &args);
        self.stack.extend(results);
    }

    /// Calls function `index` with `args`.
    pub(super) fn call_function(
        &mut self,
        index: FuncIndex,
        ty: &FuncType,
        args: &[Value],
    ) -> Vec<Value> {
        let plan = &self.env.plan.functions[index.index()];
        match plan.import {
            None => {
                let id = plan.code.expect("a defined function has code");
                let callee = self.code_ref(id, signature::wasm_call(ty));
                self.emit_call(Callee::Direct(callee), self.ctx, ty, args)
            }
            Some(import) => {
                let (code, ctx) = self.load_import(import);
                self.emit_call(Callee::Indirect(code), ctx, ty, args)
            }
        }
    }

    /// `call_indirect`.
    pub(super) fn call_indirect(&mut self, table: TableIndex, ty: TypeIndex) {
        let index = self.pop();
        let sig = self.env.plan.type_sigs[ty.index()];
        let ty = &self.env.module.types[ty.index()];
        let args = self.pop_args(ty);
        let (code, ctx) = match &self.env.plan.tables[table.index()] {
            TablePlan::Closed(closed) => {
                let code = self.closed_element(closed, index, sig);
                (code, self.ctx)
            }
            TablePlan::Own { .. } | TablePlan::Imported { .. } => {
                let hash = self.env.plan.sigs[sig.0 as usize].hash;
                let record = self.table_callee(table, index, hash);
                self.load_func_ref(record)
            }
        };
        let results = self.emit_call(Callee::Indirect(code), ctx, ty, &args);
        self.stack.extend(results);
    }

    /// Code of the element of a closed table, after the checks that are needed.
    fn closed_element(
        &mut self,
        table: &ClosedTable,
        index: Value,
        sig: crate::plan::SigId,
    ) -> Value {
        let outside = self.builder.ins().icmp_imm_u(
            IntCC::UnsignedGreaterThanOrEqual,
            index,
            i64::from(table.length),
        );
        self.trapnz(outside, TrapKind::UndefinedElement);
        let index = self.builder.ins().uextend(types::I64, index);
        let code_base = self.code_base();
        let entry_shift = if table.sig.is_some() { 2 } else { 3 };
        let entry_offset = self.builder.ins().ishl_imm_u(index, entry_shift);
        let entry = self.builder.ins().iadd(code_base, entry_offset);
        let flags = self.record_flags(Region::Constant).with_readonly();
        match table.sig {
            Some(all) if all == sig => {}
            Some(_) => {
                // Every element is a function of another type. What follows is for form only.
                let always = self.builder.ins().iconst(types::I8, 1);
                self.trapnz(always, TrapKind::IndirectCallTypeMismatch);
            }
            None => {
                let found =
                    self.builder.ins().load(types::I32, flags, entry, table.offset as i32 + 4);
                let same = self.builder.ins().icmp_imm_u(IntCC::Equal, found, i64::from(sig.0));
                self.check_callee(same, |t| {
                    t.builder.ins().icmp_imm_s(IntCC::Equal, found, i64::from(u32::MAX as i32))
                });
            }
        }
        let offset = self.builder.ins().sload32(flags, entry, table.offset as i32);
        self.builder.ins().iadd(code_base, offset)
    }

    /// Goes on if `same`; otherwise traps for a null element or for one of another type.
    pub(super) fn check_callee(&mut self, same: Value, is_null: impl FnOnce(&mut Self) -> Value) {
        let trapping = self.builder.create_block();
        let going_on = self.builder.create_block();
        self.builder.set_cold_block(trapping);
        self.builder.ins().brif(same, going_on, &[], trapping, &[]);
        self.builder.seal_block(trapping);
        self.builder.seal_block(going_on);
        self.builder.switch_to_block(trapping);
        let is_null = is_null(self);
        self.trapnz(is_null, TrapKind::UninitializedElement);
        self.trap(TrapKind::IndirectCallTypeMismatch);
        self.builder.switch_to_block(going_on);
    }

    /// Code and context of the function that a `VmFuncRef` leads to.
    fn load_func_ref(&mut self, record: Value) -> (Value, Value) {
        let flags = self.record_flags(Region::Constant).with_readonly();
        let delta = self.builder.ins().sload32(flags, record, vmctx::func_ref::CTX_DELTA.offset);
        let offset = self.builder.ins().sload32(flags, record, vmctx::func_ref::CODE_OFFSET.offset);
        let ctx = self.builder.ins().iadd(record, delta);
        let base = self.builder.ins().load(types::I64, flags, ctx, vmctx::ctx::CODE_BASE.offset);
        (self.builder.ins().iadd(base, offset), ctx)
    }

    /// Code and context of an imported function.
    pub(super) fn load_import(&mut self, import: i32) -> (Value, Value) {
        let code = vmctx::function_import::CODE;
        let code = self.load_field(types::I64, self.ctx, import, code, Region::Constant);
        let ctx = vmctx::function_import::CTX;
        let ctx = self.load_field(types::I64, self.ctx, import, ctx, Region::Constant);
        (code, ctx)
    }

    fn pop_args(&mut self, ty: &FuncType) -> Vec<Value> {
        self.stack.split_off(self.stack.len() - ty.params.len())
    }

    /// Emits a call; gives back the results.
    fn emit_call(
        &mut self,
        callee: Callee,
        ctx: Value,
        ty: &FuncType,
        args: &[Value],
    ) -> Vec<Value> {
        let mut all = Vec::with_capacity(args.len() + 2);
        all.push(ctx);
        let area =
            signature::results_in_memory(&ty.results).then(|| self.value_slots(ty.results.len()));
        all.extend(area);
        all.extend_from_slice(args);
        let call = match callee {
            Callee::Direct(function) => self.builder.ins().call(function, &all),
            Callee::Indirect(code) => {
                let signature = self.builder.import_signature(signature::wasm_call(ty));
                self.builder.ins().call_indirect(signature, code, &all)
            }
        };
        match area {
            None => self.builder.inst_results(call).to_vec(),
            Some(area) => self.load_values(&ty.results, area),
        }
    }

    /// Room for `count` values on the stack; its address.
    pub(super) fn value_slots(&mut self, count: usize) -> Value {
        let bytes = count.max(1) as u32 * vmctx::VALUE_BYTES as u32;
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
        let slot = self.builder.create_sized_stack_slot(slot);
        self.builder.ins().stack_addr(types::I64, slot, 0)
    }

    /// Loads values from slots.
    pub(super) fn load_values(&mut self, tys: &[ValType], area: Value) -> Vec<Value> {
        let flags = self.record_flags(Region::Values);
        let mut offset = 0;
        tys.iter()
            .map(|&ty| {
                let value = self.builder.ins().load(clif_type(ty), flags, area, offset);
                offset += vmctx::VALUE_BYTES;
                value
            })
            .collect()
    }

    /// Stores values to slots.
    pub(super) fn store_values(&mut self, values: &[Value], area: Value) {
        let flags = self.record_flags(Region::Values);
        for (i, &value) in values.iter().enumerate() {
            self.builder.ins().store(flags, value, area, i as i32 * vmctx::VALUE_BYTES);
        }
    }

    /// Returns from the function with `values`.
    pub(super) fn emit_return(&mut self, values: &[Value]) {
        match self.result_area {
            None => {
                self.builder.ins().return_(values);
            }
            Some(area) => {
                self.store_values(values, area);
                self.builder.ins().return_(&[]);
            }
        }
    }
}
