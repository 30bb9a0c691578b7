//! `aotc run`: compiles if needed, and runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use aotc_loader::{Config, Engine, Module};
use aotc_runner::{End, Program};

use super::limits::LimitsArgs;
use super::options::CompileOptions;
use super::settings::SettingsArgs;
use super::{EXIT_INPUT, EXIT_TRAP, EXIT_USAGE, Failure, compile_file, output};
use crate::{Emit, Settings};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Write a core dump here if the program traps: a module in the core dump format of WebAssembly's tool conventions.
    #[arg(long, value_name = "FILE")]
    coredump: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitsArgs,
    #[command(flatten)]
    options: CompileOptions,
    /// The program: a module in the binary or text format, or an image.
    file: PathBuf,
    /// What follows FILE goes to the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut config = Config::new();
    config.coredump_on_trap(args.coredump.is_some());
    args.limits.to_limits().configure(&mut config);
    let engine = Engine::new(&config).map_err(|error| Failure::new(EXIT_INPUT, error))?;
    let module = load(&engine, args)?;
    let settings = args.settings.to_settings();
    let program = Program {
        module: &module,
        settings: &settings,
        limits: args.limits.to_limits(),
        name: args.file.file_name().unwrap_or(args.file.as_os_str()),
        args: &args.args,
        coredump: args.coredump.as_deref(),
    };
    let context = check_variables(&settings).and_then(|()| program.context());
    match program.run(context.map_err(|error| Failure::new(EXIT_USAGE, error))?) {
        End::Exited(code) => Ok(ExitCode::from(code)),
        End::Trapped(error) => Err(match args.limits.explain(error) {
            Ok(stopped) => stopped,
            Err(error) => Failure { code: EXIT_TRAP, error },
        }),
        End::Failed(error) => Err(Failure { code: EXIT_INPUT, error }),
    }
}

/// The module: an image as it is, anything else compiled first.
fn load(engine: &Engine, args: &Args) -> Result<Module, Failure> {
    let at_file = |error: anyhow::Error| {
        Failure::new(EXIT_INPUT, error.context(args.file.display().to_string()))
    };
    let input = output::read(&args.file)?;
    if input.starts_with(b"\x7fELF") {
        return Module::open(engine, &args.file).map_err(at_file);
    }
    let mut options = args.options.to_options(args.limits.interruption())?;
    if options.name.is_none() {
        options.name = args.file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    }
    let image = compile_file(&args.file, &input, Emit::Image, &options)?;
    Module::from_bytes(engine, &image).map_err(at_file)
}

/// Whoever names a variable here wants it to be there.
fn check_variables(settings: &Settings) -> Result<()> {
    for variable in settings.variables.iter().filter(|variable| variable.value.is_none()) {
        if std::env::var_os(&variable.name).is_none() {
            bail!("--env {}: this process has no such variable", variable.name);
        }
    }
    Ok(())
}
