//! Conversions between integers and floats, and between the two sizes of floats.

use cranelift_codegen::ir::types::{F32X4, F64X2, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type};
use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::I32x4TruncSatF32x4S => convert(t, F32X4, Opcode::FcvtToSintSat, I32X4),
        O::I32x4TruncSatF32x4U => convert(t, F32X4, Opcode::FcvtToUintSat, I32X4),
        O::F32x4ConvertI32x4S => convert(t, I32X4, Opcode::FcvtFromSint, F32X4),
        O::F32x4ConvertI32x4U => convert(t, I32X4, Opcode::FcvtFromUint, F32X4),
        O::I32x4TruncSatF64x2SZero => truncate_signed(t),
        O::I32x4TruncSatF64x2UZero => truncate_unsigned(t),
        O::F64x2ConvertLowI32x4S => convert_low_signed(t),
        O::F64x2ConvertLowI32x4U => convert_low_unsigned(t),
        O::F32x4DemoteF64x2Zero => demote(t),
        O::F64x2PromoteLowF32x4 => promote_low(t),
        _ => return false,
    }
    true
}

/// A conversion between lanes of the same width.
fn convert(t: &mut Translator<'_, '_>, from: Type, opcode: Opcode, to: Type) {
    let a = t.pop_as(from);
    let (inst, dfg) = t.builder.ins().Unary(opcode, to, a);
    let result = dfg.first_result(inst);
    t.push_vector(result);
}

/// Two floats to two integers of half the width, saturating; the upper half becomes zero.
///
/// Saturating twice, first to 64 bits, gives the same. The x86-64 instruction selection knows only
/// this combination.
fn truncate_signed(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(F64X2);
    let wide = t.builder.ins().fcvt_to_sint_sat(I64X2, a);
    let zero = t.vector_constant(I64X2, [0; 16]);
    let result = t.builder.ins().snarrow(wide, zero);
    t.push_vector(result);
}

/// The unsigned counterpart of [`truncate_signed`].
fn truncate_unsigned(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(F64X2);
    let wide = t.builder.ins().fcvt_to_uint_sat(I64X2, a);
    let zero = t.vector_constant(I64X2, [0; 16]);
    let result = t.builder.ins().uunarrow(wide, zero);
    t.push_vector(result);
}

/// The two low integers to floats of twice the width; exact.
fn convert_low_signed(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(I32X4);
    let wide = t.builder.ins().swiden_low(a);
    let result = t.builder.ins().fcvt_from_sint(F64X2, wide);
    t.push_vector(result);
}

/// The two low integers to floats of twice the width; exact.
fn convert_low_unsigned(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(I32X4);
    let wide = t.builder.ins().uwiden_low(a);
    let result = t.builder.ins().fcvt_from_uint(F64X2, wide);
    t.push_vector(result);
}

/// Two floats to floats of half the width; the upper half becomes zero.
fn demote(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(F64X2);
    let result = t.builder.ins().fvdemote(a);
    t.push_vector(result);
}

/// The two low floats to floats of twice the width.
fn promote_low(t: &mut Translator<'_, '_>) {
    let a = t.pop_as(F32X4);
    let result = t.builder.ins().fvpromote_low(a);
    t.push_vector(result);
}
