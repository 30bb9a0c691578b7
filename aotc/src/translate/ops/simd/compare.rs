//! Comparisons. A lane of the result has all bits set where the comparison holds, else none.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::I8x16Eq => compare(t, I8X16, IntCC::Equal),
        O::I8x16Ne => compare(t, I8X16, IntCC::NotEqual),
        O::I8x16LtS => compare(t, I8X16, IntCC::SignedLessThan),
        O::I8x16LtU => compare(t, I8X16, IntCC::UnsignedLessThan),
        O::I8x16GtS => compare(t, I8X16, IntCC::SignedGreaterThan),
        O::I8x16GtU => compare(t, I8X16, IntCC::UnsignedGreaterThan),
        O::I8x16LeS => compare(t, I8X16, IntCC::SignedLessThanOrEqual),
        O::I8x16LeU => compare(t, I8X16, IntCC::UnsignedLessThanOrEqual),
        O::I8x16GeS => compare(t, I8X16, IntCC::SignedGreaterThanOrEqual),
        O::I8x16GeU => compare(t, I8X16, IntCC::UnsignedGreaterThanOrEqual),
        O::I16x8Eq => compare(t, I16X8, IntCC::Equal),
        O::I16x8Ne => compare(t, I16X8, IntCC::NotEqual),
        O::I16x8LtS => compare(t, I16X8, IntCC::SignedLessThan),
        O::I16x8LtU => compare(t, I16X8, IntCC::UnsignedLessThan),
        O::I16x8GtS => compare(t, I16X8, IntCC::SignedGreaterThan),
        O::I16x8GtU => compare(t, I16X8, IntCC::UnsignedGreaterThan),
        O::I16x8LeS => compare(t, I16X8, IntCC::SignedLessThanOrEqual),
        O::I16x8LeU => compare(t, I16X8, IntCC::UnsignedLessThanOrEqual),
        O::I16x8GeS => compare(t, I16X8, IntCC::SignedGreaterThanOrEqual),
        O::I16x8GeU => compare(t, I16X8, IntCC::UnsignedGreaterThanOrEqual),
        O::I32x4Eq => compare(t, I32X4, IntCC::Equal),
        O::I32x4Ne => compare(t, I32X4, IntCC::NotEqual),
        O::I32x4LtS => compare(t, I32X4, IntCC::SignedLessThan),
        O::I32x4LtU => compare(t, I32X4, IntCC::UnsignedLessThan),
        O::I32x4GtS => compare(t, I32X4, IntCC::SignedGreaterThan),
        O::I32x4GtU => compare(t, I32X4, IntCC::UnsignedGreaterThan),
        O::I32x4LeS => compare(t, I32X4, IntCC::SignedLessThanOrEqual),
        O::I32x4LeU => compare(t, I32X4, IntCC::UnsignedLessThanOrEqual),
        O::I32x4GeS => compare(t, I32X4, IntCC::SignedGreaterThanOrEqual),
        O::I32x4GeU => compare(t, I32X4, IntCC::UnsignedGreaterThanOrEqual),
        O::I64x2Eq => compare(t, I64X2, IntCC::Equal),
        O::I64x2Ne => compare(t, I64X2, IntCC::NotEqual),
        O::I64x2LtS => compare(t, I64X2, IntCC::SignedLessThan),
        O::I64x2GtS => compare(t, I64X2, IntCC::SignedGreaterThan),
        O::I64x2LeS => compare(t, I64X2, IntCC::SignedLessThanOrEqual),
        O::I64x2GeS => compare(t, I64X2, IntCC::SignedGreaterThanOrEqual),
        O::F32x4Eq => compare_floats(t, F32X4, FloatCC::Equal),
        O::F32x4Ne => compare_floats(t, F32X4, FloatCC::NotEqual),
        O::F32x4Lt => compare_floats(t, F32X4, FloatCC::LessThan),
        O::F32x4Gt => compare_floats(t, F32X4, FloatCC::GreaterThan),
        O::F32x4Le => compare_floats(t, F32X4, FloatCC::LessThanOrEqual),
        O::F32x4Ge => compare_floats(t, F32X4, FloatCC::GreaterThanOrEqual),
        O::F64x2Eq => compare_floats(t, F64X2, FloatCC::Equal),
        O::F64x2Ne => compare_floats(t, F64X2, FloatCC::NotEqual),
        O::F64x2Lt => compare_floats(t, F64X2, FloatCC::LessThan),
        O::F64x2Gt => compare_floats(t, F64X2, FloatCC::GreaterThan),
        O::F64x2Le => compare_floats(t, F64X2, FloatCC::LessThanOrEqual),
        O::F64x2Ge => compare_floats(t, F64X2, FloatCC::GreaterThanOrEqual),
        _ => return false,
    }
    true
}

fn compare(t: &mut Translator<'_, '_>, ty: Type, condition: IntCC) {
    let (a, b) = t.pop2_as(ty);
    let mask = t.builder.ins().icmp(condition, a, b);
    t.push_vector(mask);
}

fn compare_floats(t: &mut Translator<'_, '_>, ty: Type, condition: FloatCC) {
    let (a, b) = t.pop2_as(ty);
    let mask = t.builder.ins().fcmp(condition, a, b);
    t.push_vector(mask);
}
