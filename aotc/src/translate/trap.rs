//! Traps: an instruction that faults, or, when traps are explicit, a call that does not return.

use aotc_abi::builtin::Builtin;
use aotc_abi::target::TrapStyle;
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, TrapCode, Value, types};

use super::access::Region;
use super::{Translator, signature};

/// Trap code of accesses to linear memory. It is in no trap table: any fault that is not in the
/// table is one of these, or of the stack.
pub(crate) const HEAP_ACCESS: TrapCode = TrapCode::unwrap_user(100);

/// Trap code behind a call that does not return. Never reached.
pub(super) const NOT_REACHED: TrapCode = TrapCode::unwrap_user(101);

/// The trap code of `kind`.
pub(crate) fn trap_code(kind: TrapKind) -> TrapCode {
    TrapCode::unwrap_user(kind as u8)
}

/// What a trap code stands for in the trap table; `None` if it is not in it.
pub(crate) fn trap_kind(code: TrapCode) -> Option<TrapKind> {
    match code {
        HEAP_ACCESS | NOT_REACHED => None,
        TrapCode::STACK_OVERFLOW => Some(TrapKind::StackOverflow),
        TrapCode::INTEGER_OVERFLOW => Some(TrapKind::IntegerOverflow),
        TrapCode::INTEGER_DIVISION_BY_ZERO => Some(TrapKind::IntegerDivideByZero),
        TrapCode::BAD_CONVERSION_TO_INTEGER => Some(TrapKind::InvalidConversionToInteger),
        code => {
            let kind = TrapKind::from_u8(code.as_raw().get());
            Some(kind.expect("the trap codes of this compiler are trap kinds"))
        }
    }
}

impl Translator<'_, '_> {
    /// Traps. What follows is not reached; the block is terminated.
    pub(crate) fn trap(&mut self, kind: TrapKind) {
        match self.env.options.trap_style {
            TrapStyle::Signals => {
                self.builder.ins().trap(trap_code(kind));
            }
            TrapStyle::Explicit => {
                let kind = self.builder.ins().iconst(types::I32, i64::from(kind as u8));
                self.call_builtin(Builtin::Trap, &[kind]);
                self.builder.ins().trap(NOT_REACHED);
            }
        }
    }

    /// Traps if `condition` is not zero.
    pub(crate) fn trapnz(&mut self, condition: Value, kind: TrapKind) {
        match self.env.options.trap_style {
            TrapStyle::Signals => {
                self.builder.ins().trapnz(condition, trap_code(kind));
            }
            TrapStyle::Explicit => {
                let trapping = self.builder.create_block();
                let going_on = self.builder.create_block();
                self.builder.set_cold_block(trapping);
                self.builder.ins().brif(condition, trapping, &[], going_on, &[]);
                self.builder.seal_block(trapping);
                self.builder.seal_block(going_on);
                self.builder.switch_to_block(trapping);
                self.trap(kind);
                self.builder.switch_to_block(going_on);
            }
        }
    }

    /// Traps if `condition` is zero.
    pub(crate) fn trapz(&mut self, condition: Value, kind: TrapKind) {
        match self.env.options.trap_style {
            TrapStyle::Signals => {
                self.builder.ins().trapz(condition, trap_code(kind));
            }
            TrapStyle::Explicit => {
                let zero = self.builder.ins().icmp_imm_s(IntCC::Equal, condition, 0);
                self.trapnz(zero, kind);
            }
        }
    }

    /// Checks at a function's start that the stack suffices, if no guard page will tell.
    pub(crate) fn check_stack(&mut self) {
        if self.env.options.trap_style == TrapStyle::Explicit {
            self.compare_stack();
        }
    }

    /// Traps if less stack is left than the host needs.
    pub(crate) fn compare_stack(&mut self) {
        let store = self.load_ctx_field(vmctx::ctx::STORE);
        let limit = self.load_field(types::I64, store, 0, vmctx::store::STACK_LIMIT, Region::Store);
        let sp = self.builder.ins().get_stack_pointer(types::I64);
        let exhausted = self.builder.ins().icmp(IntCC::UnsignedLessThan, sp, limit);
        self.trapnz(exhausted, TrapKind::StackOverflow);
    }

    /// Calls a builtin through its trampoline; gives back its value, if it has one.
    pub(crate) fn call_builtin(&mut self, builtin: Builtin, args: &[Value]) -> Option<Value> {
        let id = self.env.plan.builtin(builtin);
        let callee = self.code_ref(id, signature::builtin_trampoline(builtin));
        let mut all = vec![self.ctx];
        all.extend_from_slice(args);
        let call = self.builder.ins().call(callee, &all);
        self.builder.inst_results(call).first().copied()
    }
}
