//! Executables: a runner and an image in one file, which the kernel maps as a whole.
//!
//! ```text
//!   runner --Runner::parse--+
//!   image ---Image::parse---+--Layout--> program headers, note, image, section headers --> the executable
//!   settings ---------------+
//! ```
//!
//! The form is drawn in `aotc_abi::exe`. The runner stays as it is, but for its program headers.

mod image;
mod layout;
mod runner;
mod sections;

use aotc_abi::exe::{Record, Settings};
use object::LittleEndian;
use object::elf::FileHeader64;

use crate::error::{Error, Result};
use image::Image;
use layout::Layout;
use runner::Runner;
use sections::Sections;

/// Joins `runner`, the program `aotc-runner`, and `image`, which [`compile`](crate::compile) has made with
/// [`Emit::Image`](crate::Emit::Image), to an executable that runs the image with these settings.
///
/// # Errors
/// [`Error::Options`] if the runner is none, is another version's or for another target, or the image is none.
pub fn executable(runner: &[u8], image: &[u8], settings: &Settings) -> Result<Vec<u8>> {
    let runner = Runner::parse(runner)?;
    let image = Image::parse(image)?;
    runner.check_target(&image)?;
    let record = |image_address| {
        let image_bytes = image.bytes.len() as u64;
        Record { image_address, image_bytes, settings: settings.clone() }.encode()
    };
    // The record is as long wherever the image is.
    let layout = Layout::new(&runner, &image, record(0).len());
    let note = layout::note(&record(layout.image));
    let sections = Sections::new(&runner, &image, &layout);

    let mut out = runner.with_headers(&layout::segments(&runner, &layout));
    let header = FileHeader64 {
        e_phnum: half(layout.segment_count),
        e_shoff: word(sections.headers),
        e_shnum: half(sections.count),
        ..*runner.header
    };
    out[..size_of::<FileHeader64<LittleEndian>>()].copy_from_slice(object::bytes_of(&header));
    put(&mut out, layout.note, &note);
    put(&mut out, layout.image, &image.bytes);
    put(&mut out, sections.start, &sections.bytes);
    Ok(out)
}

/// Writes `bytes` from `start`, which is not before the end.
fn put(out: &mut Vec<u8>, start: u64, bytes: &[u8]) {
    assert!(out.len() as u64 <= start, "parts are written in order");
    out.resize(start as usize, 0);
    out.extend(bytes);
}

fn half(value: usize) -> object::U16<LittleEndian> {
    object::U16::new(
        LittleEndian,
        u16::try_from(value).expect("headers that were counted in 16 bits, and a few"),
    )
}

fn word(value: u64) -> object::U64<LittleEndian> {
    object::U64::new(LittleEndian, value)
}

/// What is wrong with a file that was given as the runner.
fn bad_runner(what: impl std::fmt::Display) -> Error {
    Error::Options(format!("this is no runner for executables: {what}"))
}

/// What is wrong with a file that was given as the image.
fn bad_image(what: impl std::fmt::Display) -> Error {
    Error::Options(format!("this is no image that an executable could be made of: {what}"))
}
