//! Control flow: blocks, branches, and what cannot be reached.

use aotc_abi::index::{FuncIndex, TableIndex, TypeIndex};
use aotc_abi::trap::TrapKind;
use aotc_abi::types::ValType;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, InstBuilder, JumpTableData, Value};
use wasmparser::{BlockType, BrTable, Operator};

use super::{Translator, clif_type};

/// An enclosing block.
pub(super) struct Frame {
    kind: FrameKind,
    /// Where a branch to this frame goes.
    target: Block,
    /// Where execution goes on behind its end.
    end: Block,
    /// Values that a branch to this frame takes.
    branch_arity: usize,
    /// Values that its end leaves.
    result_arity: usize,
    /// Height of the operand stack below its parameters.
    height: usize,
    /// Whether anything goes to `end`.
    end_reached: bool,
}

enum FrameKind {
    Function,
    Block,
    Loop,
    /// Before its `else`: where the condition goes if it is 0, and with which values.
    If {
        otherwise: Block,
        params: Vec<Value>,
    },
    Else,
}

/// Indices of a `br_table` that branch to one place.
struct Run {
    first: u32,
    length: u32,
    depth: u32,
}

/// More runs than this and a table is faster than comparisons.
const RUNS_MAX: usize = 5;

/// The runs of targets other than the default, if there are few.
fn few_runs(depths: &[u32], default: u32) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, &depth) in depths.iter().enumerate().filter(|&(_, &depth)| depth != default) {
        let index = index as u32;
        match runs.last_mut() {
            Some(run) if run.depth == depth && run.first + run.length == index => run.length += 1,
            _ => runs.push(Run { first: index, length: 1, depth }),
        }
        if runs.len() > RUNS_MAX {
            return None;
        }
    }
    Some(runs)
}

impl Translator<'_, '_> {
    /// Opens the frame that a `return` or the body's end leaves.
    pub(super) fn push_function_frame(&mut self, results: &[ValType]) {
        let end = self.block_with_params(results);
        self.frames.push(Frame {
            kind: FrameKind::Function,
            target: end,
            end,
            branch_arity: results.len(),
            result_arity: results.len(),
            height: 0,
            end_reached: false,
        });
    }

    /// Whether `operator` is passed over because execution cannot come here.
    pub(super) fn skip_unreachable(&mut self, operator: &Operator<'_>) -> bool {
        let Some(depth) = &mut self.unreachable_depth else { return false };
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                *depth += 1;
                true
            }
            Operator::End if *depth > 0 => {
                *depth -= 1;
                true
            }
            Operator::End => false,
            Operator::Else => *depth > 0,
            _ => true,
        }
    }

    /// Translates `operator` if it is of this family; gives back whether it is.
    pub(super) fn control_operator(&mut self, operator: &Operator<'_>) -> bool {
        match *operator {
            Operator::Nop => {}
            Operator::Unreachable => self.unreachable(),
            Operator::Block { blockty } => self.block(blockty),
            Operator::Loop { blockty } => self.loop_(blockty),
            Operator::If { blockty } => self.if_(blockty),
            Operator::Else => self.else_(),
            Operator::End => self.end(),
            Operator::Br { relative_depth } => self.br(relative_depth),
            Operator::BrIf { relative_depth } => self.br_if(relative_depth),
            Operator::BrTable { ref targets } => self.br_table(targets),
            Operator::Return => self.br(self.frames.len() as u32 - 1),
            Operator::Call { function_index } => self.call(FuncIndex(function_index)),
            Operator::CallIndirect { type_index, table_index } => {
                self.call_indirect(TableIndex(table_index), TypeIndex(type_index));
            }
            _ => return false,
        }
        true
    }

    fn unreachable(&mut self) {
        self.trap(TrapKind::Unreachable);
        self.unreachable_depth = Some(0);
    }

    fn block(&mut self, ty: BlockType) {
        let (params, results) = self.block_types(ty);
        let end = self.block_with_params(&results);
        self.push_frame(FrameKind::Block, end, end, results.len(), params.len(), results.len());
    }

    fn loop_(&mut self, ty: BlockType) {
        let (params, results) = self.block_types(ty);
        let header = self.block_with_params(&params);
        let end = self.block_with_params(&results);
        let args = self.stack.split_off(self.stack.len() - params.len());
        self.jump(header, &args);
        self.builder.switch_to_block(header);
        self.stack.extend_from_slice(self.builder.block_params(header));
        self.push_frame(FrameKind::Loop, header, end, params.len(), params.len(), results.len());
    }

    fn if_(&mut self, ty: BlockType) {
        let (params, results) = self.block_types(ty);
        let condition = self.pop();
        let then = self.builder.create_block();
        let otherwise = self.builder.create_block();
        let end = self.block_with_params(&results);
        self.builder.ins().brif(condition, then, &[], otherwise, &[]);
        self.builder.seal_block(then);
        self.builder.seal_block(otherwise);
        self.builder.switch_to_block(then);
        let saved = self.stack[self.stack.len() - params.len()..].to_vec();
        let kind = FrameKind::If { otherwise, params: saved };
        self.push_frame(kind, end, end, results.len(), params.len(), results.len());
    }

    fn else_(&mut self) {
        self.leave_to_end();
        let frame = self.frames.last_mut().expect("validation pairs else with if");
        let FrameKind::If { otherwise, params } =
            std::mem::replace(&mut frame.kind, FrameKind::Else)
        else {
            unreachable!("validation pairs else with if");
        };
        self.stack.truncate(frame.height);
        self.stack.extend(params);
        self.builder.switch_to_block(otherwise);
        self.unreachable_depth = None;
    }

    fn end(&mut self) {
        self.leave_to_end();
        let mut frame = self.frames.pop().expect("validation pairs ends with blocks");
        if let FrameKind::If { otherwise, params } = &frame.kind {
            // No else: the parameters are the results.
            self.builder.switch_to_block(*otherwise);
            self.jump(frame.end, params);
            frame.end_reached = true;
        }
        if matches!(frame.kind, FrameKind::Loop) {
            self.builder.seal_block(frame.target);
        }
        self.builder.seal_block(frame.end);
        self.stack.truncate(frame.height);
        if !frame.end_reached {
            // Nothing comes here; the enclosing block is not reachable either.
            self.unreachable_depth = Some(0);
            return;
        }
        self.unreachable_depth = None;
        self.builder.switch_to_block(frame.end);
        let results = self.builder.block_params(frame.end).to_vec();
        match frame.kind {
            FrameKind::Function => {
                self.end_checks();
                self.emit_return(&results);
            }
            _ => self.stack.extend(results),
        }
    }

    /// Goes to the end of the innermost frame, if execution comes here.
    fn leave_to_end(&mut self) {
        if self.unreachable_depth.is_some() {
            return;
        }
        let frame = self.frames.last_mut().expect("within a frame");
        frame.end_reached = true;
        let (end, arity) = (frame.end, frame.result_arity);
        let args = self.stack[self.stack.len() - arity..].to_vec();
        self.jump(end, &args);
    }

    fn br(&mut self, depth: u32) {
        let (target, args) = self.branch(depth);
        self.jump(target, &args);
        self.unreachable_depth = Some(0);
    }

    fn br_if(&mut self, depth: u32) {
        let condition = self.pop();
        let going_on = self.builder.create_block();
        self.branch_if(condition, depth, going_on);
    }

    /// Branches if `condition` is not zero, else goes to the new block `going_on`.
    fn branch_if(&mut self, condition: Value, depth: u32, going_on: Block) {
        let (target, args) = self.branch(depth);
        let args: Vec<BlockArg> = args.into_iter().map(BlockArg::Value).collect();
        self.builder.ins().brif(condition, target, &args, going_on, &[]);
        self.builder.seal_block(going_on);
        self.builder.switch_to_block(going_on);
    }

    fn br_table(&mut self, targets: &BrTable<'_>) {
        let index = self.pop();
        let depths: Vec<u32> =
            targets.targets().map(|depth| depth.expect("the body was validated")).collect();
        match few_runs(&depths, targets.default()) {
            Some(runs) => self.compare_runs(index, &runs, targets.default()),
            None => self.jump_table(index, &depths, targets.default()),
        }
        self.unreachable_depth = Some(0);
    }

    /// A branch on ranges of `index`: well predicted where an indirect jump is not.
    fn compare_runs(&mut self, index: Value, runs: &[Run], default: u32) {
        for run in runs {
            let offset = self.builder.ins().iadd_imm_s(index, -i64::from(run.first));
            let inside = self.builder.ins().icmp_imm_u(
                IntCC::UnsignedLessThan,
                offset,
                i64::from(run.length),
            );
            let going_on = self.builder.create_block();
            self.branch_if(inside, run.depth, going_on);
        }
        let (target, args) = self.branch(default);
        self.jump(target, &args);
    }

    /// An indirect jump. The default is branched to first, for it is often the common case, and then
    /// needs no load.
    fn jump_table(&mut self, index: Value, depths: &[u32], default: u32) {
        let outside = self.builder.ins().icmp_imm_u(
            IntCC::UnsignedGreaterThanOrEqual,
            index,
            depths.len() as i64,
        );
        let going_on = self.builder.create_block();
        self.branch_if(outside, default, going_on);
        let calls: Vec<BlockCall> = depths.iter().map(|&depth| self.block_call(depth)).collect();
        let default = self.block_call(default);
        let table = self.builder.create_jump_table(JumpTableData::new(default, &calls));
        self.builder.ins().br_table(index, table);
    }

    fn block_call(&mut self, depth: u32) -> BlockCall {
        let (target, args) = self.branch(depth);
        let args = args.into_iter().map(BlockArg::Value);
        BlockCall::new(target, args, &mut self.builder.func.dfg.value_lists)
    }

    /// Target and arguments of a branch; the arguments stay on the operand stack.
    fn branch(&mut self, depth: u32) -> (Block, Vec<Value>) {
        let place = self.frames.len() - 1 - depth as usize;
        let frame = &mut self.frames[place];
        if !matches!(frame.kind, FrameKind::Loop) {
            frame.end_reached = true;
        }
        let args = self.stack[self.stack.len() - frame.branch_arity..].to_vec();
        (frame.target, args)
    }

    fn jump(&mut self, target: Block, args: &[Value]) {
        let args: Vec<BlockArg> = args.iter().copied().map(BlockArg::Value).collect();
        self.builder.ins().jump(target, &args);
    }

    fn push_frame(
        &mut self,
        kind: FrameKind,
        target: Block,
        end: Block,
        branch_arity: usize,
        param_arity: usize,
        result_arity: usize,
    ) {
        let height = self.stack.len() - param_arity;
        self.frames.push(Frame {
            kind,
            target,
            end,
            branch_arity,
            result_arity,
            height,
            end_reached: false,
        });
    }

    fn block_with_params(&mut self, tys: &[ValType]) -> Block {
        let block = self.builder.create_block();
        for &ty in tys {
            self.builder.append_block_param(block, clif_type(ty));
        }
        block
    }

    fn block_types(&self, ty: BlockType) -> (Vec<ValType>, Vec<ValType>) {
        match ty {
            BlockType::Empty => (Vec::new(), Vec::new()),
            BlockType::Type(ty) => {
                let ty = crate::parse::val_type(ty, 0).expect("the body was validated");
                (Vec::new(), vec![ty])
            }
            BlockType::FuncType(index) => {
                let ty = &self.env.module.types[index as usize];
                (ty.params.to_vec(), ty.results.to_vec())
            }
        }
    }
}
