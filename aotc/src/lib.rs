//! Compiles WebAssembly to native code ahead of time.
//!
//! ```text
//! wasm bytes --parse--> WasmModule --plan--> Plan --translate--> CLIF --codegen--> CompiledFunction --emit--> artifact
//! ```
//!
//! [`compile`] is that line as code. Each arrow is a module; what a stage gives, later stages only
//! borrow. The artifact's form is defined by the crate `aotc-abi`.
#![forbid(unsafe_code)]

mod bind;
mod bindings;
mod build;
#[cfg(feature = "cli")]
pub mod cli;
mod codegen;
mod emit;
mod error;
mod exe;
#[cfg(feature = "incremental")]
mod incremental;
mod input;
mod inspect;
mod merge;
mod optimize;
mod options;
mod parallel;
mod parse;
mod plan;
mod target;
mod text;
mod translate;

pub use aotc_abi::exe::{Access, Directory, Environment, Settings, Variable};
pub use aotc_abi::target::{Arch, BoundsStyle, Interruption, Os, Target, TrapStyle};
pub use bind::{BindStyle, Binding};
pub use build::{Build, BuildError, Built};
pub use error::Error;
pub use exe::executable;
pub use inspect::{CodeSize, ExportItem, ImportItem, InspectError, Inspection, PartSize, inspect};
pub use merge::{LinkInput, Linked, link};
pub use options::{AddressMapStyle, Cpu, DebugLinesStyle, Features, OptLevel, Options};
pub use target::{TARGETS, parse_target};
pub use text::TextError;

use std::borrow::Cow;
use std::num::NonZero;

use input::Input;

/// Includes the declaration of a module that the package's `build.rs` compiled with [`Build`]: a Rust module of that
/// name. It is the loader's macro of the same name, for packages that depend on this crate, too.
#[macro_export]
macro_rules! include_module {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

/// What a compilation is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// A relocatable object for a linker.
    Object,
    /// A static library with the object in it.
    Archive,
    /// An image for the loader to map or the operating system to open; no linker is involved.
    Image,
    /// Cranelift's intermediate representation of every function, as text.
    Clif,
    /// Machine code of every function, as text.
    Asm,
}

/// What came of a compilation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// The bytes of each artifact that was asked for, in that order.
    pub artifacts: Vec<Vec<u8>>,
    /// What was taken from an earlier compilation, if one was to be used.
    pub reuse: Option<Reuse>,
}

/// What a compilation had to do with a folder of compiled code ([`Options::incremental`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// Pieces of code that were there.
    pub reused: usize,
    /// Pieces of code that were compiled.
    pub compiled: usize,
    /// Why the folder could not be used or written, if so. The artifacts are complete all the same.
    pub problem: Option<String>,
}

/// Compiles a module.
///
/// `input` is a module in the binary format, or in the text format if it does not start with the
/// binary format's magic number. The result is the bytes of the artifact that `emit` names.
///
/// # Errors
/// [`Error`]: the input is invalid or uses something unsupported (with its offset), the options do not fit
/// together, or a limit is exceeded.
pub fn compile(input: &[u8], emit: Emit, options: &Options) -> Result<Vec<u8>, Error> {
    let mut compiled = compile_all(input, &[emit], options)?;
    Ok(compiled.artifacts.pop().expect("an artifact for each that was asked for"))
}

/// Compiles a module to several artifacts at once: each is as [`compile`] makes it, and the code is generated once.
///
/// # Errors
/// As [`compile`].
pub fn compile_all(input: &[u8], emits: &[Emit], options: &Options) -> Result<Compiled, Error> {
    Input::Module(input).compile_all(emits, options)
}

/// A static library of objects, each with the name of its member, for linkers of ELF and COFF. The same objects give the
/// same bytes.
///
/// # Errors
/// [`Error::Options`] for a name that is empty, longer than 15 bytes, or has a `/`, [`Error::Invalid`] if one is no
/// object, [`Error::Limit`] if the library would be larger than 4 GiB.
pub fn archive(objects: &[(&str, &[u8])]) -> Result<Vec<u8>, Error> {
    emit::archive::write(objects)
}

/// How [`c_header`] declares a module.
#[derive(Clone, Debug, Default)]
pub struct CHeader {
    /// What every name begins with, as good as it can be an identifier. Default: the module's name.
    pub prefix: Option<String>,
    /// Name of the input, for the comment at the top.
    pub input: String,
}

/// Declares a module to C and C++: the header that goes with the object of the same module and options. It includes
/// `aotc.h`, which belongs to the loader's C library.
///
/// # Errors
/// Those of [`compile`] for reading and validating the module.
pub fn c_header(input: &[u8], header: &CHeader, options: &Options) -> Result<String, Error> {
    Input::Module(input).c_header(header, options)
}

fn compile_module(
    module: &parse::WasmModule<'_>,
    emits: &[Emit],
    options: &Options,
) -> Result<Compiled, Error> {
    let threads = options.thread_count();
    if emits.contains(&Emit::Image) {
        emit::check_image(options.target)?;
    }
    if !options.bind.is_empty() {
        bind::check_emits(emits)?;
    }
    let isas = codegen::isas(options)?;
    let plan = plan::build(module, options)?;
    let env = translate::Env { module, plan: &plan, options, isa: &*isas.lowering };
    let listing = match emits.contains(&Emit::Asm) {
        true => codegen::Listing::Text,
        false => codegen::Listing::None,
    };
    let (functions, reuse) = match emits.iter().all(|&emit| emit == Emit::Clif) {
        true => (Vec::new(), None),
        false => generate(env, &isas, threads, listing)?,
    };
    let object = || emit::object(module, &plan, options, &*isas.lowering, &functions);
    let artifact = |&emit: &Emit| match emit {
        Emit::Clif => Ok(text(env, &codegen::clif(env, threads)?)),
        Emit::Asm => Ok(text(env, &listings(&functions))),
        Emit::Object => object(),
        Emit::Archive => emit::archive::write(&[(ARCHIVE_MEMBER, &object()?)]),
        Emit::Image => emit::image(module, &plan, options, &*isas.lowering, &functions),
    };
    let artifacts = emits.iter().map(artifact).collect::<Result<_, _>>()?;
    Ok(Compiled { artifacts, reuse })
}

/// The object's name in a static library.
const ARCHIVE_MEMBER: &str = "module.o";

/// The code of the plan. With a folder of compiled code, only what is not in it is compiled.
fn generate(
    env: translate::Env<'_>,
    isas: &codegen::Isas,
    threads: NonZero<usize>,
    listing: codegen::Listing,
) -> Result<(Vec<codegen::CompiledFunction>, Option<Reuse>), Error> {
    #[cfg(feature = "incremental")]
    if let (Some(folder), codegen::Listing::None) = (&env.options.incremental, listing) {
        let cache = incremental::Cache::open(folder, env.options, &env.plan.name, isas);
        let functions = codegen::compile(env, isas, threads, listing, &cache)?;
        return Ok((functions, Some(cache.close())));
    }
    let functions = codegen::compile(env, isas, threads, listing, &codegen::Anew)?;
    Ok((functions, None))
}

/// The binary format of `input`, which may be text.
fn to_binary(input: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if input.starts_with(b"\0asm") {
        return Ok(Cow::Borrowed(input));
    }
    if let Ok(text) = std::str::from_utf8(input) {
        return text::to_binary(text).map(Cow::Owned);
    }
    let message = "neither the magic number of the binary format nor UTF-8 text".to_owned();
    Err(Error::Invalid { message, offset: 0 })
}

fn listings(functions: &[codegen::CompiledFunction]) -> Vec<String> {
    functions.iter().map(|function| function.listing.clone().unwrap_or_default()).collect()
}

/// Listings of all pieces of code, each under its name.
fn text(env: translate::Env<'_>, listings: &[String]) -> Vec<u8> {
    let mut out = String::new();
    for (key, listing) in env.plan.codes.iter().zip(listings) {
        let name = env.plan.code_name(*key, env.module);
        out.push_str(&format!(";; {name}\n{listing}\n"));
    }
    out.into_bytes()
}
