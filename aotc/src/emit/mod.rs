//! Writes artifacts.
//!
//! ```text
//!   WasmModule, Plan --metadata--> module data, and where code offsets go in it --+
//!   CompiledFunction -------------------------------------------------------------+--> Parts
//!
//!          Parts --text, unwind, elf_image--> image:  every offset and address is final
//!          Parts --unwind, object-----------> object: each of them carries a relocation
//!                            |
//!                    +-- elf_object | mach_o_object | coff_object with windows_unwind
//! ```
//!
//! What differs between ELF, Mach-O and COFF is decided by [`Format`] and is in files named for the format.

pub(crate) mod archive;
mod bound;
mod coff_object;
mod elf_image;
mod elf_object;
mod lines;
mod mach_o_object;
mod metadata;
mod object;
mod text;
mod unwind;
mod windows_unwind;

#[cfg(test)]
pub(crate) mod tests;

use aotc_abi::meta::{Builder, CodeOffset};
use aotc_abi::target::{Os, Target};
use cranelift_codegen::isa::TargetIsa;

use crate::bind::{self, ExternalSymbol};
use crate::codegen::CompiledFunction;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::parse::WasmModule;
use crate::plan::Plan;

/// An image: a shared library without relocations, to be mapped or opened.
///
/// `functions` are the compiled `plan.codes`, in the same order.
///
/// # Errors
/// As [`check_image`]; [`Error::Limit`] if the image would be too large.
pub(crate) fn image(
    module: &WasmModule<'_>,
    plan: &Plan,
    options: &Options,
    isa: &dyn TargetIsa,
    functions: &[CompiledFunction],
) -> Result<Vec<u8>> {
    check_image(options.target)?;
    elf_image::write(Parts::new(module, plan, options, isa, functions)?)
}

/// Whether there are images for `target`.
///
/// # Errors
/// [`Error::Options`] if there are only objects.
pub(crate) fn check_image(target: Target) -> Result<()> {
    match Format::of(target) {
        Format::Elf => Ok(()),
        Format::MachO | Format::Coff => Err(Error::Options(format!(
            "there are no images for {target}, only objects for a linker: `--emit obj`"
        ))),
    }
}

/// A relocatable object, to be linked.
///
/// `functions` are the compiled `plan.codes`, in the same order.
///
/// # Errors
/// [`Error::Limit`] if the object would be too large.
pub(crate) fn object(
    module: &WasmModule<'_>,
    plan: &Plan,
    options: &Options,
    isa: &dyn TargetIsa,
    functions: &[CompiledFunction],
) -> Result<Vec<u8>> {
    object::write(Parts::new(module, plan, options, isa, functions)?)
}

/// A file format: ELF for objects and images, the others for objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
    Coff,
}

impl Format {
    fn of(target: Target) -> Self {
        match target.os {
            Os::Linux => Self::Elf,
            Os::MacOs => Self::MachO,
            Os::Windows => Self::Coff,
        }
    }
}

/// What goes into an artifact, whatever its format.
struct Parts<'a> {
    /// Name of the module.
    name: String,
    target: Target,
    format: Format,
    isa: &'a dyn TargetIsa,
    functions: &'a [CompiledFunction],
    /// Symbols of the functions, without the name of the module. Not necessarily distinct.
    symbols: Vec<String>,
    /// What goes into the module data.
    data: Builder,
    /// Symbols that a linker resolves.
    external: Vec<ExternalSymbol>,
}

impl<'a> Parts<'a> {
    fn new(
        module: &WasmModule<'_>,
        plan: &Plan,
        options: &Options,
        isa: &'a dyn TargetIsa,
        functions: &'a [CompiledFunction],
    ) -> Result<Self> {
        assert_eq!(plan.codes.len(), functions.len(), "every planned piece of code is compiled");
        let symbol = |&key| c_string(&plan.code_name(key, module));
        let format = Format::of(options.target);
        Ok(Self {
            name: c_string(&plan.name),
            target: options.target,
            format,
            isa,
            functions,
            symbols: plan.codes.iter().map(symbol).collect(),
            data: metadata::module_data(module, plan, options, functions)?,
            external: bind::symbols(&module.bound),
        })
    }

    /// Alignment of a piece of code, in bytes.
    fn code_align(&self, function: &CompiledFunction) -> u32 {
        let isa = self.isa.function_alignment();
        function.align.max(isa.minimum).max(isa.preferred)
    }
}

/// The module data, finished but for the places of code.
struct FinishedData {
    bytes: Vec<u8>,
    /// Where code offsets go.
    code: Vec<CodeOffset>,
}

impl FinishedData {
    /// With these parts, the instance image at a multiple of `image_align` bytes.
    fn finish(parts: Builder, image_align: u32) -> Result<Self> {
        let (bytes, code) = parts.finish(image_align).ok_or_else(too_large)?;
        Ok(Self { bytes, code })
    }
}

/// `name` as a string table can hold it: names in a module may contain NUL.
fn c_string(name: &str) -> String {
    name.replace('\0', "\u{fffd}")
}

/// A bug of ours or of a library below, found while `what` was written.
fn internal(what: &str, message: impl ToString) -> Error {
    Error::Internal { function: what.to_owned(), message: message.to_string() }
}

fn too_large() -> Error {
    Error::Limit("code and data of a module must take less than 2 GiB".to_owned())
}
