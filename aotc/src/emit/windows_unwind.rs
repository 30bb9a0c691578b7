//! Unwind information of Windows, from the steps of prologues.
//!
//! ```text
//!   x86-64    UNWIND_INFO      version, prologue size, codes, frame register    codes, last step first
//!   AArch64   .xdata record    function length, words of codes                  codes, last step first, end
//! ```
//!
//! Every piece of code that has a frame keeps its frame pointer, so the stack pointer of its caller is always found from
//! it, and of the stack below only what is saved matters. Some trampolines of builtins save all registers, more than there
//! are codes for; there nothing is told but the frame. What the host expects in registers is found all the same: the entry
//! trampoline it called saves all that the C convention keeps, and its frame says where.

use crate::codegen::{Register, Step};

/// The general registers that System V's functions keep, besides the frame pointer.
const X86_64_KEPT: [Register; 5] =
    [Register::Int(3), Register::Int(12), Register::Int(13), Register::Int(14), Register::Int(15)];
const X86_64_RBP: u8 = 5;

/// Farthest that a frame can begin below its frame pointer, in bytes.
const X86_64_FRAME_OFFSET_MAX: u32 = 240;

const VERSION: u8 = 1;
const PUSH_NONVOL: u8 = 0;
const ALLOC_LARGE: u8 = 1;
const SET_FPREG: u8 = 3;
const SAVE_NONVOL: u8 = 4;

/// `UNWIND_INFO` of code with this prologue; `None` if it has no frame.
///
/// What is saved lies below the frame pointer, and codes count upwards from where the frame begins. So it is made to begin
/// there: as if just that much were allocated in the step that sets the frame pointer.
pub(super) fn x86_64(prologue: &[(u32, Step)]) -> Option<Vec<u8>> {
    let saves = x86_64_saves_are_told(prologue);
    // Behind 255 bytes of stack probes everything counts as done.
    let slot = |offset: u32, operation: u8, info: u8| {
        u16::from_le_bytes([offset.min(255) as u8, info << 4 | operation])
    };
    let mut frame_bytes = 0;
    // The 16-bit slots of each code, in the order of the prologue.
    let mut codes: Vec<Vec<u16>> = Vec::new();
    for &(offset, step) in prologue {
        match step {
            Step::PushFrame => codes.push(vec![slot(offset, PUSH_NONVOL, X86_64_RBP)]),
            Step::SetFrame { saved_bytes } => {
                if saves {
                    frame_bytes = saved_bytes;
                    codes.push(vec![slot(offset, ALLOC_LARGE, 0), (saved_bytes / 8) as u16]);
                }
                codes.push(vec![slot(offset, SET_FPREG, 0)]);
            }
            Step::Save { register: Register::Int(number), at } if saves => {
                codes.push(vec![slot(offset, SAVE_NONVOL, number), (at / 8) as u16]);
            }
            Step::Save { .. } | Step::Allocate { .. } => {}
        }
    }
    let slots: Vec<u16> = codes.into_iter().rev().flatten().collect();
    let (prologue_bytes, _) = prologue.last()?;
    let frame = (frame_bytes / 16) as u8;
    let mut info = vec![VERSION, (*prologue_bytes).min(255) as u8];
    info.extend([slots.len() as u8, frame << 4 | X86_64_RBP]);
    info.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
    info.resize(info.len().next_multiple_of(4), 0);
    Some(info)
}

fn x86_64_saves_are_told(prologue: &[(u32, Step)]) -> bool {
    let mut saves = false;
    for (_, step) in prologue {
        match step {
            Step::Save { register, .. } if X86_64_KEPT.contains(register) => saves = true,
            Step::Save { .. } => return false,
            Step::SetFrame { saved_bytes } => {
                if *saved_bytes > X86_64_FRAME_OFFSET_MAX {
                    return false;
                }
                assert_eq!(
                    saved_bytes % 16,
                    0,
                    "the frame pointer is aligned, and so is the stack"
                );
            }
            Step::PushFrame | Step::Allocate { .. } => {}
        }
    }
    saves
}

/// Longest stretch of code that a record of AArch64 covers, in bytes: the length is 18 bits of instructions.
const AARCH64_BYTES_MAX: u32 = ((1 << 18) - 1) * 4;

const NOP: u8 = 0xe3;
const END: u8 = 0xe4;
/// The end of a prologue that is elsewhere.
const END_C: u8 = 0xe5;
const SET_FP: u8 = 0xe1;
/// `stp x29, x30, [sp, #-16]!`
const SAVE_FPLR_X: u8 = 0x81;

/// Records for `bytes` of code with this prologue, each with the start of what it covers; none if it has no frame.
pub(super) fn aarch64(prologue: &[(u32, Step)], bytes: u32) -> Vec<(u32, Vec<u8>)> {
    let codes = aarch64_codes(prologue);
    if codes.is_empty() {
        return Vec::new();
    }
    let record = |start: u32| {
        let covered = (bytes - start).min(AARCH64_BYTES_MAX);
        let mut all = if start == 0 { Vec::new() } else { vec![END_C] };
        all.extend(&codes);
        all.push(END);
        all.resize(all.len().next_multiple_of(4), NOP);
        let (code_words, instructions) = (all.len() as u32 / 4, covered / 4);
        let header = code_words << 27 | instructions;
        let mut record = header.to_le_bytes().to_vec();
        record.extend(all);
        (start, record)
    };
    (0..bytes).step_by(AARCH64_BYTES_MAX as usize).map(record).collect()
}

/// The codes, last step first, without an end.
fn aarch64_codes(prologue: &[(u32, Step)]) -> Vec<u8> {
    let mut codes: Vec<Vec<u8>> = Vec::new();
    let mut saves: Vec<(u32, Register)> = Vec::new();
    let mut allocated = None;
    for &(_, step) in prologue {
        match step {
            Step::PushFrame => codes.extend([vec![SAVE_FPLR_X], vec![SET_FP]]),
            // What was allocated before is room for arguments, over which the frame has been moved.
            Step::SetFrame { .. } => allocated = None,
            Step::Allocate { bytes } => allocated = Some(bytes),
            Step::Save { register, at } => saves.push((at, register)),
        }
    }
    if saves.iter().all(|(_, register)| is_kept_on_aarch64(*register)) {
        let mut saves = saves.into_iter().peekable();
        while let Some((at, first)) = saves.next() {
            match saves.next_if(|(next, _)| *next == at + 8) {
                Some((_, second)) => codes.extend(save_pair(first, second)),
                None => codes.push(save_pushed(first)),
            }
        }
        codes.extend(allocated.map(allocation));
    }
    codes.into_iter().rev().flatten().collect()
}

fn is_kept_on_aarch64(register: Register) -> bool {
    match register {
        Register::Int(number) => (19..=28).contains(&number),
        Register::Float(number) => (8..=15).contains(&number),
    }
}

/// Two registers pushed with one instruction, the first at the lower address.
fn save_pair(first: Register, second: Register) -> Vec<Vec<u8>> {
    match (first, second) {
        (Register::Int(a), Register::Int(b)) if b == a + 1 => vec![code(0xcc00, 6, a - 19)],
        (Register::Float(a), Register::Float(b)) if b == a + 1 => vec![code(0xda00, 6, a - 8)],
        _ => vec![save_pushed(first), save_above(second)],
    }
}

/// A register pushed alone, with 16 bytes for it.
fn save_pushed(register: Register) -> Vec<u8> {
    match register {
        Register::Int(number) => code(0xd400, 5, number - 19),
        Register::Float(number) => code(0xde00, 5, number - 8),
    }
}

/// A register 8 bytes above the stack pointer.
fn save_above(register: Register) -> Vec<u8> {
    match register {
        Register::Int(number) => code(0xd000, 6, number - 19),
        Register::Float(number) => code(0xdc00, 6, number - 8),
    }
}

/// A code of 16 bits for a register, by its number among those there are codes for, at `number_at`; the distance of 8 or 16
/// bytes below it is always encoded as 1.
fn code(operation: u16, number_at: u32, number: u8) -> Vec<u8> {
    (operation | u16::from(number) << number_at | 1).to_be_bytes().to_vec()
}

fn allocation(bytes: u32) -> Vec<u8> {
    let units = bytes / 16;
    match units {
        0..0x20 => vec![units as u8],
        0x20..0x800 => (0xc000 | units as u16).to_be_bytes().to_vec(),
        _ => (0xe000_0000 | units).to_be_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `push rbp; mov rbp, rsp; sub rsp, 48; mov [rsp], rbx; mov [rsp + 8], r12`.
    const X86_64_ENTRY: [(u32, Step); 4] = [
        (1, Step::PushFrame),
        (4, Step::SetFrame { saved_bytes: 16 }),
        (12, Step::Save { register: Register::Int(3), at: 0 }),
        (17, Step::Save { register: Register::Int(12), at: 8 }),
    ];

    #[test]
    fn x86_64_tells_frame_and_saves() {
        let info = x86_64(&X86_64_ENTRY).unwrap();
        let codes = [17, 0xc4, 1, 0, 12, 0x34, 0, 0, 4, 3, 4, 1, 2, 0, 1, 0x50];
        assert_eq!(info, [&[1, 17, 8, 0x15][..], &codes].concat());
        let frame = x86_64(&X86_64_ENTRY[..2]).unwrap();
        assert_eq!(frame, [1, 4, 2, 5, 4, 3, 1, 0x50]);
        assert_eq!(x86_64(&[]), None);
    }

    #[test]
    fn x86_64_leaves_out_what_no_frame_expects() {
        let mut prologue = X86_64_ENTRY.to_vec();
        prologue.push((22, Step::Save { register: Register::Float(0), at: 16 }));
        assert_eq!(x86_64(&prologue).unwrap(), [1, 22, 2, 5, 4, 3, 1, 0x50]);
    }

    #[test]
    fn aarch64_tells_frame_and_saves() {
        let save = |at, register| (12, Step::Save { register, at });
        let prologue = [
            (4, Step::PushFrame),
            (8, Step::SetFrame { saved_bytes: 48 }),
            save(32, Register::Int(23)),
            save(16, Register::Int(19)),
            save(24, Register::Int(20)),
            save(0, Register::Float(8)),
            save(8, Register::Float(10)),
            (24, Step::Allocate { bytes: 0x400 }),
        ];
        let [(0, record)] = &aarch64(&prologue, 0x40)[..] else { panic!("one record") };
        let codes = [0xc0, 0x40, 0xdc, 0x81, 0xde, 0x01, 0xcc, 0x01, 0xd4, 0x81, 0xe1, 0x81, 0xe4];
        assert_eq!(record[..4], (4u32 << 27 | 0x10).to_le_bytes());
        assert_eq!(record[4..], [&codes[..], &[NOP; 3]].concat());
    }

    #[test]
    fn long_code_on_aarch64_has_several_records() {
        let prologue = [(4, Step::PushFrame), (8, Step::SetFrame { saved_bytes: 0 })];
        let records = aarch64(&prologue, AARCH64_BYTES_MAX + 8);
        let [(0, first), (AARCH64_BYTES_MAX, second)] = &records[..] else { panic!("{records:?}") };
        assert_eq!(first[4..], [SET_FP, SAVE_FPLR_X, END, NOP]);
        assert_eq!(second[..4], (1u32 << 27 | 2).to_le_bytes());
        assert_eq!(second[4..], [END_C, SET_FP, SAVE_FPLR_X, END]);
    }
}
