//! Vectors from constants, scalars and the lanes of other vectors, and back.

use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match *operator {
        O::V128Const { value } => {
            let value = t.vector_constant(I8X16, *value.bytes());
            t.push_vector(value);
        }
        O::I8x16Shuffle { lanes } => shuffle(t, lanes),
        O::I8x16Swizzle => {
            let (vector, lanes) = t.pop2_as(I8X16);
            let result = t.builder.ins().swizzle(vector, lanes);
            t.push_vector(result);
        }
        O::I8x16Splat => splat(t, I8X16),
        O::I16x8Splat => splat(t, I16X8),
        O::I32x4Splat => splat(t, I32X4),
        O::I64x2Splat => splat(t, I64X2),
        O::F32x4Splat => splat(t, F32X4),
        O::F64x2Splat => splat(t, F64X2),
        O::I8x16ExtractLaneS { lane } => extract_signed(t, I8X16, lane),
        O::I8x16ExtractLaneU { lane } => extract_unsigned(t, I8X16, lane),
        O::I16x8ExtractLaneS { lane } => extract_signed(t, I16X8, lane),
        O::I16x8ExtractLaneU { lane } => extract_unsigned(t, I16X8, lane),
        O::I32x4ExtractLane { lane } => extract(t, I32X4, lane),
        O::I64x2ExtractLane { lane } => extract(t, I64X2, lane),
        O::F32x4ExtractLane { lane } => extract(t, F32X4, lane),
        O::F64x2ExtractLane { lane } => extract(t, F64X2, lane),
        O::I8x16ReplaceLane { lane } => replace(t, I8X16, lane),
        O::I16x8ReplaceLane { lane } => replace(t, I16X8, lane),
        O::I32x4ReplaceLane { lane } => replace(t, I32X4, lane),
        O::I64x2ReplaceLane { lane } => replace(t, I64X2, lane),
        O::F32x4ReplaceLane { lane } => replace(t, F32X4, lane),
        O::F64x2ReplaceLane { lane } => replace(t, F64X2, lane),
        _ => return false,
    }
    true
}

/// Selects by constants: 0 to 15 are the bytes of the first vector, 16 to 31 those of the second.
fn shuffle(t: &mut Translator<'_, '_>, lanes: [u8; 16]) {
    let (a, b) = t.pop2_as(I8X16);
    let lanes = t.builder.func.dfg.immediates.push(lanes.as_slice().into());
    let result = t.builder.ins().shuffle(a, b, lanes);
    t.push_vector(result);
}

fn splat(t: &mut Translator<'_, '_>, ty: Type) {
    let value = pop_lane(t, ty);
    let vector = t.builder.ins().splat(ty, value);
    t.push_vector(vector);
}

fn extract(t: &mut Translator<'_, '_>, ty: Type, lane: u8) {
    let value = pop_extracted(t, ty, lane);
    t.push(value);
}

fn extract_signed(t: &mut Translator<'_, '_>, ty: Type, lane: u8) {
    let value = pop_extracted(t, ty, lane);
    let value = t.builder.ins().sextend(I32, value);
    t.push(value);
}

fn extract_unsigned(t: &mut Translator<'_, '_>, ty: Type, lane: u8) {
    let value = pop_extracted(t, ty, lane);
    let value = t.builder.ins().uextend(I32, value);
    t.push(value);
}

fn replace(t: &mut Translator<'_, '_>, ty: Type, lane: u8) {
    let value = pop_lane(t, ty);
    let vector = t.pop_as(ty);
    let result = t.builder.ins().insertlane(vector, value, lane);
    t.push_vector(result);
}

/// Takes the topmost vector and gives one of its lanes.
fn pop_extracted(t: &mut Translator<'_, '_>, ty: Type, lane: u8) -> Value {
    let vector = t.pop_as(ty);
    t.builder.ins().extractlane(vector, lane)
}

/// Takes a scalar that becomes a lane of `ty`. Lanes of 8 and 16 bits arrive as `i32`.
fn pop_lane(t: &mut Translator<'_, '_>, ty: Type) -> Value {
    let value = t.pop();
    if ty.lane_bits() < I32.bits() { t.builder.ins().ireduce(ty.lane_type(), value) } else { value }
}
