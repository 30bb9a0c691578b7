//! Float arithmetic.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, F64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use wasmparser::Operator;

use super::{binary, unary};
use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::F32x4Ceil => unary(t, F32X4, Opcode::Ceil),
        O::F32x4Floor => unary(t, F32X4, Opcode::Floor),
        O::F32x4Trunc => unary(t, F32X4, Opcode::Trunc),
        O::F32x4Nearest => unary(t, F32X4, Opcode::Nearest),
        O::F32x4Abs => unary(t, F32X4, Opcode::Fabs),
        O::F32x4Neg => unary(t, F32X4, Opcode::Fneg),
        O::F32x4Sqrt => unary(t, F32X4, Opcode::Sqrt),
        O::F32x4Add => binary(t, F32X4, Opcode::Fadd),
        O::F32x4Sub => binary(t, F32X4, Opcode::Fsub),
        O::F32x4Mul => binary(t, F32X4, Opcode::Fmul),
        O::F32x4Div => binary(t, F32X4, Opcode::Fdiv),
        O::F32x4Min => binary(t, F32X4, Opcode::Fmin),
        O::F32x4Max => binary(t, F32X4, Opcode::Fmax),
        O::F32x4PMin => pseudo_minimum(t, F32X4),
        O::F32x4PMax => pseudo_maximum(t, F32X4),
        O::F64x2Ceil => unary(t, F64X2, Opcode::Ceil),
        O::F64x2Floor => unary(t, F64X2, Opcode::Floor),
        O::F64x2Trunc => unary(t, F64X2, Opcode::Trunc),
        O::F64x2Nearest => unary(t, F64X2, Opcode::Nearest),
        O::F64x2Abs => unary(t, F64X2, Opcode::Fabs),
        O::F64x2Neg => unary(t, F64X2, Opcode::Fneg),
        O::F64x2Sqrt => unary(t, F64X2, Opcode::Sqrt),
        O::F64x2Add => binary(t, F64X2, Opcode::Fadd),
        O::F64x2Sub => binary(t, F64X2, Opcode::Fsub),
        O::F64x2Mul => binary(t, F64X2, Opcode::Fmul),
        O::F64x2Div => binary(t, F64X2, Opcode::Fdiv),
        O::F64x2Min => binary(t, F64X2, Opcode::Fmin),
        O::F64x2Max => binary(t, F64X2, Opcode::Fmax),
        O::F64x2PMin => pseudo_minimum(t, F64X2),
        O::F64x2PMax => pseudo_maximum(t, F64X2),
        _ => return false,
    }
    true
}

/// The second where it is less than the first, else the first.
fn pseudo_minimum(t: &mut Translator<'_, '_>, ty: Type) {
    let (a, b) = t.pop2_as(ty);
    let less = t.builder.ins().fcmp(FloatCC::LessThan, b, a);
    select(t, less, b, a);
}

/// The second where the first is less than it, else the first.
fn pseudo_maximum(t: &mut Translator<'_, '_>, ty: Type) {
    let (a, b) = t.pop2_as(ty);
    let less = t.builder.ins().fcmp(FloatCC::LessThan, a, b);
    select(t, less, b, a);
}

/// Pushes `yes` where `mask` is set, else `no`.
///
/// Selects between float lanes: only so are x86-64's `minps` and `maxps` recognised.
fn select(t: &mut Translator<'_, '_>, mask: Value, yes: Value, no: Value) {
    let mask = t.vector_as(mask, t.builder.func.dfg.value_type(yes));
    let result = t.builder.ins().bitselect(mask, yes, no);
    t.push_vector(result);
}
