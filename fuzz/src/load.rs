//! Damaged images are read or refused.

use std::ops::Range;

use aotc::Emit;
use aotc_abi::meta::{Header, seal};
use aotc_abi::symbol::MODULE_DATA_SECTION;
use aotc_loader::{Engine, Module};
use object::{Object, ObjectSection};

use crate::Verdict;
use crate::generate::{self, Purpose};
use crate::random::Random;
use crate::style;

/// How often an image is damaged.
const TIMES: usize = 32;
/// Where the headers of the file lie, in bytes.
const FILE_HEADERS_BYTES: usize = 0x200;

/// Compiles a generated module to an image, and loads damaged copies of it. Code and instance image stay as they
/// are: they are trusted.
///
/// # Panics
/// If the loader does, or `inspect`, or if the image is refused as it is.
pub fn run(data: &[u8]) -> Verdict {
    let Some(wasm) = generate::module(data, Purpose::Run) else {
        return Verdict::Skipped;
    };
    let mut random = Random::from_bytes(data);
    let image = aotc::compile(&wasm, Emit::Image, &style::any(&mut random))
        .unwrap_or_else(|error| panic!("{error}"));
    let engine = Engine::default();
    read(&engine, &image).unwrap_or_else(|error| panic!("undamaged image: {error:#}"));
    let parts = parts(&image);
    for _ in 0..TIMES {
        let mut damaged = image.clone();
        if random.below(8) == 0 {
            damaged.truncate(random.below(image.len()));
        } else {
            damage(&mut damaged, &parts, &mut random);
            // Without a right checksum nothing behind it is ever looked at.
            if random.below(8) != 0 {
                reseal(&mut damaged[parts.data.start..]);
            }
        }
        // Either is fine.
        let _ = read(&engine, &damaged);
        let _ = aotc::inspect(&damaged);
    }
    Verdict::Checked
}

/// Loads an image and asks it for what it has. Its code is not run.
fn read(engine: &Engine, image: &[u8]) -> anyhow::Result<()> {
    let module = Module::from_bytes(engine, image)?;
    for import in module.imports() {
        let _ = (import.module().len(), import.name().len(), import.ty());
    }
    for export in module.exports() {
        let _ = (module.get_export(export.name()), export.ty());
    }
    Ok(())
}

/// Where the parts of an image are, as ranges of its bytes.
struct Parts {
    /// What is believed: code, and the instance image.
    trusted: [Range<usize>; 2],
    /// The module data.
    data: Range<usize>,
}

fn parts(image: &[u8]) -> Parts {
    let file = object::File::parse(image).expect("an ELF file");
    let section = |name: &str| {
        let section = file.section_by_name(name).expect("every image has it");
        let (start, bytes) = section.file_range().expect("it is in the file");
        start as usize..(start + bytes) as usize
    };
    let (text, data) = (section(".text"), section(MODULE_DATA_SECTION));
    let fixed = Header::decode(&image[data.clone()]).fixed;
    let start = data.start + fixed.image_offset as usize;
    // The instance image is the last part of the section.
    Parts { trusted: [text, start..start + fixed.image_bytes as usize], data: data.start..start }
}

/// Makes the checksum right again, if what it covers is still there.
fn reseal(data: &mut [u8]) {
    if data.len() >= Header::BYTES {
        let covered_bytes = Header::decode(data).covered_bytes();
        if (Header::BYTES as u64..=data.len() as u64).contains(&covered_bytes) {
            seal(data, covered_bytes as usize);
        }
    }
}

/// Changes some bytes that are not trusted.
fn damage(image: &mut [u8], parts: &Parts, random: &mut Random) {
    for _ in 0..=random.below(4) {
        // Headers are small, and most is decided there.
        let range = match random.below(4) {
            0 => 0..FILE_HEADERS_BYTES.min(image.len()),
            1 => parts.data.start..parts.data.start + Header::BYTES,
            2 => parts.data.clone(),
            _ => 0..image.len(),
        };
        let at = range.start + random.below(range.len());
        if parts.trusted.iter().any(|range| range.contains(&at)) {
            continue;
        }
        match random.below(3) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = random.choose(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => image[at] = random.next() as u8,
        }
    }
}
