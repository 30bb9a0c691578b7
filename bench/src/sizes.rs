//! Sizes of what was compiled, by what the bytes are, and the table of them.
//!
//! | | code | the module's own data | metadata |
//! |---|---|---|---|
//! | aotc, an image | `.text` | instances' first context and memory, constant tables, segments | all other bytes of the file |
//! | Wasmtime, its artifact | `.text` | `.rodata.wasm` | all other bytes of the file |
//! | wasm2c, an object | sections that are executed | other sections that are loaded | `.eh_frame` |

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionFlags, elf};

/// Where the bytes go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) code: u64,
    /// What the module itself brings.
    pub(crate) data: u64,
    pub(crate) metadata: u64,
}

/// The parts of an image's module data that are the module's own.
const OWN_DATA: [&str; 3] = ["constant tables and segments", "initial context", "initial memory"];

impl Size {
    /// Of an image of aotc's.
    pub(crate) fn of_image(image: &[u8]) -> Result<Self> {
        let parts = aotc::inspect(image)?.module_data;
        let own = parts.iter().filter(|part| OWN_DATA.contains(&&*part.name));
        let data = own.map(|part| part.bytes).sum();
        Self::of_file(image, data)
    }

    /// Of an artifact of Wasmtime's.
    pub(crate) fn of_wasmtime(artifact: &[u8]) -> Result<Self> {
        let data = object::File::parse(artifact)?
            .section_by_name(".rodata.wasm")
            .map_or(0, |section| section.size());
        Self::of_file(artifact, data)
    }

    fn of_file(bytes: &[u8], data: u64) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let code = file.section_by_name(".text").map_or(0, |section| section.size());
        let metadata = (bytes.len() as u64).checked_sub(code + data);
        Ok(Self { code, data, metadata: metadata.context("sections overlap")? })
    }

    /// Of an object from the C compiler, as much of it as is left in a stripped program.
    pub(crate) fn of_object(object: &[u8]) -> Result<Self> {
        let mut size = Self::default();
        for section in object::File::parse(object)?.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let is = |flag: u32| sh_flags & u64::from(flag) != 0;
            let kind = match () {
                () if !is(elf::SHF_ALLOC) => continue,
                () if is(elf::SHF_EXECINSTR) => &mut size.code,
                () if section.name()? == ".eh_frame" => &mut size.metadata,
                // What is zero takes no bytes.
                () => &mut size.data,
            };
            *kind += section.file_range().map_or(0, |(_, bytes)| bytes);
        }
        Ok(size)
    }
}

/// What a row shows.
pub(crate) struct Sizes {
    /// As aotc writes it.
    pub(crate) aotc: Size,
    /// As `strip` leaves it, or why there is nothing.
    pub(crate) stripped: Result<Size, &'static str>,
    /// As Wasmtime writes it.
    pub(crate) wasmtime: Size,
    /// What wasm2c and `cc` make, or why there is nothing.
    pub(crate) wasm2c: Result<Size, &'static str>,
}

/// The table, whose rows are printed as soon as they are known.
pub(crate) struct SizeTable {
    is_begun: bool,
}

impl SizeTable {
    pub(crate) fn new() -> Self {
        Self { is_begun: false }
    }

    /// Prints a row.
    pub(crate) fn print(&mut self, label: &str, sizes: Sizes) {
        if !self.is_begun {
            println!(
                "\n| bytes | aotc: code | metadata | of code | stripped | of code | Wasmtime: code | metadata | of code | wasm2c: code | metadata | of code |"
            );
            println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
            self.is_begun = true;
        }
        let Sizes { aotc, stripped, wasmtime, wasm2c } = sizes;
        let stripped = match stripped {
            Ok(size) => metadata_cells(size),
            Err(why) => format!("{why} |"),
        };
        let wasm2c = match wasm2c {
            Ok(size) => cells(size),
            Err(why) => format!("{why} | |"),
        };
        println!("| {label} | {} | {stripped} | {} | {wasm2c} |", cells(aotc), cells(wasmtime));
    }
}

fn cells(size: Size) -> String {
    format!("{} | {}", size.code, metadata_cells(size))
}

fn metadata_cells(Size { code, metadata, .. }: Size) -> String {
    let share = match code {
        0 => String::new(),
        _ => format!("{:.1} %", metadata as f64 * 100.0 / code as f64),
    };
    format!("{metadata} | {share}")
}
