//! Vectors, and parts of vectors, from and to linear memory.

use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use cranelift_frontend::FuncInstBuilder;
use wasmparser::{MemArg, Operator};

use crate::translate::Translator;
use crate::translate::memory::Address;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match *operator {
        O::V128Load { ref memarg } => t.load(memarg, I8X16),
        O::V128Store { ref memarg } => t.store(memarg, I8X16),
        O::V128Load8x8S { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.sload8x8(at.flags, at.base, at.offset));
        }
        O::V128Load8x8U { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.uload8x8(at.flags, at.base, at.offset));
        }
        O::V128Load16x4S { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.sload16x4(at.flags, at.base, at.offset));
        }
        O::V128Load16x4U { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.uload16x4(at.flags, at.base, at.offset));
        }
        O::V128Load32x2S { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.sload32x2(at.flags, at.base, at.offset));
        }
        O::V128Load32x2U { ref memarg } => {
            load_extend(t, memarg, |ins, at| ins.uload32x2(at.flags, at.base, at.offset));
        }
        O::V128Load8Splat { ref memarg } => load_splat(t, memarg, I8X16),
        O::V128Load16Splat { ref memarg } => load_splat(t, memarg, I16X8),
        O::V128Load32Splat { ref memarg } => load_splat(t, memarg, I32X4),
        O::V128Load64Splat { ref memarg } => load_splat(t, memarg, I64X2),
        O::V128Load32Zero { ref memarg } => load_zero(t, memarg, I32X4),
        O::V128Load64Zero { ref memarg } => load_zero(t, memarg, I64X2),
        O::V128Load8Lane { ref memarg, lane } => load_lane(t, memarg, I8X16, lane),
        O::V128Load16Lane { ref memarg, lane } => load_lane(t, memarg, I16X8, lane),
        O::V128Load32Lane { ref memarg, lane } => load_lane(t, memarg, I32X4, lane),
        O::V128Load64Lane { ref memarg, lane } => load_lane(t, memarg, I64X2, lane),
        O::V128Store8Lane { ref memarg, lane } => store_lane(t, memarg, I8X16, lane),
        O::V128Store16Lane { ref memarg, lane } => store_lane(t, memarg, I16X8, lane),
        O::V128Store32Lane { ref memarg, lane } => store_lane(t, memarg, I32X4, lane),
        O::V128Store64Lane { ref memarg, lane } => store_lane(t, memarg, I64X2, lane),
        _ => return false,
    }
    true
}

/// Loads 64 bits, with `load`, and makes every lane twice as wide.
fn load_extend(
    t: &mut Translator<'_, '_>,
    memarg: &MemArg,
    load: impl FnOnce(FuncInstBuilder<'_, '_>, Address) -> Value,
) {
    let address = t.pop_address(memarg, 8);
    let vector = load(t.builder.ins(), address);
    t.push_vector(vector);
}

/// Loads a lane of `ty` into all lanes.
fn load_splat(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type) {
    let value = load_scalar(t, memarg, ty.lane_type());
    let vector = t.builder.ins().splat(ty, value);
    t.push_vector(vector);
}

/// Loads a lane of `ty` into the lowest; the others become zero.
fn load_zero(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type) {
    let value = load_scalar(t, memarg, ty.lane_type());
    let vector = t.builder.ins().scalar_to_vector(ty, value);
    t.push_vector(vector);
}

/// Loads one lane of the topmost vector.
fn load_lane(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type, lane: u8) {
    let vector = t.pop_as(ty);
    let value = load_scalar(t, memarg, ty.lane_type());
    let vector = t.builder.ins().insertlane(vector, value, lane);
    t.push_vector(vector);
}

/// Stores one lane of the topmost vector.
fn store_lane(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type, lane: u8) {
    let vector = t.pop_as(ty);
    let value = t.builder.ins().extractlane(vector, lane);
    t.push(value);
    t.store(memarg, ty.lane_type());
}

fn load_scalar(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type) -> Value {
    t.load(memarg, ty);
    t.pop()
}
