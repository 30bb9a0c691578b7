//! 128-bit vectors.
//!
//! On the operand stack a vector is always [`types::I8X16`]. An operator casts its operands to the
//! lanes it works on, and its result back:
//!
//! ```text
//!   I8X16 ── pop_as ──▶ I32X4 ── the operator ──▶ I32X4 ── push_vector ──▶ I8X16
//! ```
//!
//! Casts become no machine code, but Cranelift's instruction selection does not look through them.
//! Therefore [`Translator::vector_as`] leaves out a pair of casts that cancel each other.

mod bitwise;
mod compare;
mod convert;
mod float;
mod integer;
mod lanes;
mod memory;
mod widen;

use cranelift_codegen::ir::{
    Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, types,
};
use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(t: &mut Translator<'_, '_>, operator: &Operator<'_>) -> bool {
    memory::translate(t, operator)
        || lanes::translate(t, operator)
        || bitwise::translate(t, operator)
        || compare::translate(t, operator)
        || integer::translate(t, operator)
        || widen::translate(t, operator)
        || float::translate(t, operator)
        || convert::translate(t, operator)
}

/// Replaces the topmost vector, whose lanes are `ty`, by what `opcode` makes of it.
fn unary(t: &mut Translator<'_, '_>, ty: Type, opcode: Opcode) {
    let a = t.pop_as(ty);
    let result = t.vector_unary(opcode, a);
    t.push_vector(result);
}

/// Replaces the two topmost vectors, whose lanes are `ty`, by what `opcode` makes of them.
fn binary(t: &mut Translator<'_, '_>, ty: Type, opcode: Opcode) {
    let (a, b) = t.pop2_as(ty);
    let result = t.vector_binary(opcode, a, b);
    t.push_vector(result);
}

impl Translator<'_, '_> {
    /// Takes the topmost value, a vector, as one of type `ty`.
    fn pop_as(&mut self, ty: Type) -> Value {
        let vector = self.pop();
        self.vector_as(vector, ty)
    }

    /// Takes the two topmost values as vectors of type `ty`; the first pushed comes first.
    fn pop2_as(&mut self, ty: Type) -> (Value, Value) {
        let (a, b) = self.pop2();
        (self.vector_as(a, ty), self.vector_as(b, ty))
    }

    /// Puts a vector of any type on the operand stack.
    fn push_vector(&mut self, vector: Value) {
        let vector = self.vector_as(vector, types::I8X16);
        self.push(vector);
    }

    /// The bits of `vector` as a vector of type `ty`. Lane 0 is in the lowest bits whatever the type.
    fn vector_as(&mut self, vector: Value, ty: Type) -> Value {
        for candidate in [vector, self.uncast(vector)] {
            if self.builder.func.dfg.value_type(candidate) == ty {
                return candidate;
            }
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(ty, flags, vector)
    }

    /// The vector that `vector` is a cast of, or itself.
    fn uncast(&self, vector: Value) -> Value {
        let dfg = &self.builder.func.dfg;
        match dfg.value_def(vector).inst().map(|inst| dfg.insts[inst]) {
            Some(InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }) => arg,
            _ => vector,
        }
    }

    /// An instruction whose controlling type is that of its operand.
    fn vector_unary(&mut self, opcode: Opcode, a: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let (inst, dfg) = self.builder.ins().Unary(opcode, ty, a);
        dfg.first_result(inst)
    }

    /// An instruction whose controlling type is that of its operands.
    fn vector_binary(&mut self, opcode: Opcode, a: Value, b: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let (inst, dfg) = self.builder.ins().Binary(opcode, ty, a, b);
        dfg.first_result(inst)
    }

    /// A constant vector; `bytes` from the lowest on.
    fn vector_constant(&mut self, ty: Type, bytes: [u8; 16]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(bytes.as_slice().into());
        self.builder.ins().vconst(ty, constant)
    }
}
