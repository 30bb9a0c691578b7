//! Writes artifacts.
//!
//! ```text
//!   WasmModule, Plan --metadata--> module data, and where code offsets go in it --+
//!   CompiledFunction --unwind----> .eh_frame, and where code addresses go in it --+--> Parts
//!                                                                                 |
//!          Parts --text, elf_image--> image:  every offset and address is final --+
//!          Parts --object-----------> object: each of them carries a relocation --+
//! ```
//!
//! What differs between ELF, Mach-O and COFF is decided by [`Format`] and is in files named for the format.

pub(crate) mod archive;
mod elf_image;
mod lines;
mod metadata;
mod object;
mod text;
mod unwind;

#[cfg(test)]
pub(crate) mod tests;

use aotc_abi::meta::CodeOffset;
use aotc_abi::target::{Os, Target};
use cranelift_codegen::isa::TargetIsa;

use crate::codegen::CompiledFunction;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::parse::WasmModule;
use crate::plan::Plan;
use unwind::EhFrame;

/// An image: a shared library without relocations, to be mapped or opened.
///
/// `functions` are the compiled `plan.codes`, in the same order.
///
/// # Errors
/// [`Error::Options`] if the target has no images yet, [`Error::Limit`] if the image would be too large.
pub(crate) fn image(
    module: &WasmModule<'_>,
    plan: &Plan,
    options: &Options,
    isa: &dyn TargetIsa,
    functions: &[CompiledFunction],
) -> Result<Vec<u8>> {
    match Format::of(options.target)? {
        Format::Elf => elf_image::write(&Parts::new(module, plan, options, isa, functions)?),
    }
}

/// A relocatable object, to be linked.
///
/// `functions` are the compiled `plan.codes`, in the same order.
///
/// # Errors
/// As [`image`].
pub(crate) fn object(
    module: &WasmModule<'_>,
    plan: &Plan,
    options: &Options,
    isa: &dyn TargetIsa,
    functions: &[CompiledFunction],
) -> Result<Vec<u8>> {
    match Format::of(options.target)? {
        Format::Elf => object::write(Parts::new(module, plan, options, isa, functions)?),
    }
}

/// A file format for objects and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Elf,
}

impl Format {
    fn of(target: Target) -> Result<Self> {
        match target.os {
            Os::Linux => Ok(Self::Elf),
            Os::MacOs | Os::Windows => Err(Error::Options(format!(
                "no artifacts can be written for {target} yet: expected a target with {}",
                Os::Linux
            ))),
        }
    }
}

/// What goes into an artifact, whatever its format.
struct Parts<'a> {
    /// Name of the module.
    name: String,
    target: Target,
    isa: &'a dyn TargetIsa,
    functions: &'a [CompiledFunction],
    /// Symbols of the functions. Not necessarily distinct.
    symbols: Vec<String>,
    /// The module data.
    data: Vec<u8>,
    /// Where code offsets go in `data`.
    data_code: Vec<CodeOffset>,
    eh_frame: EhFrame,
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
        let symbol = |&key| c_string(&format!("{}::{}", plan.name, plan.code_name(key, module)));
        let (data, data_code) = metadata::module_data(module, plan, options, functions)?;
        Ok(Self {
            name: c_string(&plan.name),
            target: options.target,
            isa,
            functions,
            symbols: plan.codes.iter().map(symbol).collect(),
            data,
            data_code,
            eh_frame: EhFrame::new(isa, functions)?,
        })
    }

    /// Alignment of a piece of code, in bytes.
    fn code_align(&self, function: &CompiledFunction) -> u32 {
        let isa = self.isa.function_alignment();
        function.align.max(isa.minimum).max(isa.preferred)
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
