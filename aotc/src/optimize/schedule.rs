//! Moves instructions that end the lives of several values up to where these are made.
//!
//! The e-graph pass places an instruction as late as its first use lets it, so a sum of products
//! becomes: all the loads, then all the products, then the sum, with all of the loads alive at once.
//! An instruction that is the last use of two or more values of its block has fewer values alive
//! behind it than before it, so the earlier it is, the better. Constants and comparisons stay: they
//! cost nothing where they are, and lowering folds them into their users there.
//!
//! Order stays correct: a moved instruction stands behind all of its operands' definitions, and has no
//! effects that others could see.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Inst, Opcode, Value, ValueDef};

/// Values of its block that must end with an instruction for it to be moved.
const LAST_USES_MIN: u32 = 2;

/// Schedules every block.
pub(super) fn run(function: &mut Function) {
    function.dfg.resolve_all_aliases();
    let mut uses = count_uses(function);
    let mut places = SecondaryMap::with_default(NOWHERE);
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        schedule_block(function, block, &mut uses, &mut places);
    }
}

/// Where an instruction will stand: behind the `root`th instruction of the block's old order, as the
/// `rank`th of those moved there; 0 is that instruction itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    root: u32,
    rank: u32,
}

/// The place of an instruction of another block.
const NOWHERE: Place = Place { root: u32::MAX, rank: u32::MAX };

fn count_uses(function: &Function) -> SecondaryMap<Value, u32> {
    let mut uses = SecondaryMap::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in function.dfg.inst_values(inst) {
                uses[value] += 1;
            }
        }
    }
    uses
}

/// `uses` counts the uses that have not been passed yet.
fn schedule_block(
    function: &mut Function,
    block: Block,
    uses: &mut SecondaryMap<Value, u32>,
    places: &mut SecondaryMap<Inst, Place>,
) {
    let order: Vec<Inst> = function.layout.block_insts(block).collect();
    let mut moved_behind: Vec<Vec<Inst>> = Vec::new();
    for (index, &inst) in order.iter().enumerate() {
        places[inst] = Place { root: index as u32, rank: 0 };
        let ending = pass_uses(function, inst, uses, places);
        if ending.count < LAST_USES_MIN || !is_movable(function, inst) {
            continue;
        }
        let Some(latest) = ending.latest else { continue };
        if latest.root + 1 >= index as u32 {
            continue;
        }
        moved_behind.resize(order.len(), Vec::new());
        let bucket = &mut moved_behind[latest.root as usize];
        bucket.push(inst);
        places[inst] = Place { root: latest.root, rank: bucket.len() as u32 };
    }
    if !moved_behind.is_empty() {
        reorder(function, block, &order, &moved_behind, places);
    }
    for &inst in &order {
        places[inst] = NOWHERE;
    }
}

/// The operands of an instruction.
struct Ending {
    /// How many values of the block have their last use here.
    count: u32,
    /// The latest place in the block at which an operand is made, if one is made in it.
    latest: Option<Place>,
}

fn pass_uses(
    function: &Function,
    inst: Inst,
    uses: &mut SecondaryMap<Value, u32>,
    places: &SecondaryMap<Inst, Place>,
) -> Ending {
    let mut ending = Ending { count: 0, latest: None };
    for value in function.dfg.inst_values(inst) {
        uses[value] -= 1;
        let ValueDef::Result(definition, _) = function.dfg.value_def(value) else { continue };
        let place = places[definition];
        if place == NOWHERE {
            continue;
        }
        ending.latest = ending.latest.max(Some(place));
        if uses[value] == 0 && !is_rematerialised(function.dfg.insts[definition].opcode()) {
            ending.count += 1;
        }
    }
    ending
}

fn is_movable(function: &Function, inst: Inst) -> bool {
    let opcode = function.dfg.insts[inst].opcode();
    let pure = !(opcode.is_branch()
        || opcode.is_call()
        || opcode.is_terminator()
        || opcode.can_trap()
        || opcode.can_load()
        || opcode.can_store()
        || opcode.other_side_effects());
    pure && !is_rematerialised(opcode) && !matches!(opcode, Opcode::Icmp | Opcode::Fcmp)
}

/// Whether lowering makes the value anew at each use.
fn is_rematerialised(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Iconst | Opcode::F32const | Opcode::F64const | Opcode::Vconst)
}

fn reorder(
    function: &mut Function,
    block: Block,
    order: &[Inst],
    moved_behind: &[Vec<Inst>],
    places: &SecondaryMap<Inst, Place>,
) {
    for &inst in order {
        function.layout.remove_inst(inst);
    }
    for (&inst, moved) in order.iter().zip(moved_behind) {
        if places[inst].rank == 0 {
            function.layout.append_inst(inst, block);
        }
        for &inst in moved {
            function.layout.append_inst(inst, block);
        }
    }
}
