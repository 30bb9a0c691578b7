//! `aotc wast`: the specification's test scripts, through the compiler, an artifact and the loader.

mod compare;
mod script;
mod spectest;
mod values;

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use aotc_loader::{Engine, Module};

use super::options::{CompileOptions, InterruptionOptions};
use super::{EXIT_INPUT, EXIT_IO, Failure};
use crate::{Emit, Options, parallel};

/// Arguments of `aotc wast`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: CompileOptions,
    #[command(flatten)]
    interruption: InterruptionOptions,
    /// Scripts, or directories that are searched for `.wast` files.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// What came of one script.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Directives that did what they should.
    pub passed: u32,
    /// A text for each that did not: line, expected, found.
    pub failures: Vec<String>,
}

/// How a module gets from wasm bytes into the loader: the door under test.
pub type Door<'a> = dyn Fn(&Engine, &[u8]) -> anyhow::Result<Module> + Sync + 'a;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut options = args.options.to_options(args.interruption.to_interruption())?;
    let threads = options.thread_count();
    // Scripts run side by side; a module in one is small.
    options.threads = NonZero::new(1);
    let mut scripts = Vec::new();
    for path in &args.paths {
        find_scripts(path, &mut scripts).map_err(|error| Failure::new(EXIT_IO, error))?;
    }
    let door = |engine: &Engine, wasm: &[u8]| image_door(engine, wasm, &options);
    let (outcomes, _) =
        parallel::map(scripts.clone(), threads, || (), |(), path| run_file(&path, &door));
    let (mut passed, mut failed) = (0, 0);
    for (path, outcome) in scripts.iter().zip(outcomes) {
        passed += outcome.passed;
        failed += outcome.failures.len() as u32;
        for failure in outcome.failures {
            println!("{}:{failure}", path.display());
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_INPUT) })
}

/// Compiles to an image and maps it.
///
/// # Errors
/// Those of [`crate::compile`] and of [`Module::from_bytes`].
pub fn image_door(engine: &Engine, wasm: &[u8], options: &Options) -> anyhow::Result<Module> {
    let image = crate::compile(wasm, Emit::Image, options)?;
    Module::from_bytes(engine, &image)
}

/// Runs the script at `path`.
pub fn run_file(path: &Path, door: &Door<'_>) -> Outcome {
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => run_text(&text, door),
            Err(_) => Outcome { passed: 0, failures: vec!["0: expected UTF-8 text".to_owned()] },
        },
        Err(error) => Outcome { passed: 0, failures: vec![format!("0: cannot read: {error}")] },
    }
}

/// Runs a script. Every directive counts as one test; a script that cannot be parsed is one failure.
pub fn run_text(text: &str, door: &Door<'_>) -> Outcome {
    script::run(text, door)
}

fn find_scripts(path: &Path, scripts: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let context = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(context)?.is_dir() {
        scripts.push(path.to_owned());
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(path).with_context(context)?.collect();
    let mut entries: Vec<PathBuf> =
        entries.with_context(context)?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "wast") {
            find_scripts(&entry, scripts)?;
        }
    }
    Ok(())
}
