//! Integer arithmetic on lanes that keep their width.

use cranelift_codegen::ir::types::{I8X16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type};
use wasmparser::Operator;

use super::{binary, unary};
use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::I8x16Abs => unary(t, I8X16, Opcode::Iabs),
        O::I8x16Neg => unary(t, I8X16, Opcode::Ineg),
        O::I8x16Popcnt => unary(t, I8X16, Opcode::Popcnt),
        O::I8x16AllTrue => all_true(t, I8X16),
        O::I8x16Bitmask => bitmask(t, I8X16),
        O::I8x16Shl => shift(t, I8X16, Opcode::Ishl),
        O::I8x16ShrS => shift(t, I8X16, Opcode::Sshr),
        O::I8x16ShrU => shift(t, I8X16, Opcode::Ushr),
        O::I8x16Add => binary(t, I8X16, Opcode::Iadd),
        O::I8x16AddSatS => binary(t, I8X16, Opcode::SaddSat),
        O::I8x16AddSatU => binary(t, I8X16, Opcode::UaddSat),
        O::I8x16Sub => binary(t, I8X16, Opcode::Isub),
        O::I8x16SubSatS => binary(t, I8X16, Opcode::SsubSat),
        O::I8x16SubSatU => binary(t, I8X16, Opcode::UsubSat),
        O::I8x16MinS => binary(t, I8X16, Opcode::Smin),
        O::I8x16MinU => binary(t, I8X16, Opcode::Umin),
        O::I8x16MaxS => binary(t, I8X16, Opcode::Smax),
        O::I8x16MaxU => binary(t, I8X16, Opcode::Umax),
        O::I8x16AvgrU => binary(t, I8X16, Opcode::AvgRound),
        O::I16x8Abs => unary(t, I16X8, Opcode::Iabs),
        O::I16x8Neg => unary(t, I16X8, Opcode::Ineg),
        O::I16x8AllTrue => all_true(t, I16X8),
        O::I16x8Bitmask => bitmask(t, I16X8),
        O::I16x8Shl => shift(t, I16X8, Opcode::Ishl),
        O::I16x8ShrS => shift(t, I16X8, Opcode::Sshr),
        O::I16x8ShrU => shift(t, I16X8, Opcode::Ushr),
        O::I16x8Add => binary(t, I16X8, Opcode::Iadd),
        O::I16x8AddSatS => binary(t, I16X8, Opcode::SaddSat),
        O::I16x8AddSatU => binary(t, I16X8, Opcode::UaddSat),
        O::I16x8Sub => binary(t, I16X8, Opcode::Isub),
        O::I16x8SubSatS => binary(t, I16X8, Opcode::SsubSat),
        O::I16x8SubSatU => binary(t, I16X8, Opcode::UsubSat),
        O::I16x8Mul => binary(t, I16X8, Opcode::Imul),
        O::I16x8Q15MulrSatS => binary(t, I16X8, Opcode::SqmulRoundSat),
        O::I16x8MinS => binary(t, I16X8, Opcode::Smin),
        O::I16x8MinU => binary(t, I16X8, Opcode::Umin),
        O::I16x8MaxS => binary(t, I16X8, Opcode::Smax),
        O::I16x8MaxU => binary(t, I16X8, Opcode::Umax),
        O::I16x8AvgrU => binary(t, I16X8, Opcode::AvgRound),
        O::I32x4Abs => unary(t, I32X4, Opcode::Iabs),
        O::I32x4Neg => unary(t, I32X4, Opcode::Ineg),
        O::I32x4AllTrue => all_true(t, I32X4),
        O::I32x4Bitmask => bitmask(t, I32X4),
        O::I32x4Shl => shift(t, I32X4, Opcode::Ishl),
        O::I32x4ShrS => shift(t, I32X4, Opcode::Sshr),
        O::I32x4ShrU => shift(t, I32X4, Opcode::Ushr),
        O::I32x4Add => binary(t, I32X4, Opcode::Iadd),
        O::I32x4Sub => binary(t, I32X4, Opcode::Isub),
        O::I32x4Mul => binary(t, I32X4, Opcode::Imul),
        O::I32x4MinS => binary(t, I32X4, Opcode::Smin),
        O::I32x4MinU => binary(t, I32X4, Opcode::Umin),
        O::I32x4MaxS => binary(t, I32X4, Opcode::Smax),
        O::I32x4MaxU => binary(t, I32X4, Opcode::Umax),
        O::I64x2Abs => unary(t, I64X2, Opcode::Iabs),
        O::I64x2Neg => unary(t, I64X2, Opcode::Ineg),
        O::I64x2AllTrue => all_true(t, I64X2),
        O::I64x2Bitmask => bitmask(t, I64X2),
        O::I64x2Shl => shift(t, I64X2, Opcode::Ishl),
        O::I64x2ShrS => shift(t, I64X2, Opcode::Sshr),
        O::I64x2ShrU => shift(t, I64X2, Opcode::Ushr),
        O::I64x2Add => binary(t, I64X2, Opcode::Iadd),
        O::I64x2Sub => binary(t, I64X2, Opcode::Isub),
        O::I64x2Mul => binary(t, I64X2, Opcode::Imul),
        _ => return false,
    }
    true
}

/// Shifts all lanes by one scalar. Cranelift takes the count modulo the width of a lane, as the
/// specification does.
fn shift(t: &mut Translator<'_, '_>, ty: Type, opcode: Opcode) {
    let count = t.pop();
    let vector = t.pop_as(ty);
    let result = t.vector_binary(opcode, vector, count);
    t.push_vector(result);
}

fn all_true(t: &mut Translator<'_, '_>, ty: Type) {
    let vector = t.pop_as(ty);
    let all = t.builder.ins().vall_true(vector);
    let all = t.builder.ins().uextend(I32, all);
    t.push(all);
}

/// The highest bit of each lane.
fn bitmask(t: &mut Translator<'_, '_>, ty: Type) {
    let vector = t.pop_as(ty);
    let mask = t.builder.ins().vhigh_bits(I32, vector);
    t.push(mask);
}
