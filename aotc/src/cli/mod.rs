//! The command `aotc`: the one place where the compiler and the loader meet.
//!
//! Exit codes: 0 success; 1 the input is bad or a test failed; 2 wrong usage; 3 a file cannot be read or
//! written; 70 a bug of the compiler. `aotc run` ends with the program's own code, 134 if it traps, 124 if it is stopped.

mod cc;
mod compile;
mod depfile;
mod emit;
mod exe;
mod for_loader;
mod inspect;
mod limits;
mod link;
mod loader_config;
mod messages;
mod options;
mod output;
mod place;
mod response;
mod run;
mod settings;
pub mod wast;

pub use options::parse_options;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use aotc_runner::EXIT_TRAP;
use clap::{Parser, Subcommand};

use crate::{Emit, Options};
use messages::MessageFormat;
use place::Place;
use response::Expanded;

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

/// Compiles WebAssembly to native code ahead of time.
#[derive(Parser)]
#[command(name = "aotc", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile a module to an object, a static library, an image, or text. `@FILE` stands for the arguments in FILE.
    Compile(Box<compile::Args>),
    /// Show what an artifact contains and needs.
    Inspect(inspect::Args),
    /// Run a program under WASI, or call one of its exports.
    Run(run::Args),
    /// Show what modules must be compiled for to be loaded on this host: text for `aotc compile --for-loader`.
    LoaderConfig(loader_config::Args),
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

    /// What kind of error it is, for programs, if it is not one of the compiler's.
    fn kind(&self) -> &'static str {
        match self.code {
            EXIT_USAGE => "usage",
            EXIT_IO => "io",
            EXIT_INTERNAL => "internal",
            EXIT_TRAP => "trap",
            _ => "input",
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        let code = match error {
            crate::Error::In { file, error } => {
                let failure = Self::from(*error);
                let error = failure.error.context(Place::inside(file.as_ref()));
                return Self { error, ..failure };
            }
            crate::Error::Internal { .. } => EXIT_INTERNAL,
            crate::Error::Options(_) => EXIT_USAGE,
            crate::Error::Text(_)
            | crate::Error::Invalid { .. }
            | crate::Error::Unsupported { .. }
            | crate::Error::Link { .. }
            | crate::Error::Limit(_) => EXIT_INPUT,
        };
        Self::new(code, error)
    }
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let mut response_files = Vec::new();
    if arguments.get(1).is_some_and(|command| command == COMPILE) {
        // The arguments of other commands may be a program's.
        match response::expand(arguments.split_off(2)) {
            Ok(Expanded { arguments: expanded, files }) => {
                response_files = files;
                arguments.extend(expanded);
            }
            Err(failure) => return ended(MessageFormat::Human, Err(failure)),
        }
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            return ExitCode::from(MessageFormat::of_arguments(&arguments).usage(&error));
        }
    };
    match cli.command {
        Command::Compile(mut args) => {
            args.response_files = response_files;
            ended(args.message_format, compile::run(&args))
        }
        Command::Inspect(args) => ended(MessageFormat::Human, inspect::run(&args)),
        Command::Run(args) => ended(MessageFormat::Human, run::run(&args)),
        Command::LoaderConfig(args) => ended(MessageFormat::Human, loader_config::run(&args)),
        Command::Wast(args) => ended(MessageFormat::Human, wast::run(&args)),
    }
}

/// The command whose arguments may be in files.
const COMPILE: &str = "compile";

fn ended(format: MessageFormat, result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        format.failure(&failure);
        ExitCode::from(failure.code)
    })
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
        crate::Error::Text(error) if error.path().is_none() => {
            crate::Error::Text(error.in_file(path)).into()
        }
        // Of several modules, it knows which.
        error @ (crate::Error::Text(_) | crate::Error::In { .. }) => error.into(),
        error => {
            let failure = Failure::from(error);
            Failure { error: failure.error.context(Place::inside(path)), ..failure }
        }
    }
}
