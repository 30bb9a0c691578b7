//! The glue between calling conventions.
//!
//! ```text
//!   host --array call--> entry[sig] --wasm call--> function
//!   host --direct call--> direct entry[sig] --wasm call--> function
//!   function --wasm call--> exit[sig] --direct or array call--> host function
//!   function --wasm call--> builtin[n] --C call--> loader
//!   function --wasm call--> bound function --C call--> symbol      (`bound.rs`)
//!   table --wasm call--> thunk[import] --wasm call--> imported function
//! ```
//!
//! An entry calls with a handler, and records its stack pointer, frame pointer and the handler's address
//! in the store. A raise sets these three registers: the callee is of `CallConv::Tail`, for which
//! Cranelift treats every register as clobbered on the way to the handler.
//!
//! Exits and builtins record where wasm was left, for backtraces, and see that the host has stack
//! enough: so an exhausted stack is always met by compiled code, never by the host.

use aotc_abi::builtin::{AbiResult, Builtin, FAILED};
use aotc_abi::index::FuncIndex;
use aotc_abi::target::TrapStyle;
use aotc_abi::types::{ValType, can_call_directly};
use aotc_abi::vmctx::{self, Field};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, InstBuilder, MemFlagsData,
    Value, types,
};

use super::access::Region;
use super::{Translator, signature};
use crate::plan::SigId;

impl<'a> Translator<'a, '_> {
    /// Array call to wasm call: `(ctx, code, values) -> status`.
    pub(super) fn entry(&mut self, sig: SigId) {
        let [ctx, code, values] = self.entry_params();
        let (params, results) = self.sig_types(sig);
        let mut args = vec![ctx];
        if signature::results_in_memory(results) {
            args.push(values);
        }
        args.extend(self.load_values(params, values));
        let (results, raised) = self.call_with_handler(sig, code, &args);
        self.store_values(&results, values);
        self.return_status(0);
        self.builder.switch_to_block(raised);
        self.return_status(aotc_abi::builtin::STATUS_RAISED);
    }

    /// Direct call to wasm call: `(ctx, params..., code) -> (result, status)`. What is in registers is in those of the
    /// wasm call.
    pub(super) fn direct_entry(&mut self, sig: SigId) {
        let (params, results) = self.sig_types(sig);
        let block_params = self.builder.block_params(self.entry_block).to_vec();
        let [ctx, bits @ .., code] = &block_params[..] else {
            unreachable!("a direct entry has a context and code")
        };
        let (ctx, code) = (*ctx, *code);
        let mut args = vec![ctx];
        args.extend(params.iter().zip(bits).map(|(&ty, &bits)| self.value_of_bits(ty, bits)));
        let (values, raised) = self.call_with_handler(sig, code, &args);
        let result = match (results, &values[..]) {
            ([ty], [value]) => self.bits_of_value(*ty, *value),
            _ => self.builder.ins().iconst(types::I64, 0),
        };
        let status = self.builder.ins().iconst(types::I64, 0);
        self.builder.ins().return_(&[result, status]);
        self.builder.switch_to_block(raised);
        let status = i64::from(aotc_abi::builtin::STATUS_RAISED);
        let status = self.builder.ins().iconst(types::I64, status);
        self.builder.ins().return_(&[status, status]);
    }

    /// Calls `code` such that a raise is caught. Goes on in the block behind the call, with the results; the other block
    /// is where raises arrive.
    fn call_with_handler(
        &mut self,
        sig: SigId,
        code: Value,
        args: &[Value],
    ) -> (Vec<Value>, Block) {
        let calling = self.builder.create_block();
        self.builder.ins().jump(calling, &[]);
        self.builder.switch_to_block(calling);
        let store = self.load_ctx_field(vmctx::ctx::STORE);
        let sp = self.builder.ins().get_stack_pointer(types::I64);
        let fp = self.builder.ins().get_frame_pointer(types::I64);
        let handler = self.builder.ins().get_exception_handler_address(types::I64, calling, 0);
        self.store_to_store(store, vmctx::store::ENTRY_SP, sp);
        self.store_to_store(store, vmctx::store::ENTRY_FP, fp);
        self.store_to_store(store, vmctx::store::ENTRY_HANDLER, handler);

        let returned = self.builder.create_block();
        let raised = self.builder.create_block();
        let callee_signature = signature::of_sig(self.env, sig);
        let result_count = callee_signature.returns.len();
        let result_values: Vec<Value> = callee_signature
            .returns
            .iter()
            .map(|result| self.builder.append_block_param(returned, result.value_type))
            .collect();
        let callee_signature = self.builder.import_signature(callee_signature);
        let dfg = &mut self.builder.func.dfg;
        let normal = BlockCall::new(
            returned,
            (0..result_count).map(|i| BlockArg::TryCallRet(i as u32)),
            &mut dfg.value_lists,
        );
        let exceptional = BlockCall::new(raised, None, &mut dfg.value_lists);
        let table = dfg.exception_tables.push(ExceptionTableData::new(
            callee_signature,
            normal,
            [ExceptionTableItem::Default(exceptional)],
        ));
        self.builder.ins().try_call_indirect(code, args, table);
        for block in [calling, returned, raised] {
            self.builder.seal_block(block);
        }

        self.builder.switch_to_block(returned);
        (result_values, raised)
    }

    /// The value of type `ty` in a 64-bit integer of a direct call.
    fn value_of_bits(&mut self, ty: ValType, bits: Value) -> Value {
        match ty {
            ValType::I32 => self.builder.ins().ireduce(types::I32, bits),
            ValType::F32 => {
                let bits = self.builder.ins().ireduce(types::I32, bits);
                self.builder.ins().bitcast(types::F32, MemFlagsData::new(), bits)
            }
            ValType::F64 => self.builder.ins().bitcast(types::F64, MemFlagsData::new(), bits),
            ValType::I64 | ValType::FuncRef | ValType::ExternRef => bits,
            ValType::V128 => unreachable!("vectors are not passed directly"),
        }
    }

    /// The opposite of [`Self::value_of_bits`].
    fn bits_of_value(&mut self, ty: ValType, value: Value) -> Value {
        match ty {
            ValType::I32 => self.builder.ins().uextend(types::I64, value),
            ValType::F32 => {
                let bits = self.builder.ins().bitcast(types::I32, MemFlagsData::new(), value);
                self.builder.ins().uextend(types::I64, bits)
            }
            ValType::F64 => self.builder.ins().bitcast(types::I64, MemFlagsData::new(), value),
            ValType::I64 | ValType::FuncRef | ValType::ExternRef => value,
            ValType::V128 => unreachable!("vectors are not passed directly"),
        }
    }

    /// Wasm call to a direct call if the type has one, else to an array call, for a host function, which is the context.
    pub(super) fn exit(&mut self, sig: SigId) {
        let (params, results) = self.sig_types(sig);
        if can_call_directly(params.iter().copied(), results.iter().copied()) {
            self.exit_directly(params, results);
        } else {
            self.exit_with_array(params, results);
        }
    }

    fn exit_directly(&mut self, params: &[ValType], results: &[ValType]) {
        let block_params = self.builder.block_params(self.entry_block).to_vec();
        self.leave_wasm();
        let mut args = vec![self.ctx];
        let values = params.iter().zip(&block_params[1..]);
        args.extend(values.map(|(&ty, &value)| self.bits_of_value(ty, value)));
        let call = self.host_call();
        let host = signature::direct_call_host(params.len());
        let host = self.builder.import_signature(host);
        let call = self.builder.ins().call_indirect(host, call, &args);
        let [bits, status] = *self.builder.inst_results(call) else {
            unreachable!("a direct call gives a result and a status")
        };
        // With a raise comes the store.
        self.raise_if(status, bits);
        let values: Vec<Value> = results.iter().map(|&ty| self.value_of_bits(ty, bits)).collect();
        self.emit_return(&values);
    }

    fn exit_with_array(&mut self, params: &[ValType], results: &[ValType]) {
        let in_memory = signature::results_in_memory(results);
        let block_params = self.builder.block_params(self.entry_block).to_vec();
        let first = if in_memory { 2 } else { 1 };
        let store = self.leave_wasm();
        let slots = self.value_slots(params.len().max(results.len()));
        self.store_values(&block_params[first..], slots);

        let call = self.host_call();
        let host = self.builder.import_signature(signature::array_call_host());
        let call = self.builder.ins().call_indirect(host, call, &[self.ctx, slots]);
        let status = self.builder.inst_results(call)[0];
        self.raise_if(status, store);
        let values = self.load_values(results, slots);
        if in_memory {
            self.result_area = Some(block_params[1]);
        }
        self.emit_return(&values);
    }

    /// Address of the host function that is the context.
    fn host_call(&mut self) -> Value {
        let field = vmctx::host_func::CALL;
        self.load_field(types::I64, self.ctx, 0, field, Region::Constant)
    }

    /// Wasm call to a builtin.
    pub(super) fn builtin(&mut self, builtin: Builtin) {
        let args = self.builder.block_params(self.entry_block).to_vec();
        // When the stack is exhausted there is still room to say so.
        let store = match builtin {
            Builtin::Trap => self.record_exit(),
            _ => self.leave_wasm(),
        };
        let table = self.load_ctx_field(vmctx::ctx::BUILTINS);
        let field = Field { offset: builtin as i32 * 8, ..vmctx::ctx::BUILTINS };
        let code = self.load_field(types::I64, table, 0, field, Region::Constant);
        let callee = self.builder.import_signature(signature::builtin(builtin));
        let call = self.builder.ins().call_indirect(callee, code, &args);
        let result = self.builder.inst_results(call).first().copied();
        let value = match (builtin.row().result, result) {
            (AbiResult::Status, Some(status)) => {
                self.raise_if(status, store);
                None
            }
            (AbiResult::FallibleValue, Some(value)) => {
                let failed = self.builder.ins().icmp_imm_s(IntCC::Equal, value, FAILED);
                self.raise_if(failed, store);
                Some(value)
            }
            (AbiResult::Nothing, _) => None,
            (result, None) => unreachable!("a builtin with {result:?} has a result"),
        };
        self.builder.ins().return_(value.as_slice());
    }

    /// A local function that jumps to an imported one.
    pub(super) fn thunk(&mut self, index: FuncIndex) {
        let ty = self.env.module.function_type(index);
        let import = self.env.plan.functions[index.index()].import;
        let (code, ctx) = self.load_import(import.expect("a thunk is for an import"));
        let mut args = self.builder.block_params(self.entry_block).to_vec();
        args[0] = ctx;
        let signature = self.builder.import_signature(signature::wasm_call(ty));
        self.builder.ins().return_call_indirect(signature, code, &args);
    }

    /// Sees that the host has stack enough, and records where wasm is left. Gives back the store.
    pub(super) fn leave_wasm(&mut self) -> Value {
        // With explicit traps, every prologue has looked.
        if self.env.options.trap_style == TrapStyle::Signals {
            self.compare_stack();
        }
        self.record_exit()
    }

    fn record_exit(&mut self) -> Value {
        let store = self.load_ctx_field(vmctx::ctx::STORE);
        let fp = self.builder.ins().get_frame_pointer(types::I64);
        self.store_to_store(store, vmctx::store::EXIT_FP, fp);
        store
    }

    /// Raises if `status` is not 0. The reason is recorded already.
    fn raise_if(&mut self, status: Value, store: Value) {
        let raising = self.builder.create_block();
        let going_on = self.builder.create_block();
        self.builder.set_cold_block(raising);
        self.builder.ins().brif(status, raising, &[], going_on, &[]);
        self.builder.seal_block(raising);
        self.builder.seal_block(going_on);
        self.builder.switch_to_block(raising);
        let raise = self.load_field(types::I64, store, 0, vmctx::store::RAISE, Region::Constant);
        let signature = self.builder.import_signature(signature::raise());
        self.builder.ins().call_indirect(signature, raise, &[store]);
        self.builder.ins().trap(super::trap::NOT_REACHED);
        self.builder.switch_to_block(going_on);
    }

    fn store_to_store(&mut self, store: Value, field: Field, value: Value) {
        let flags = self.record_flags(Region::Store);
        self.builder.ins().store(flags, value, store, field.offset);
    }

    fn return_status(&mut self, status: u32) {
        let status = self.builder.ins().iconst(types::I32, i64::from(status));
        self.builder.ins().return_(&[status]);
    }

    fn entry_params<const COUNT: usize>(&self) -> [Value; COUNT] {
        let params = self.builder.block_params(self.entry_block);
        std::array::from_fn(|index| params[index])
    }

    /// Parameter and result types of a distinct type.
    fn sig_types(&self, sig: SigId) -> (&'a [ValType], &'a [ValType]) {
        let env: super::Env<'a> = self.env;
        match env.plan.sigs[sig.0 as usize].ty {
            Some(ty) => {
                let ty = &env.module.types[ty.index()];
                (&ty.params, &ty.results)
            }
            None => (&[], &[]),
        }
    }
}
