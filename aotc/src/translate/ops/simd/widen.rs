//! Integer operators between lanes of a width and lanes of twice that width.

use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use wasmparser::Operator;

use super::{binary, unary};
use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        // Both read signed lanes; the suffix is what they saturate to.
        O::I8x16NarrowI16x8S => binary(t, I16X8, Opcode::Snarrow),
        O::I8x16NarrowI16x8U => binary(t, I16X8, Opcode::Unarrow),
        O::I16x8NarrowI32x4S => binary(t, I32X4, Opcode::Snarrow),
        O::I16x8NarrowI32x4U => binary(t, I32X4, Opcode::Unarrow),
        O::I16x8ExtendLowI8x16S => unary(t, I8X16, Opcode::SwidenLow),
        O::I16x8ExtendLowI8x16U => unary(t, I8X16, Opcode::UwidenLow),
        O::I16x8ExtendHighI8x16S => unary(t, I8X16, Opcode::SwidenHigh),
        O::I16x8ExtendHighI8x16U => unary(t, I8X16, Opcode::UwidenHigh),
        O::I32x4ExtendLowI16x8S => unary(t, I16X8, Opcode::SwidenLow),
        O::I32x4ExtendLowI16x8U => unary(t, I16X8, Opcode::UwidenLow),
        O::I32x4ExtendHighI16x8S => unary(t, I16X8, Opcode::SwidenHigh),
        O::I32x4ExtendHighI16x8U => unary(t, I16X8, Opcode::UwidenHigh),
        O::I64x2ExtendLowI32x4S => unary(t, I32X4, Opcode::SwidenLow),
        O::I64x2ExtendLowI32x4U => unary(t, I32X4, Opcode::UwidenLow),
        O::I64x2ExtendHighI32x4S => unary(t, I32X4, Opcode::SwidenHigh),
        O::I64x2ExtendHighI32x4U => unary(t, I32X4, Opcode::UwidenHigh),
        O::I16x8ExtMulLowI8x16S => multiply(t, I8X16, Opcode::SwidenLow),
        O::I16x8ExtMulLowI8x16U => multiply(t, I8X16, Opcode::UwidenLow),
        O::I16x8ExtMulHighI8x16S => multiply(t, I8X16, Opcode::SwidenHigh),
        O::I16x8ExtMulHighI8x16U => multiply(t, I8X16, Opcode::UwidenHigh),
        O::I32x4ExtMulLowI16x8S => multiply(t, I16X8, Opcode::SwidenLow),
        O::I32x4ExtMulLowI16x8U => multiply(t, I16X8, Opcode::UwidenLow),
        O::I32x4ExtMulHighI16x8S => multiply(t, I16X8, Opcode::SwidenHigh),
        O::I32x4ExtMulHighI16x8U => multiply(t, I16X8, Opcode::UwidenHigh),
        O::I64x2ExtMulLowI32x4S => multiply(t, I32X4, Opcode::SwidenLow),
        O::I64x2ExtMulLowI32x4U => multiply(t, I32X4, Opcode::UwidenLow),
        O::I64x2ExtMulHighI32x4S => multiply(t, I32X4, Opcode::SwidenHigh),
        O::I64x2ExtMulHighI32x4U => multiply(t, I32X4, Opcode::UwidenHigh),
        O::I16x8ExtAddPairwiseI8x16S => add_pairwise_signed(t, I8X16),
        O::I16x8ExtAddPairwiseI8x16U => add_pairwise_unsigned(t, I8X16),
        O::I32x4ExtAddPairwiseI16x8S => add_pairwise_signed(t, I16X8),
        O::I32x4ExtAddPairwiseI16x8U => add_pairwise_unsigned(t, I16X8),
        O::I32x4DotI16x8S => dot(t),
        _ => return false,
    }
    true
}

/// Multiplies the halves of two vectors that `widen` takes, without overflow.
fn multiply(t: &mut Translator<'_, '_>, ty: Type, widen: Opcode) {
    let (a, b) = t.pop2_as(ty);
    let product = widened_product(t, a, b, widen);
    t.push_vector(product);
}

/// Adds neighbouring lanes without overflow.
fn add_pairwise_signed(t: &mut Translator<'_, '_>, ty: Type) {
    let vector = t.pop_as(ty);
    let low = t.builder.ins().swiden_low(vector);
    let high = t.builder.ins().swiden_high(vector);
    let sums = t.builder.ins().iadd_pairwise(low, high);
    t.push_vector(sums);
}

/// Adds neighbouring lanes without overflow.
fn add_pairwise_unsigned(t: &mut Translator<'_, '_>, ty: Type) {
    let vector = t.pop_as(ty);
    let low = t.builder.ins().uwiden_low(vector);
    let high = t.builder.ins().uwiden_high(vector);
    let sums = t.builder.ins().iadd_pairwise(low, high);
    t.push_vector(sums);
}

/// Adds neighbouring products. The sum wraps if all four factors are -2^15, and is exact otherwise.
fn dot(t: &mut Translator<'_, '_>) {
    let (a, b) = t.pop2_as(I16X8);
    let low = widened_product(t, a, b, Opcode::SwidenLow);
    let high = widened_product(t, a, b, Opcode::SwidenHigh);
    let sums = t.builder.ins().iadd_pairwise(low, high);
    t.push_vector(sums);
}

fn widened_product(t: &mut Translator<'_, '_>, a: Value, b: Value, widen: Opcode) -> Value {
    let a = t.vector_unary(widen, a);
    let b = t.vector_unary(widen, b);
    t.builder.ins().imul(a, b)
}
