//! The command `aotc`: the one place where the compiler and the loader meet.
//!
//! Exit codes: 0 success; 1 the input is bad or a test failed; 2 wrong usage; 3 a file cannot be read or
//! written; 70 a bug of the compiler. `aotc run` ends with the program's own code, 134 if it traps, 124 if it is stopped.

mod compile;
mod inspect;
mod limits;
mod options;
mod output;
mod run;
pub mod wast;

pub use options::parse_options;

use std::path::Path;
use std::process::ExitCode;

use aotc_loader::{WasmBacktrace, WasmCoreDump};
use clap::{Parser, Subcommand};

use crate::{Emit, Options};

/// Bad input.
const EXIT_INPUT: u8 = 1;
/// Wrong usage; `clap`'s own code.
const EXIT_USAGE: u8 = 2;
/// A file cannot be read or written.
const EXIT_IO: u8 = 3;
/// A bug; `EX_SOFTWARE` of sysexits.
const EXIT_INTERNAL: u8 = 70;
/// A program was stopped by `--fuel` or `--timeout`, as by `timeout(1)`.
const EXIT_STOPPED: u8 = 124;
/// A program trapped: 128 + SIGABRT, as a shell shows a native crash.
const EXIT_TRAP: u8 = 134;

/// Compiles WebAssembly to native code ahead of time.
#[derive(Parser)]
#[command(name = "aotc", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a module to an object, an image, or text.
    Compile(compile::Args),
    /// Show what an artifact contains and needs.
    Inspect(inspect::Args),
    /// Run a program under WASI, or call one of its exports.
    Run(run::Args),
    /// Run test scripts of the WebAssembly specification.
    Wast(wast::Args),
}

/// An error that decides the exit code by its kind.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        let code = match error {
            crate::Error::Internal { .. } => EXIT_INTERNAL,
            crate::Error::Options(_) => EXIT_USAGE,
            crate::Error::Text(_)
            | crate::Error::Invalid { .. }
            | crate::Error::Unsupported { .. }
            | crate::Error::Limit(_) => EXIT_INPUT,
        };
        Self::new(code, error)
    }
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compile(args) => compile::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Wast(args) => wast::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(Failure { code, error }) => {
            eprintln!("error: {}", message(&error));
            ExitCode::from(code)
        }
    }
}

/// The error and its causes in a line; below it, the frames of the program if it was running.
fn message(error: &anyhow::Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let dump = error.downcast_ref::<WasmCoreDump>().map(ToString::to_string);
    let causes: Vec<String> = (error.chain().map(ToString::to_string))
        .filter(|cause| ![&backtrace, &dump].map(Option::as_ref).contains(&Some(cause)))
        .collect();
    let backtrace = backtrace.map(|frames| format!("\n{frames}")).unwrap_or_default();
    format!("{}{backtrace}", causes.join(": "))
}

/// Compiles `input`, the contents of the file at `path`, which errors name.
fn compile_file(
    path: &Path,
    input: &[u8],
    emit: Emit,
    options: &Options,
) -> Result<Vec<u8>, Failure> {
    crate::compile(input, emit, options).map_err(|error| in_file(path, error))
}

/// An error of the contents of the file at `path`, which it names.
fn in_file(path: &Path, error: crate::Error) -> Failure {
    match error {
        crate::Error::Text(error) => crate::Error::Text(error.in_file(path)).into(),
        error => {
            let failure = Failure::from(error);
            Failure { error: failure.error.context(path.display().to_string()), ..failure }
        }
    }
}
