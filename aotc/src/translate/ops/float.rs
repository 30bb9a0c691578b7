//! Float arithmetic, comparison, and conversion from and to integers.

use aotc_abi::target::TrapStyle;
use aotc_abi::trap::TrapKind;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::Operator;

use super::integer::{binary, unary};
use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    let (i32, i64, f32, f64) = (types::I32, types::I64, types::F32, types::F64);
    match *operator {
        O::F32Const { value } => {
            let value = t.builder.ins().f32const(Ieee32::with_bits(value.bits()));
            t.push(value);
        }
        O::F64Const { value } => {
            let value = t.builder.ins().f64const(Ieee64::with_bits(value.bits()));
            t.push(value);
        }
        O::F32Add | O::F64Add => binary(t, |t, a, b| t.builder.ins().fadd(a, b)),
        O::F32Sub | O::F64Sub => binary(t, |t, a, b| t.builder.ins().fsub(a, b)),
        O::F32Mul | O::F64Mul => binary(t, |t, a, b| t.builder.ins().fmul(a, b)),
        O::F32Div | O::F64Div => binary(t, |t, a, b| t.builder.ins().fdiv(a, b)),
        O::F32Min | O::F64Min => binary(t, |t, a, b| t.builder.ins().fmin(a, b)),
        O::F32Max | O::F64Max => binary(t, |t, a, b| t.builder.ins().fmax(a, b)),
        O::F32Copysign | O::F64Copysign => binary(t, |t, a, b| t.builder.ins().fcopysign(a, b)),
        O::F32Abs | O::F64Abs => unary(t, |t, a| t.builder.ins().fabs(a)),
        O::F32Neg | O::F64Neg => unary(t, |t, a| t.builder.ins().fneg(a)),
        O::F32Sqrt | O::F64Sqrt => unary(t, |t, a| t.builder.ins().sqrt(a)),
        O::F32Ceil | O::F64Ceil => unary(t, |t, a| t.builder.ins().ceil(a)),
        O::F32Floor | O::F64Floor => unary(t, |t, a| t.builder.ins().floor(a)),
        O::F32Trunc | O::F64Trunc => unary(t, |t, a| t.builder.ins().trunc(a)),
        O::F32Nearest | O::F64Nearest => unary(t, |t, a| t.builder.ins().nearest(a)),
        O::F32Eq | O::F64Eq => compare(t, FloatCC::Equal),
        O::F32Ne | O::F64Ne => compare(t, FloatCC::NotEqual),
        O::F32Lt | O::F64Lt => compare(t, FloatCC::LessThan),
        O::F32Gt | O::F64Gt => compare(t, FloatCC::GreaterThan),
        O::F32Le | O::F64Le => compare(t, FloatCC::LessThanOrEqual),
        O::F32Ge | O::F64Ge => compare(t, FloatCC::GreaterThanOrEqual),
        O::F32DemoteF64 => unary(t, |t, a| t.builder.ins().fdemote(f32, a)),
        O::F64PromoteF32 => unary(t, |t, a| t.builder.ins().fpromote(f64, a)),
        O::I32ReinterpretF32 => reinterpret(t, i32),
        O::I64ReinterpretF64 => reinterpret(t, i64),
        O::F32ReinterpretI32 => reinterpret(t, f32),
        O::F64ReinterpretI64 => reinterpret(t, f64),
        O::F32ConvertI32S | O::F32ConvertI64S => {
            unary(t, |t, a| t.builder.ins().fcvt_from_sint(f32, a));
        }
        O::F32ConvertI32U | O::F32ConvertI64U => {
            unary(t, |t, a| t.builder.ins().fcvt_from_uint(f32, a));
        }
        O::F64ConvertI32S | O::F64ConvertI64S => {
            unary(t, |t, a| t.builder.ins().fcvt_from_sint(f64, a));
        }
        O::F64ConvertI32U | O::F64ConvertI64U => {
            unary(t, |t, a| t.builder.ins().fcvt_from_uint(f64, a));
        }
        O::I32TruncF32S | O::I32TruncF64S => truncate(t, i32, Signedness::Signed),
        O::I32TruncF32U | O::I32TruncF64U => truncate(t, i32, Signedness::Unsigned),
        O::I64TruncF32S | O::I64TruncF64S => truncate(t, i64, Signedness::Signed),
        O::I64TruncF32U | O::I64TruncF64U => truncate(t, i64, Signedness::Unsigned),
        O::I32TruncSatF32S | O::I32TruncSatF64S => {
            unary(t, |t, a| t.builder.ins().fcvt_to_sint_sat(i32, a));
        }
        O::I32TruncSatF32U | O::I32TruncSatF64U => {
            unary(t, |t, a| t.builder.ins().fcvt_to_uint_sat(i32, a));
        }
        O::I64TruncSatF32S | O::I64TruncSatF64S => {
            unary(t, |t, a| t.builder.ins().fcvt_to_sint_sat(i64, a));
        }
        O::I64TruncSatF32U | O::I64TruncSatF64U => {
            unary(t, |t, a| t.builder.ins().fcvt_to_uint_sat(i64, a));
        }
        _ => return false,
    }
    true
}

/// Whether an integer is signed.
#[derive(Clone, Copy)]
enum Signedness {
    Signed,
    Unsigned,
}

fn compare(t: &mut Translator<'_, '_>, condition: FloatCC) {
    binary(t, |t, a, b| {
        let holds = t.builder.ins().fcmp(condition, a, b);
        t.builder.ins().uextend(types::I32, holds)
    });
}

fn reinterpret(t: &mut Translator<'_, '_>, to: Type) {
    unary(t, |t, a| t.builder.ins().bitcast(to, MemFlagsData::new(), a));
}

/// The truncation that traps. Cranelift's own traps by an instruction; when traps are explicit, the
/// conditions are checked first, and the rest is the saturating one.
fn truncate(t: &mut Translator<'_, '_>, to: Type, signedness: Signedness) {
    let value = t.pop();
    let explicit = t.env.options.trap_style == TrapStyle::Explicit;
    if explicit {
        check_truncation(t, value, to, signedness);
    }
    let ins = t.builder.ins();
    let result = match (signedness, explicit) {
        (Signedness::Signed, false) => ins.fcvt_to_sint(to, value),
        (Signedness::Unsigned, false) => ins.fcvt_to_uint(to, value),
        (Signedness::Signed, true) => ins.fcvt_to_sint_sat(to, value),
        (Signedness::Unsigned, true) => ins.fcvt_to_uint_sat(to, value),
    };
    t.push(result);
}

fn check_truncation(t: &mut Translator<'_, '_>, value: Value, to: Type, signedness: Signedness) {
    let from = t.builder.func.dfg.value_type(value);
    let is_nan = t.builder.ins().fcmp(FloatCC::Unordered, value, value);
    t.trapnz(is_nan, TrapKind::InvalidConversionToInteger);
    // The integer part decides; it is exact.
    let value = t.builder.ins().trunc(value);
    let bits = to.bits() as i32;
    // Powers of two are exact in both float types.
    let (least, above) = match signedness {
        Signedness::Signed => (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1)),
        Signedness::Unsigned => (0.0, 2f64.powi(bits)),
    };
    let least = float_constant(t, from, least);
    let above = float_constant(t, from, above);
    let too_small = t.builder.ins().fcmp(FloatCC::LessThan, value, least);
    let too_large = t.builder.ins().fcmp(FloatCC::GreaterThanOrEqual, value, above);
    let outside = t.builder.ins().bor(too_small, too_large);
    t.trapnz(outside, TrapKind::IntegerOverflow);
}

fn float_constant(t: &mut Translator<'_, '_>, ty: Type, value: f64) -> Value {
    if ty == types::F32 {
        t.builder.ins().f32const(value as f32)
    } else {
        t.builder.ins().f64const(value)
    }
}
