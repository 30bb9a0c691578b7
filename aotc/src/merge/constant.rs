//! Constant expressions of the merged module.
//!
//! A constant may read only imported globals, and an import that is satisfied is none any more. So what the global is
//! initialised with stands in its place: it does not change, and to compute it twice has no effect.

use aotc_abi::index::{FuncIndex, GlobalIndex};
use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasm_encoder::{ConstExpr, HeapType, Instruction};

use super::encode::Merge;
use super::resolve::Item;
use crate::error::{Error, Result};
use crate::parse::{self, ConstOp};

/// Most instructions of a constant, after globals have been replaced by what they are initialised with.
const OPERATORS_MAX: usize = 1 << 16;

impl Merge<'_> {
    /// The constant `expr` of `part`, in the indices of the merged module.
    ///
    /// # Errors
    /// [`Error::Limit`] if it becomes too long.
    pub(super) fn constant(
        &self,
        part: usize,
        expr: &parse::ConstExpr,
    ) -> Result<parse::ConstExpr> {
        let mut ops = Vec::new();
        self.append(part, expr, &mut ops)?;
        Ok(parse::ConstExpr(ops))
    }

    fn append(&self, part: usize, expr: &parse::ConstExpr, ops: &mut Vec<ConstOp>) -> Result<()> {
        for op in &expr.0 {
            match *op {
                ConstOp::GlobalGet(GlobalIndex(index)) => {
                    match self.item(part, ExternKind::Global, index) {
                        Item::Import(_) | Item::Bound(_) => {
                            let index = self.index(part, ExternKind::Global, index);
                            ops.push(ConstOp::GlobalGet(GlobalIndex(index)));
                        }
                        Item::Defined { part, index } => {
                            let global = &self.parts[part].module.globals[index as usize];
                            let init = global.init.as_ref().expect("what is defined has a value");
                            self.append(part, init, ops)?;
                        }
                    }
                }
                ConstOp::RefFunc(FuncIndex(index)) => {
                    let index = self.index(part, ExternKind::Func, index);
                    ops.push(ConstOp::RefFunc(FuncIndex(index)));
                }
                ConstOp::I32(_)
                | ConstOp::I64(_)
                | ConstOp::F32(_)
                | ConstOp::F64(_)
                | ConstOp::V128(_)
                | ConstOp::RefNull
                | ConstOp::I32Add
                | ConstOp::I32Sub
                | ConstOp::I32Mul
                | ConstOp::I64Add
                | ConstOp::I64Sub
                | ConstOp::I64Mul => ops.push(*op),
            }
            if ops.len() > OPERATORS_MAX {
                let what = format!(
                    "a constant of the linked modules has over {OPERATORS_MAX} instructions"
                );
                return Err(Error::Limit(what));
            }
        }
        Ok(())
    }
}

/// The encoding of a constant of type `ty`.
pub(super) fn encode(ty: ValType, expr: &parse::ConstExpr) -> ConstExpr {
    ConstExpr::extended(expr.0.iter().map(|op| instruction(ty, op)))
}

/// An instruction of a constant of type `ty`.
pub(super) fn instruction(ty: ValType, op: &ConstOp) -> Instruction<'static> {
    match *op {
        ConstOp::I32(value) => Instruction::I32Const(value),
        ConstOp::I64(value) => Instruction::I64Const(value),
        ConstOp::F32(bits) => Instruction::F32Const(wasm_encoder::Ieee32::new(bits)),
        ConstOp::F64(bits) => Instruction::F64Const(wasm_encoder::Ieee64::new(bits)),
        ConstOp::V128(bits) => Instruction::V128Const(bits as i128),
        ConstOp::RefNull => Instruction::RefNull(match ty {
            ValType::ExternRef => HeapType::EXTERN,
            ValType::FuncRef
            | ValType::I32
            | ValType::I64
            | ValType::F32
            | ValType::F64
            | ValType::V128 => HeapType::FUNC,
        }),
        ConstOp::RefFunc(FuncIndex(index)) => Instruction::RefFunc(index),
        ConstOp::GlobalGet(GlobalIndex(index)) => Instruction::GlobalGet(index),
        ConstOp::I32Add => Instruction::I32Add,
        ConstOp::I32Sub => Instruction::I32Sub,
        ConstOp::I32Mul => Instruction::I32Mul,
        ConstOp::I64Add => Instruction::I64Add,
        ConstOp::I64Sub => Instruction::I64Sub,
        ConstOp::I64Mul => Instruction::I64Mul,
    }
}
