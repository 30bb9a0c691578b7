//! `.eh_frame`: how debuggers, profilers and unwinders walk through compiled code.
//!
//! One common information entry. In an object, where a linker decides what stays and where it goes, one frame
//! description entry per piece of code that has unwind information. In an image, where all of this is known, one for
//! several pieces that follow one another, each of which begins with the state that all begin with:
//!
//! ```text
//!   object   entry: length, common entry, start, size  prologue   entry: ..., start, size  prologue   ...
//!   image    entry: length, common entry, start, size  prologue   advance, restore  prologue   ...
//! ```
//!
//! All addresses are relative to themselves. They are 32-bit; in Mach-O, where a linker may read nothing else, they are 64-bit.

use aotc_abi::target::Arch;
use cranelift_codegen::isa::unwind::UnwindInfo;
use gimli::write::{
    Address, CallFrameInstruction, EhFrame as EhFrameWriter, EndianVec, FrameDescriptionEntry,
    FrameTable, RelocateWriter, Relocation, RelocationTarget,
};
use gimli::{
    AArch64, DW_EH_PE_absptr, DW_EH_PE_datarel, DW_EH_PE_pcrel, DW_EH_PE_sdata4, DW_EH_PE_udata4,
    DwEhPe, LittleEndian, Register, RiscV, X86_64,
};

use super::{Format, Parts, internal, too_large};
use crate::codegen::{self, Prologue, Step};
use crate::error::Result;

/// The section, without a terminator.
pub(super) struct EhFrame {
    /// With 0 in the fields that [`EhFrame::addresses`] lists.
    pub(super) bytes: Vec<u8>,
    /// The first field of each frame description entry, in the order of the code: where the piece of code begins that it
    /// is about, or the first of them.
    pub(super) addresses: Vec<CodeAddress>,
}

/// A field that holds the distance from itself to a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeAddress {
    /// Where the field is, in bytes from the start of the section.
    pub(super) at: u32,
    /// Which piece of code.
    pub(super) code: u32,
}

/// From the start of a frame description entry to its address: length and a pointer to the common
/// information entry.
const FDE_ADDRESS_AT: u64 = 8;

impl EhFrame {
    /// The section of an object; empty in COFF, which has other tables.
    pub(super) fn of_object(parts: &Parts<'_>) -> Result<Self> {
        let address = match parts.format {
            Format::Elf => DW_EH_PE_sdata4,
            Format::MachO => DW_EH_PE_absptr,
            Format::Coff => return Ok(Self { bytes: Vec::new(), addresses: Vec::new() }),
        };
        let functions = parts.functions.iter().enumerate();
        let entries = functions.filter_map(|(symbol, function)| match &function.unwind {
            Some(UnwindInfo::SystemV(info)) => {
                Some(info.to_fde(Address::Symbol { symbol, addend: 0 }))
            }
            _ => None,
        });
        Self::new(parts, address, entries)
    }

    /// The section of an image whose pieces of code start at `starts`, which ascend.
    pub(super) fn of_image(parts: &Parts<'_>, starts: &[u32]) -> Result<Self> {
        let numbers: Vec<usize> = (0..parts.functions.len()).collect();
        let follow = |&a: &usize, &b: &usize| a / PIECES_PER_ENTRY == b / PIECES_PER_ENTRY;
        let entries = numbers.chunk_by(follow).map(|pieces| image_entry(parts, starts, pieces));
        Self::new(parts, DW_EH_PE_sdata4, entries)
    }

    fn new(
        parts: &Parts<'_>,
        address: DwEhPe,
        entries: impl Iterator<Item = FrameDescriptionEntry>,
    ) -> Result<Self> {
        let mut table = FrameTable::default();
        if let Some(mut cie) = parts.isa.create_systemv_cie() {
            cie.fde_address_encoding = DW_EH_PE_pcrel | address;
            let cie = table.add_cie(cie);
            entries.for_each(|entry| table.add_fde(cie, entry));
        }
        let mut writer = EhFrameWriter(Recorder::default());
        table.write_eh_frame(&mut writer).map_err(|error| internal(".eh_frame", error))?;
        let Recorder { section, addresses } = writer.0;
        Ok(Self { bytes: section.into_vec(), addresses })
    }

    /// The section at address `section`, terminated, when `code` gives the address of a piece of code.
    pub(super) fn resolve(&self, section: u64, code: impl Fn(u32) -> u64) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        for address in &self.addresses {
            let at = address.at as usize;
            let value = distance(section + u64::from(address.at), code(address.code))?;
            bytes[at..at + 4].copy_from_slice(&value);
        }
        bytes.extend_from_slice(&[0; Self::TERMINATOR_BYTES]);
        Ok(bytes)
    }

    /// Size of what [`EhFrame::resolve`] adds.
    pub(super) const TERMINATOR_BYTES: usize = 4;

    /// `.eh_frame_hdr` at address `header` for the section at address `section`: where the section
    /// is, and a table to search, sorted by address.
    pub(super) fn header(
        &self,
        header: u64,
        section: u64,
        code: impl Fn(u32) -> u64,
    ) -> Result<Vec<u8>> {
        let mut entries: Vec<_> = self
            .addresses
            .iter()
            .map(|address| (code(address.code), section + u64::from(address.at) - FDE_ADDRESS_AT))
            .collect();
        entries.sort_unstable();
        let encodings =
            [DW_EH_PE_pcrel | DW_EH_PE_sdata4, DW_EH_PE_udata4, DW_EH_PE_datarel | DW_EH_PE_sdata4];
        let mut bytes = Vec::with_capacity(self.header_bytes());
        bytes.push(EH_FRAME_HDR_VERSION);
        bytes.extend(encodings.map(|encoding| encoding.0));
        bytes.extend(distance(header + bytes.len() as u64, section)?);
        bytes.extend((entries.len() as u32).to_le_bytes());
        for (code, entry) in entries {
            bytes.extend(distance(header, code)?);
            bytes.extend(distance(header, entry)?);
        }
        assert_eq!(bytes.len(), self.header_bytes());
        Ok(bytes)
    }

    /// Size of `.eh_frame_hdr`, in bytes.
    pub(super) fn header_bytes(&self) -> usize {
        12 + 8 * self.addresses.len()
    }
}

const EH_FRAME_HDR_VERSION: u8 = 1;

/// How many pieces of code an entry of an image is about. More save few bytes, and whoever unwinds runs through them all.
const PIECES_PER_ENTRY: usize = 16;

/// The entry of an image for these pieces of code, which are not none.
fn image_entry(parts: &Parts<'_>, starts: &[u32], pieces: &[usize]) -> FrameDescriptionEntry {
    let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
    let offset = |piece: usize| starts[piece] - starts[first];
    let bytes = offset(last) + parts.functions[last].code.len() as u32;
    let mut entry = FrameDescriptionEntry::new(Address::Symbol { symbol: first, addend: 0 }, bytes);
    for &piece in pieces {
        let start = offset(piece);
        if piece != first {
            entry.add_instruction(start, CallFrameInstruction::RestoreState);
        }
        if piece != last {
            entry.add_instruction(start, CallFrameInstruction::RememberState);
        }
        let mut prologue = instructions(parts.target.arch, &parts.functions[piece].prologue);
        tell_saves_at_once(&mut prologue);
        for (at, instruction) in prologue {
            entry.add_instruction(start + at, instruction);
        }
    }
    entry
}

/// A prologue changes none of the registers that it saves, so it does not matter whether they are looked for in the frame before
/// the last of them is there: one step tells of all.
fn tell_saves_at_once(prologue: &mut [(u32, CallFrameInstruction)]) {
    let end = prologue.last().map_or(0, |&(at, _)| at);
    let is_frame = |instruction: &_| matches!(instruction, CallFrameInstruction::CfaRegister(_));
    let frame = prologue.iter().position(|(_, instruction)| is_frame(instruction));
    for (at, _) in prologue.iter_mut().skip(frame.map_or(usize::MAX, |frame| frame + 1)) {
        *at = end;
    }
}

/// What a frame description entry says of a prologue.
fn instructions(arch: Arch, prologue: &Prologue) -> Vec<(u32, CallFrameInstruction)> {
    let registers = Registers::of(arch);
    let mut saved_at = 0;
    let mut instructions = Vec::new();
    for &(at, step) in prologue {
        match step {
            Step::PushFrame => {
                let saved = CallFrameInstruction::Offset(registers.frame, -FRAME_BYTES);
                instructions
                    .extend([(at, CallFrameInstruction::CfaOffset(FRAME_BYTES)), (at, saved)]);
                if let Some(link) = registers.link {
                    let saved = CallFrameInstruction::Offset(link, WORD_BYTES - FRAME_BYTES);
                    instructions.push((at, saved));
                }
            }
            Step::SetFrame { saved_bytes } => {
                saved_at = -FRAME_BYTES - saved_bytes as i32;
                instructions.push((at, CallFrameInstruction::CfaRegister(registers.frame)));
            }
            Step::Save { register, at: place } => {
                let register = (registers.number)(register);
                let saved = CallFrameInstruction::Offset(register, saved_at + place as i32);
                instructions.push((at, saved));
            }
            // The frame is found by its pointer.
            Step::Allocate { .. } => {}
        }
    }
    instructions
}

/// What [`Step::PushFrame`] pushes, with the return address that is there already, in bytes.
const FRAME_BYTES: i32 = 16;
const WORD_BYTES: i32 = 8;

/// DWARF's numbers of registers.
struct Registers {
    /// The frame pointer.
    frame: Register,
    /// Where the return address is, if it is pushed with the frame pointer.
    link: Option<Register>,
    number: fn(codegen::Register) -> Register,
}

impl Registers {
    fn of(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self { frame: X86_64::RBP, link: None, number: x86_64_number },
            Arch::Aarch64 => {
                Self { frame: AArch64::X29, link: Some(AArch64::X30), number: aarch64_number }
            }
            Arch::Riscv64 => Self { frame: RiscV::X8, link: Some(RiscV::X1), number: riscv_number },
        }
    }
}

fn x86_64_number(register: codegen::Register) -> Register {
    /// By their numbers in instructions, up to the eighth, behind which both agree.
    const FIRST: [Register; 8] = [
        X86_64::RAX,
        X86_64::RCX,
        X86_64::RDX,
        X86_64::RBX,
        X86_64::RSP,
        X86_64::RBP,
        X86_64::RSI,
        X86_64::RDI,
    ];
    match register {
        codegen::Register::Int(number) => {
            FIRST.get(usize::from(number)).copied().unwrap_or(Register(number.into()))
        }
        codegen::Register::Float(number) => Register(X86_64::XMM0.0 + u16::from(number)),
    }
}

fn aarch64_number(register: codegen::Register) -> Register {
    match register {
        codegen::Register::Int(number) => Register(number.into()),
        codegen::Register::Float(number) => Register(AArch64::V0.0 + u16::from(number)),
    }
}

fn riscv_number(register: codegen::Register) -> Register {
    match register {
        codegen::Register::Int(number) => Register(number.into()),
        codegen::Register::Float(number) => Register(RiscV::F0.0 + u16::from(number)),
    }
}

/// The 32-bit field that leads from address `from` to address `to`.
fn distance(from: u64, to: u64) -> Result<[u8; 4]> {
    let distance = to.wrapping_sub(from) as i64;
    Ok(i32::try_from(distance).map_err(|_| too_large())?.to_le_bytes())
}

/// Writes a section and records what in it depends on the place of code.
struct Recorder {
    section: EndianVec<LittleEndian>,
    addresses: Vec<CodeAddress>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { section: EndianVec::new(LittleEndian), addresses: Vec::new() }
    }
}

impl RelocateWriter for Recorder {
    type Writer = EndianVec<LittleEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.section
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.section
    }

    fn relocate(&mut self, relocation: Relocation) {
        let RelocationTarget::Symbol(code) = relocation.target else {
            unreachable!("frame description entries refer to code only");
        };
        assert_eq!(relocation.addend, 0, "addresses are distances to the start of code");
        self.addresses.push(CodeAddress { at: relocation.offset as u32, code: code as u32 });
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use aotc_abi::target::Os;

    use super::*;
    use crate::codegen::{Anew, CompiledFunction, Listing};
    use crate::input::Input;
    use crate::options::{Cpu, Options};
    use crate::{plan, translate};

    /// A function that calls the host, and one that has a frame only.
    const TEXT: &[u8] = br#"(module
        (import "" "f" (func $f (param i64 f64) (result i64)))
        (func (export "run") (param i64 f64) (result i64)
            (i64.add (call $f (local.get 0) (local.get 1)) (local.get 0)))
        (func (export "leaf") (param i32) (result i32) (local.get 0)))"#;

    fn functions(options: &Options) -> Vec<CompiledFunction> {
        let functions = Input::Module(TEXT).with_module(options, |module| {
            let plan = plan::build(module, options)?;
            let isas = codegen::isas(options)?;
            let env = translate::Env { module, plan: &plan, options, isa: &*isas.lowering };
            codegen::compile(env, &isas, NonZero::<usize>::MIN, Listing::None, &Anew)
        });
        functions.unwrap()
    }

    /// What an image says of a prologue is what the code generator has an object say.
    #[test]
    fn prologues_are_as_the_code_generator_has_them() {
        for target in crate::TARGETS.into_iter().filter(|target| target.os == Os::Linux) {
            let cpu = Cpu::baseline(target.arch);
            let options = Options { target, cpu, ..Options::default() };
            let mut saves = 0;
            for function in functions(&options) {
                let Some(UnwindInfo::SystemV(info)) = &function.unwind else {
                    panic!("{function:?}")
                };
                let address = Address::Constant(0);
                let mut entry = FrameDescriptionEntry::new(address, function.code.len() as u32);
                for (at, instruction) in instructions(target.arch, &function.prologue) {
                    saves += usize::from(matches!(instruction, CallFrameInstruction::Offset(..)));
                    entry.add_instruction(at, instruction);
                }
                assert_eq!(entry, info.to_fde(address), "{target}");
            }
            // The trampolines from the host save what is the host's.
            assert!(saves > 15, "{saves}");
        }
    }
}
