//! Libraries that linkers made, as a reader sees them that shares nothing with what wrote the objects (`goblin`).

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use aotc_abi::meta::{CodeOrder, Header, ModuleData};
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_W, PF_X, PT_LOAD};
use goblin::mach::MachO;
use goblin::mach::constants::{VM_PROT_EXECUTE, VM_PROT_WRITE};
use goblin::mach::load_command::CommandVariant;
use goblin::pe::PE;
use goblin::pe::section_table::{IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE};

/// A library. Addresses count from where it is loaded.
pub(crate) struct LinkedFile {
    pub(crate) segments: Vec<Segment>,
    exports: Vec<(String, u64)>,
    /// How many addresses the library's loader would have to write into it.
    pub(crate) fixups: usize,
}

/// What is mapped in one piece.
pub(crate) struct Segment {
    pub(crate) start: u64,
    /// As long as the segment is in memory.
    pub(crate) bytes: Vec<u8>,
    pub(crate) access: Access,
}

/// What may be done with the pages of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadExecute,
    ReadWrite,
}

impl Access {
    fn new(write: bool, execute: bool) -> Result<Self> {
        match (write, execute) {
            (false, false) => Ok(Self::Read),
            (false, true) => Ok(Self::ReadExecute),
            (true, false) => Ok(Self::ReadWrite),
            (true, true) => bail!("a segment can be written and executed"),
        }
    }
}

impl LinkedFile {
    /// Reads an ELF, Mach-O or PE library.
    pub(crate) fn parse(file: &[u8]) -> Result<Self> {
        match Contents::parse(file)? {
            Contents::Elf(elf) => Self::of_elf(file, &elf),
            Contents::MachO(mach_o) => Self::of_mach_o(file, &mach_o),
            Contents::Pe(pe) => Self::of_pe(file, &pe),
        }
    }

    fn of_elf(file: &[u8], elf: &Elf<'_>) -> Result<Self> {
        let mut segments = Vec::new();
        for header in elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD) {
            let (write, execute) = (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0);
            let bytes = padded(file, header.file_range(), header.p_memsz)?;
            let access = Access::new(write, execute)?;
            segments.push(Segment { start: header.p_vaddr, bytes, access });
        }
        let name = |at| elf.dynstrtab.get_at(at).unwrap_or_default().to_owned();
        let static_name = |at| elf.strtab.get_at(at).unwrap_or_default().to_owned();
        let mut exports: Vec<_> =
            elf.dynsyms.iter().map(|symbol| (name(symbol.st_name), symbol.st_value)).collect();
        // A static program has no dynamic symbols.
        if exports.is_empty() {
            let symbols = elf.syms.iter();
            exports =
                symbols.map(|symbol| (static_name(symbol.st_name), symbol.st_value)).collect();
        }
        Ok(Self {
            segments,
            exports,
            fixups: elf.dynrelas.len() + elf.dynrels.len() + elf.pltrelocs.len(),
        })
    }

    fn of_mach_o(file: &[u8], mach_o: &MachO<'_>) -> Result<Self> {
        let mut segments = Vec::new();
        for segment in mach_o.segments.iter().filter(|segment| segment.vmsize != 0) {
            let protection = segment.initprot;
            let access =
                Access::new(protection & VM_PROT_WRITE != 0, protection & VM_PROT_EXECUTE != 0)?;
            let range = segment.fileoff as usize..(segment.fileoff + segment.filesize) as usize;
            let bytes = padded(file, range, segment.vmsize)?;
            segments.push(Segment { start: segment.vmaddr, bytes, access });
        }
        let mut fixups = 0;
        for command in &mach_o.load_commands {
            match &command.command {
                CommandVariant::DyldInfo(info) | CommandVariant::DyldInfoOnly(info) => {
                    fixups += (info.rebase_size + info.bind_size) as usize;
                }
                _ => {}
            }
        }
        let exports = mach_o.exports()?;
        let exports = exports.iter().map(|export| (export.name.clone(), export.offset)).collect();
        Ok(Self { segments, exports, fixups })
    }

    fn of_pe(file: &[u8], pe: &PE<'_>) -> Result<Self> {
        let mut segments = Vec::new();
        for section in &pe.sections {
            let flags = section.characteristics;
            let access =
                Access::new(flags & IMAGE_SCN_MEM_WRITE != 0, flags & IMAGE_SCN_MEM_EXECUTE != 0)?;
            let start = section.pointer_to_raw_data as usize;
            let in_file = section.size_of_raw_data.min(section.virtual_size);
            let bytes = padded(file, start..start + in_file as usize, section.virtual_size.into())?;
            segments.push(Segment { start: section.virtual_address.into(), bytes, access });
        }
        let name =
            |export: &goblin::pe::export::Export<'_>| export.name.unwrap_or_default().to_owned();
        let mut fixups = 0;
        if let Some(relocations) = &pe.relocation_data {
            for block in relocations.blocks() {
                fixups += block?.words().count();
            }
        }
        Ok(Self {
            segments,
            exports: pe.exports.iter().map(|export| (name(export), export.rva as u64)).collect(),
            fixups,
        })
    }

    /// The address of what is exported under `name`, as C calls it.
    pub(crate) fn export(&self, name: &str) -> Result<u64> {
        let mangled = format!("_{name}");
        let found = self.exports.iter().find(|(export, _)| export == name || *export == mangled);
        let (_, address) = found.with_context(|| format!("`{name}` is not exported"))?;
        Ok(*address)
    }

    /// What is in memory from `address` to the end of its segment.
    pub(crate) fn at(&self, address: u64) -> Result<&[u8]> {
        let inside = |segment: &&Segment| {
            segment.start <= address && address < segment.start + segment.bytes.len() as u64
        };
        let segment = self.segments.iter().find(inside).context("nothing is at this address")?;
        Ok(&segment.bytes[(address - segment.start) as usize..])
    }

    /// Where code may be.
    fn code(&self) -> Result<Range<u64>> {
        let executable = |segment: &&Segment| segment.access == Access::ReadExecute;
        let segment = self.segments.iter().find(executable).context("nothing is executable")?;
        Ok(segment.start..segment.start + segment.bytes.len() as u64)
    }

    /// The module whose data is at `address`, checked as the loader checks it: above all, every code offset leads to
    /// code.
    pub(crate) fn module(&self, address: u64) -> Result<ModuleData<'_>> {
        let bytes = self.at(address)?;
        ensure!(bytes.len() >= Header::BYTES, "the module data is cut off");
        let blob_bytes = Header::decode(bytes).fixed.blob_bytes as usize;
        let bytes = bytes.get(..blob_bytes).context("the module data is cut off")?;
        let code = self.code()?;
        let code = code.start as i64 - address as i64..code.end as i64 - address as i64;
        ModuleData::parse(bytes, code, CodeOrder::Linked)
            .map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// A file by its format.
pub(crate) enum Contents<'a> {
    Elf(Box<Elf<'a>>),
    MachO(Box<MachO<'a>>),
    Pe(Box<PE<'a>>),
}

impl<'a> Contents<'a> {
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self> {
        let magic = file.get(..4).context("the file is too short")?;
        Ok(match magic {
            [0x7f, b'E', b'L', b'F'] => Self::Elf(Elf::parse(file)?.into()),
            [0xcf, 0xfa, 0xed, 0xfe] => Self::MachO(MachO::parse(file, 0)?.into()),
            [b'M', b'Z', ..] => Self::Pe(PE::parse(file)?.into()),
            _ => bail!("an unknown format: {magic:x?}"),
        })
    }
}

/// A range of `file`, followed by zeros up to a size.
fn padded(file: &[u8], range: Range<usize>, size: u64) -> Result<Vec<u8>> {
    let mut bytes = file.get(range).context("a segment outside the file")?.to_vec();
    bytes.resize(bytes.len().max(size as usize), 0);
    Ok(bytes)
}
