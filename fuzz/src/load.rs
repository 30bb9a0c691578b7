//! Damaged images are read or refused.

use std::ops::Range;

use aotc::Emit;
use aotc_abi::meta::Header;
use aotc_abi::symbol::MODULE_DATA_SECTION;
use aotc_loader::{Engine, Module};
use object::{Object, ObjectSection};

use crate::Verdict;
use crate::generate::{self, Purpose};
use crate::random::Random;
use crate::style;

/// How often an image is damaged.
const TIMES: usize = 32;

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
    let engine = Engine::new();
    read(&engine, &image).unwrap_or_else(|error| panic!("undamaged image: {error:#}"));
    let trusted = trusted(&image);
    for _ in 0..TIMES {
        let mut damaged = image.clone();
        if random.below(8) == 0 {
            damaged.truncate(random.below(image.len()));
        } else {
            damage(&mut damaged, &trusted, &mut random);
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

/// The parts of an image that are believed, as ranges of its bytes: code, and the instance image.
fn trusted(image: &[u8]) -> [Range<usize>; 2] {
    let file = object::File::parse(image).expect("an ELF file");
    let section = |name: &str| {
        let section = file.section_by_name(name).expect("every image has it");
        let (start, bytes) = section.file_range().expect("it is in the file");
        start as usize..(start + bytes) as usize
    };
    let (text, data) = (section(".text"), section(MODULE_DATA_SECTION));
    let fixed = Header::decode(&image[data.clone()]).fixed;
    let start = data.start + fixed.image_offset as usize;
    [text, start..start + fixed.image_bytes as usize]
}

/// Changes some bytes outside `trusted`.
fn damage(image: &mut [u8], trusted: &[Range<usize>], random: &mut Random) {
    let length = image.len();
    for _ in 0..=random.below(4) {
        // Headers are small, and most is decided there.
        let at = match random.below(3) {
            0 => random.below(length.min(0x200)),
            _ => random.below(length),
        };
        if trusted.iter().any(|range| range.contains(&at)) {
            continue;
        }
        match random.below(3) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = random.choose(&[0, 1, 0x7f, 0x80, 0xff]),
            _ => image[at] = random.next() as u8,
        }
    }
}
