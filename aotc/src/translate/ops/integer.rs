//! Integer arithmetic, comparison and conversion between integers.

use aotc_abi::target::TrapStyle;
use aotc_abi::trap::TrapKind;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match *operator {
        O::I32Const { value } => {
            let value = t.builder.ins().iconst(types::I32, i64::from(value));
            t.push(value);
        }
        O::I64Const { value } => {
            let value = t.builder.ins().iconst(types::I64, value);
            t.push(value);
        }
        O::I32Add | O::I64Add => binary(t, |t, a, b| t.builder.ins().iadd(a, b)),
        O::I32Sub | O::I64Sub => binary(t, |t, a, b| t.builder.ins().isub(a, b)),
        O::I32Mul | O::I64Mul => binary(t, |t, a, b| t.builder.ins().imul(a, b)),
        O::I32And | O::I64And => binary(t, |t, a, b| t.builder.ins().band(a, b)),
        O::I32Or | O::I64Or => binary(t, |t, a, b| t.builder.ins().bor(a, b)),
        O::I32Xor | O::I64Xor => binary(t, |t, a, b| t.builder.ins().bxor(a, b)),
        O::I32Shl | O::I64Shl => binary(t, |t, a, b| t.builder.ins().ishl(a, b)),
        O::I32ShrS | O::I64ShrS => binary(t, |t, a, b| t.builder.ins().sshr(a, b)),
        O::I32ShrU | O::I64ShrU => binary(t, |t, a, b| t.builder.ins().ushr(a, b)),
        O::I32Rotl | O::I64Rotl => binary(t, |t, a, b| t.builder.ins().rotl(a, b)),
        O::I32Rotr | O::I64Rotr => binary(t, |t, a, b| t.builder.ins().rotr(a, b)),
        O::I32DivS | O::I64DivS => binary(t, div_s),
        O::I32DivU | O::I64DivU => binary(t, div_u),
        O::I32RemS | O::I64RemS => binary(t, rem_s),
        O::I32RemU | O::I64RemU => binary(t, rem_u),
        O::I32Clz | O::I64Clz => unary(t, |t, a| t.builder.ins().clz(a)),
        O::I32Ctz | O::I64Ctz => unary(t, |t, a| t.builder.ins().ctz(a)),
        O::I32Popcnt | O::I64Popcnt => unary(t, |t, a| t.builder.ins().popcnt(a)),
        O::I32Eqz | O::I64Eqz => unary(t, |t, a| {
            let zero = t.builder.ins().icmp_imm_s(IntCC::Equal, a, 0);
            t.builder.ins().uextend(types::I32, zero)
        }),
        O::I32Eq | O::I64Eq => compare(t, IntCC::Equal),
        O::I32Ne | O::I64Ne => compare(t, IntCC::NotEqual),
        O::I32LtS | O::I64LtS => compare(t, IntCC::SignedLessThan),
        O::I32LtU | O::I64LtU => compare(t, IntCC::UnsignedLessThan),
        O::I32GtS | O::I64GtS => compare(t, IntCC::SignedGreaterThan),
        O::I32GtU | O::I64GtU => compare(t, IntCC::UnsignedGreaterThan),
        O::I32LeS | O::I64LeS => compare(t, IntCC::SignedLessThanOrEqual),
        O::I32LeU | O::I64LeU => compare(t, IntCC::UnsignedLessThanOrEqual),
        O::I32GeS | O::I64GeS => compare(t, IntCC::SignedGreaterThanOrEqual),
        O::I32GeU | O::I64GeU => compare(t, IntCC::UnsignedGreaterThanOrEqual),
        O::I32WrapI64 => unary(t, |t, a| t.builder.ins().ireduce(types::I32, a)),
        O::I64ExtendI32S => unary(t, |t, a| t.builder.ins().sextend(types::I64, a)),
        O::I64ExtendI32U => unary(t, |t, a| t.builder.ins().uextend(types::I64, a)),
        O::I32Extend8S => unary(t, |t, a| sign_extend(t, a, types::I8, types::I32)),
        O::I32Extend16S => unary(t, |t, a| sign_extend(t, a, types::I16, types::I32)),
        O::I64Extend8S => unary(t, |t, a| sign_extend(t, a, types::I8, types::I64)),
        O::I64Extend16S => unary(t, |t, a| sign_extend(t, a, types::I16, types::I64)),
        O::I64Extend32S => unary(t, |t, a| sign_extend(t, a, types::I32, types::I64)),
        _ => return false,
    }
    true
}

/// Replaces the topmost value.
pub(super) fn unary<'a, 'f>(
    t: &mut Translator<'a, 'f>,
    emit: impl FnOnce(&mut Translator<'a, 'f>, Value) -> Value,
) {
    let a = t.pop();
    let result = emit(t, a);
    t.push(result);
}

/// Replaces the two topmost values by one.
pub(super) fn binary<'a, 'f>(
    t: &mut Translator<'a, 'f>,
    emit: impl FnOnce(&mut Translator<'a, 'f>, Value, Value) -> Value,
) {
    let (a, b) = t.pop2();
    let result = emit(t, a, b);
    t.push(result);
}

fn compare(t: &mut Translator<'_, '_>, condition: IntCC) {
    binary(t, |t, a, b| {
        let holds = t.builder.ins().icmp(condition, a, b);
        t.builder.ins().uextend(types::I32, holds)
    });
}

fn sign_extend(t: &mut Translator<'_, '_>, a: Value, from: Type, to: Type) -> Value {
    let narrow = t.builder.ins().ireduce(from, a);
    t.builder.ins().sextend(to, narrow)
}

fn div_s(t: &mut Translator<'_, '_>, a: Value, b: Value) -> Value {
    check_divisor(t, b);
    if t.env.options.trap_style == TrapStyle::Explicit {
        let ty = t.builder.func.dfg.value_type(a);
        let min = if ty == types::I32 { i64::from(i32::MIN) } else { i64::MIN };
        let is_min = t.builder.ins().icmp_imm_s(IntCC::Equal, a, min);
        let is_minus_one = t.builder.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let overflows = t.builder.ins().band(is_min, is_minus_one);
        t.trapnz(overflows, TrapKind::IntegerOverflow);
    }
    t.builder.ins().sdiv(a, b)
}

fn div_u(t: &mut Translator<'_, '_>, a: Value, b: Value) -> Value {
    check_divisor(t, b);
    t.builder.ins().udiv(a, b)
}

fn rem_s(t: &mut Translator<'_, '_>, a: Value, b: Value) -> Value {
    check_divisor(t, b);
    t.builder.ins().srem(a, b)
}

fn rem_u(t: &mut Translator<'_, '_>, a: Value, b: Value) -> Value {
    check_divisor(t, b);
    t.builder.ins().urem(a, b)
}

/// Cranelift's division traps by itself; when traps are explicit it must never come to that.
fn check_divisor(t: &mut Translator<'_, '_>, divisor: Value) {
    if t.env.options.trap_style == TrapStyle::Explicit {
        t.trapz(divisor, TrapKind::IntegerDivideByZero);
    }
}
