//! `.eh_frame`: how debuggers, profilers and unwinders walk through compiled code.
//!
//! One common information entry, one frame description entry per piece of code that has unwind
//! information. All addresses in it are relative to themselves, so its size and everything but those
//! fields is the same in an image and in an object. They are 32-bit; in Mach-O, where a linker may
//! read nothing else, they are 64-bit.

use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use gimli::write::{
    Address, EhFrame as EhFrameWriter, EndianVec, FrameTable, RelocateWriter, Relocation,
    RelocationTarget,
};
use gimli::{
    DW_EH_PE_absptr, DW_EH_PE_datarel, DW_EH_PE_pcrel, DW_EH_PE_sdata4, DW_EH_PE_udata4,
    LittleEndian,
};

use super::{Format, internal, too_large};
use crate::codegen::CompiledFunction;
use crate::error::Result;

/// The section, without a terminator.
pub(super) struct EhFrame {
    /// With 0 in the fields that [`EhFrame::addresses`] lists.
    pub(super) bytes: Vec<u8>,
    /// The first field of each frame description entry, in the order of the code.
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
    /// The section for `functions`; empty in COFF, which has other tables.
    pub(super) fn new(
        format: Format,
        isa: &dyn TargetIsa,
        functions: &[CompiledFunction],
    ) -> Result<Self> {
        let address = match format {
            Format::Elf => DW_EH_PE_sdata4,
            Format::MachO => DW_EH_PE_absptr,
            Format::Coff => return Ok(Self { bytes: Vec::new(), addresses: Vec::new() }),
        };
        let mut table = FrameTable::default();
        if let Some(mut cie) = isa.create_systemv_cie() {
            cie.fde_address_encoding = DW_EH_PE_pcrel | address;
            let cie = table.add_cie(cie);
            for (symbol, function) in functions.iter().enumerate() {
                if let Some(UnwindInfo::SystemV(info)) = &function.unwind {
                    table.add_fde(cie, info.to_fde(Address::Symbol { symbol, addend: 0 }));
                }
            }
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
