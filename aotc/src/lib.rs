//! Compiles WebAssembly to native code ahead of time.
//!
//! ```text
//! wasm bytes --parse--> WasmModule --plan--> Plan --translate--> CLIF --codegen--> CompiledFunction --emit--> artifact
//! ```
//!
//! [`compile`] is that line as code. Each arrow is a module; what a stage gives, later stages only
//! borrow. The artifact's form is defined by the crate `aotc-abi`.
#![forbid(unsafe_code)]

mod bindings;
mod build;
#[cfg(feature = "cli")]
pub mod cli;
mod codegen;
mod emit;
mod error;
mod inspect;
mod optimize;
mod options;
mod parallel;
mod parse;
mod plan;
mod target;
mod text;
mod translate;

pub use aotc_abi::target::{Arch, BoundsStyle, Interruption, Os, Target, TrapStyle};
pub use build::{Build, BuildError, Built};
pub use error::Error;
pub use inspect::{CodeSize, ExportItem, ImportItem, InspectError, Inspection, PartSize, inspect};
pub use options::{AddressMapStyle, Cpu, DebugLinesStyle, Features, OptLevel, Options};
pub use target::{TARGETS, parse_target};
pub use text::TextError;

use std::borrow::Cow;
use std::num::NonZero;

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
    /// An image for the loader to map or the operating system to open; no linker is involved.
    Image,
    /// Cranelift's intermediate representation of every function, as text.
    Clif,
    /// Machine code of every function, as text.
    Asm,
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
    with_module(input, options, |module| compile_module(module, emit, options))
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
    with_module(input, options, |module| {
        let name = plan::module_name(module, options);
        let prefix = header.prefix.as_ref().unwrap_or(&name).clone();
        let settings = bindings::c::Settings { prefix, name, input: header.input.clone() };
        Ok(bindings::c::declare(module, &settings))
    })
}

/// Parses a module, and does something with it.
///
/// # Errors
/// Those of reading and validating the module, and those of `then`.
fn with_module<R>(
    input: &[u8],
    options: &Options,
    then: impl FnOnce(&parse::WasmModule<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    options.check()?;
    let wasm = to_binary(input)?;
    let parsed = parse::parse(&wasm, options.features, options.thread_count());
    let module = parsed.map_err(|error| match &wasm {
        // What was made from text is explained by the text.
        Cow::Owned(_) => text::with_line(error, &String::from_utf8_lossy(input)),
        Cow::Borrowed(_) => error,
    })?;
    then(&module)
}

fn compile_module(
    module: &parse::WasmModule<'_>,
    emit: Emit,
    options: &Options,
) -> Result<Vec<u8>, Error> {
    let threads = options.thread_count();
    let isas = codegen::isas(options)?;
    let plan = plan::build(module, options)?;
    let env = translate::Env { module, plan: &plan, options, isa: &*isas.lowering };
    match emit {
        Emit::Clif => Ok(text(env, &codegen::clif(env, threads)?)),
        Emit::Asm => Ok(text(env, &asm(env, &isas, threads)?)),
        Emit::Object => {
            let functions = codegen::compile(env, &isas, threads, codegen::Listing::None)?;
            emit::object(module, &plan, options, &*isas.lowering, &functions)
        }
        Emit::Image => {
            emit::check_image(options.target)?;
            let functions = codegen::compile(env, &isas, threads, codegen::Listing::None)?;
            emit::image(module, &plan, options, &*isas.lowering, &functions)
        }
    }
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

fn asm(
    env: translate::Env<'_>,
    isas: &codegen::Isas,
    threads: NonZero<usize>,
) -> Result<Vec<String>, Error> {
    let functions = codegen::compile(env, isas, threads, codegen::Listing::Text)?;
    Ok(functions.into_iter().map(|function| function.listing.unwrap_or_default()).collect())
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
