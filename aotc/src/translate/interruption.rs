//! Fuel and epochs: how code lets itself be interrupted.
//!
//! **Fuel.** Every operator that can be reached costs one unit, except those that make no code; calling a function costs
//! one more, and what works on many bytes or elements one for each. The costs are Wasmtime's, and
//! so are the places where the fuel is looked at: functions' beginnings, loop heads, and before
//! operators on many bytes. Within a function the fuel is a variable; what straight-line code
//! costs is added to it at once, where the code ends. It is written back before whatever leaves the function.
//!
//! **Epochs.** At the same places the engine's counter is compared with the store's deadline, one instruction
//! if both are in registers. The deadline is a variable too, loaded anew behind every call. Code that is
//! certain to be over soon does without: see [`super::stretches`].
//!
//! ```text
//!   loop head:    cmp deadline, [epoch]          cold:  call trampoline of the builtin, which keeps all registers
//!                 jbe cold                              reload the deadline
//!   going on:     ...                                   jmp going on
//! ```
//!
//! The call in the loop is also what keeps Cranelift from taking the epoch of an earlier round for this one's: a
//! call may change everything.

use aotc_abi::builtin::Builtin;
use aotc_abi::vmctx;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Opcode, Value, ValueDef, types};
use cranelift_frontend::Variable;
use wasmparser::Operator;

use super::Translator;
use super::access::Region;
use super::stretches::Stretches;

/// Bytes or elements that an operator may work on without a check before it.
const UNCHECKED_UNITS_MAX: i64 = 128;

/// What a function's translation keeps for its checks.
#[derive(Default)]
pub(super) struct Checks {
    fuel: Option<Fuel>,
    epochs: Option<Epochs>,
}

struct Fuel {
    /// [`vmctx::VmStoreCtx::fuel`], up to what is pending.
    fuel: Variable,
    /// Cost of the operators since it was last added.
    pending: i64,
}

struct Epochs {
    /// [`vmctx::VmStoreCtx::epoch_deadline`].
    deadline: Variable,
    stretches: Stretches,
}

/// What an operator costs, apart from what it works on.
fn cost(operator: &Operator<'_>) -> i64 {
    use Operator as O;
    match operator {
        O::Nop | O::Drop | O::Block { .. } | O::Loop { .. } | O::Else | O::End => 0,
        O::Unreachable | O::Return => 0,
        _ => 1,
    }
}

/// Whether the operator works on as many bytes or elements as its topmost operand says, and what each costs.
fn cost_per_unit(operator: &Operator<'_>) -> Option<i64> {
    use Operator as O;
    match operator {
        O::MemoryCopy { .. } | O::MemoryFill { .. } | O::MemoryInit { .. } => Some(1),
        O::TableCopy { .. } | O::TableFill { .. } | O::TableInit { .. } => Some(1),
        O::TableGrow { .. } => Some(1),
        // Pages that nobody touched cost nothing.
        O::MemoryGrow { .. } => Some(0),
        _ => None,
    }
}

impl Translator<'_, '_> {
    /// What stands at a function's beginning.
    pub(super) fn begin_checks(&mut self, stretches: Option<Stretches>) {
        let interruption = self.env.options.interruption;
        if interruption.fuel {
            let fuel = self.builder.declare_var(types::I64);
            self.checks.fuel = Some(Fuel { fuel, pending: 1 });
            self.reload_fuel();
            self.check_fuel();
        }
        if let Some(stretches) = stretches {
            let deadline = self.builder.declare_var(types::I64);
            let is_short = stretches.is_short();
            self.checks.epochs = Some(Epochs { deadline, stretches });
            self.reload_deadline();
            if !is_short {
                self.check_epoch();
            }
        }
    }

    /// What stands at a function's end.
    pub(super) fn end_checks(&mut self) {
        self.add_pending();
        self.save_fuel();
    }

    /// Accounts for an operator that is about to be translated.
    pub(super) fn before_operator(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        if self.unreachable_depth.is_some() {
            return;
        }
        if let Some(fuel) = &mut self.checks.fuel {
            fuel.pending += cost(operator);
        }
        match operator {
            O::Unreachable | O::Return | O::Call { .. } | O::CallIndirect { .. } => {
                self.add_pending();
                self.save_fuel();
            }
            O::Loop { .. } | O::If { .. } | O::Else | O::End => self.add_pending(),
            O::Br { .. } | O::BrIf { .. } | O::BrTable { .. } => self.add_pending(),
            _ => {
                if let Some(per_unit) = cost_per_unit(operator) {
                    self.before_bulk_operator(per_unit);
                }
            }
        }
    }

    /// Does what must follow an operator. `offset` is where it stands in the file.
    pub(super) fn after_operator(&mut self, operator: &Operator<'_>, offset: u64) {
        if self.unreachable_depth.is_some() {
            return;
        }
        match operator {
            Operator::Loop { .. } => {
                self.check_fuel();
                let epochs = self.checks.epochs.as_ref();
                if epochs.is_some_and(|epochs| !epochs.stretches.is_short_loop(offset)) {
                    self.check_epoch();
                }
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                self.reload_fuel();
                self.reload_deadline();
            }
            _ => {}
        }
    }

    fn before_bulk_operator(&mut self, per_unit: i64) {
        let units = *self.stack.last().expect("an operand");
        let constant = self.constant_of(units);
        match (constant, &mut self.checks.fuel) {
            (Some(units), Some(fuel)) => fuel.pending += units * per_unit,
            (None, Some(_)) if per_unit != 0 => {
                let units = self.builder.ins().uextend(types::I64, units);
                self.add_fuel(|t, fuel| t.builder.ins().iadd(fuel, units));
            }
            _ => {}
        }
        if constant.is_none_or(|units| units * per_unit > UNCHECKED_UNITS_MAX) {
            self.check_fuel();
            self.check_epoch();
        }
    }

    /// The value of a 32-bit constant.
    fn constant_of(&self, value: Value) -> Option<i64> {
        let dfg = &self.builder.func.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(dfg.resolve_aliases(value)) else {
            return None;
        };
        match dfg.insts[inst] {
            cranelift_codegen::ir::InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                Some(i64::from(imm.bits() as u32))
            }
            _ => None,
        }
    }

    // Fuel. These do nothing without.

    fn add_fuel(&mut self, add: impl FnOnce(&mut Self, Value) -> Value) {
        if let Some(Fuel { fuel, .. }) = self.checks.fuel {
            let old = self.builder.use_var(fuel);
            let new = add(self, old);
            self.builder.def_var(fuel, new);
        }
    }

    /// Adds what straight-line code has cost.
    fn add_pending(&mut self) {
        let Some(fuel) = &mut self.checks.fuel else { return };
        let pending = std::mem::take(&mut fuel.pending);
        if pending != 0 {
            self.add_fuel(|t, fuel| t.builder.ins().iadd_imm_s(fuel, pending));
        }
    }

    fn save_fuel(&mut self) {
        if let Some(Fuel { fuel, .. }) = self.checks.fuel {
            let value = self.builder.use_var(fuel);
            let store = self.load_ctx_field(vmctx::ctx::STORE);
            let flags = self.record_flags(Region::Store);
            self.builder.ins().store(flags, value, store, vmctx::store::FUEL.offset);
        }
    }

    fn reload_fuel(&mut self) {
        if let Some(Fuel { fuel, .. }) = self.checks.fuel {
            let value = self.load_from_store(vmctx::store::FUEL);
            self.builder.def_var(fuel, value);
        }
    }

    fn check_fuel(&mut self) {
        self.add_pending();
        let Some(Fuel { fuel, .. }) = self.checks.fuel else { return };
        let value = self.builder.use_var(fuel);
        let is_used_up = self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, value, 0);
        self.interrupt_if(is_used_up, |t| {
            t.save_fuel();
            t.call_builtin(Builtin::OutOfFuel, &[]);
            t.reload_fuel();
        });
    }

    // Epochs. These do nothing without.

    fn reload_deadline(&mut self) {
        if let Some(Epochs { deadline, .. }) = self.checks.epochs {
            let value = self.load_from_store(vmctx::store::EPOCH_DEADLINE);
            self.builder.def_var(deadline, value);
        }
    }

    fn check_epoch(&mut self) {
        let Some(Epochs { deadline, .. }) = self.checks.epochs else { return };
        let address = self.load_from_store(vmctx::store::EPOCH);
        let flags = self.record_flags(Region::Epoch);
        let epoch = self.builder.ins().load(types::I64, flags, address, 0);
        let deadline = self.builder.use_var(deadline);
        // In this order the load becomes part of the comparison.
        let is_reached = self.builder.ins().icmp(IntCC::UnsignedLessThanOrEqual, deadline, epoch);
        self.interrupt_if(is_reached, |t| {
            t.call_builtin(Builtin::NewEpoch, &[]);
            t.reload_deadline();
        });
    }

    fn load_from_store(&mut self, field: vmctx::Field) -> Value {
        let store = self.load_ctx_field(vmctx::ctx::STORE);
        self.load_field(types::I64, store, 0, field, Region::Store)
    }

    /// Does what `interrupt` emits if `condition` is not zero, out of the way, and goes on.
    fn interrupt_if(&mut self, condition: Value, interrupt: impl FnOnce(&mut Self)) {
        let interrupting = self.builder.create_block();
        let going_on = self.builder.create_block();
        self.builder.set_cold_block(interrupting);
        self.builder.ins().brif(condition, interrupting, &[], going_on, &[]);
        self.builder.seal_block(interrupting);
        self.builder.switch_to_block(interrupting);
        interrupt(self);
        self.builder.ins().jump(going_on, &[]);
        self.builder.seal_block(going_on);
        self.builder.switch_to_block(going_on);
    }
}
