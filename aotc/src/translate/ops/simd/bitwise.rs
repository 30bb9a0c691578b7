//! Operators on a vector as 128 bits.

use cranelift_codegen::ir::types::{I8X16, I32};
use cranelift_codegen::ir::{InstBuilder, Opcode};
use wasmparser::Operator;

use super::{binary, unary};
use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::V128Not => unary(t, I8X16, Opcode::Bnot),
        O::V128And => binary(t, I8X16, Opcode::Band),
        O::V128AndNot => and_not(t),
        O::V128Or => binary(t, I8X16, Opcode::Bor),
        O::V128Xor => binary(t, I8X16, Opcode::Bxor),
        O::V128Bitselect => bitselect(t),
        O::V128AnyTrue => any_true(t),
        _ => return false,
    }
    true
}

/// The bits of the first that the second lacks.
fn and_not(t: &mut Translator<'_, '_>) {
    let (a, b) = t.pop2_as(I8X16);
    let result = t.builder.ins().band_not(a, b);
    t.push_vector(result);
}

/// The bits of the first where the mask is set, else those of the second.
///
/// The mask keeps the lanes it was made with: Cranelift then sees a comparison, and blends.
fn bitselect(t: &mut Translator<'_, '_>) {
    let (a, b, mask) = t.pop3();
    let mask = t.uncast(mask);
    let ty = t.builder.func.dfg.value_type(mask);
    let (a, b) = (t.vector_as(a, ty), t.vector_as(b, ty));
    let result = t.builder.ins().bitselect(mask, a, b);
    t.push_vector(result);
}

fn any_true(t: &mut Translator<'_, '_>) {
    let vector = t.pop_as(I8X16);
    let any = t.builder.ins().vany_true(vector);
    let any = t.builder.ins().uextend(I32, any);
    t.push(any);
}
