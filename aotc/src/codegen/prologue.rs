//! What prologues do, as tables of unwind information tell it.

use cranelift_codegen::CompiledCode;
use cranelift_codegen::isa::unwind::UnwindInst;

/// A step of a prologue, and where in the code it is done, in bytes.
///
/// ```text
///   caller's frame
///   return address, frame pointer of the caller    PushFrame
///   -- the frame pointer leads here                SetFrame
///   saved registers                                Save, from the lower end of `saved_bytes`
///   the rest of the frame                          Allocate, where nothing is saved in the same step
/// ```
pub(crate) type Prologue = Vec<(u32, Step)>;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pushes the caller's frame pointer, on AArch64 the return address too.
    PushFrame,
    /// Has the frame pointer lead to what was pushed; `saved_bytes` below it is where saved registers begin.
    SetFrame {
        /// Size of the area of saved registers.
        saved_bytes: u32,
    },
    /// Moves the stack pointer.
    Allocate {
        /// How far.
        bytes: u32,
    },
    /// Saves a register.
    Save {
        /// Which.
        register: Register,
        /// Where, in bytes from the start of the saved registers.
        at: u32,
    },
}

/// A register by its number in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// A general one.
    Int(u8),
    /// One for floating-point numbers and vectors.
    Float(u8),
}

/// The prologue of `compiled`; empty if it has no frame.
pub(crate) fn prologue(compiled: &CompiledCode) -> Prologue {
    let steps = compiled.buffer.unwind_info.iter();
    steps.filter_map(|(offset, inst)| Some((*offset, step(inst)?))).collect()
}

fn step(inst: &UnwindInst) -> Option<Step> {
    match *inst {
        UnwindInst::PushFrameRegs { .. } => Some(Step::PushFrame),
        UnwindInst::DefineNewFrame { offset_downward_to_clobbers, .. } => {
            Some(Step::SetFrame { saved_bytes: offset_downward_to_clobbers })
        }
        UnwindInst::StackAlloc { size } => Some(Step::Allocate { bytes: size }),
        UnwindInst::SaveReg { clobber_offset, reg } => {
            // The numbers of the classes are those of the register allocator: general, floating-point, vector.
            let register = match reg.class() as u8 {
                0 => Register::Int(reg.hw_enc()),
                _ => Register::Float(reg.hw_enc()),
            };
            Some(Step::Save { register, at: clobber_offset })
        }
        // About RISC-V's registers, and about signed return addresses, which nothing here has.
        UnwindInst::RegStackOffset { .. } | UnwindInst::Aarch64SetPointerAuth { .. } => None,
    }
}
