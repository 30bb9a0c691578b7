//! Constant expressions as code.

use aotc_abi::types::ValType;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Translator;
use crate::parse::{ConstExpr, ConstOp};
use crate::plan::Constant;

impl Translator<'_, '_> {
    /// The value of a constant expression.
    pub(super) fn const_expr(&mut self, expr: &ConstExpr) -> Value {
        for &op in &expr.0 {
            let value = match op {
                ConstOp::I32(value) => self.known(ValType::I32, u128::from(value as u32)),
                ConstOp::I64(value) => self.known(ValType::I64, u128::from(value as u64)),
                ConstOp::F32(bits) => self.known(ValType::F32, bits.into()),
                ConstOp::F64(bits) => self.known(ValType::F64, bits.into()),
                ConstOp::V128(bits) => self.known(ValType::V128, bits),
                ConstOp::RefNull => self.builder.ins().iconst(types::I64, 0),
                ConstOp::RefFunc(function) => self.ref_func(function),
                ConstOp::GlobalGet(global) => self.global_get(global),
                ConstOp::I32Add | ConstOp::I64Add => {
                    let (a, b) = self.pop2();
                    self.builder.ins().iadd(a, b)
                }
                ConstOp::I32Sub | ConstOp::I64Sub => {
                    let (a, b) = self.pop2();
                    self.builder.ins().isub(a, b)
                }
                ConstOp::I32Mul | ConstOp::I64Mul => {
                    let (a, b) = self.pop2();
                    self.builder.ins().imul(a, b)
                }
            };
            self.push(value);
        }
        self.pop()
    }

    fn known(&mut self, ty: ValType, bits: u128) -> Value {
        self.constant(Constant { ty, bits })
    }
}
