//! `aotc run`: compiles if needed, and runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use aotc_loader::{
    Config, Engine, Func, Instance, Linker, Module, Store, StoreLimits, Trap, Val, ValType,
    WasmCoreDump,
};
use aotc_wasi::{FsPerms, ProcExit, WasiCtx};

use super::limits::Limits;
use super::options::CompileOptions;
use super::{EXIT_INPUT, EXIT_TRAP, EXIT_USAGE, Failure, compile_file, output};
use crate::Emit;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Give the program a directory: HOST, or HOST::GUEST under another name.
    #[arg(long, value_name = "HOST[::GUEST]")]
    dir: Vec<String>,
    /// Give the program an environment variable: NAME=VALUE, or NAME with this process's value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Call this export with the arguments, and print its results, instead of running `_start`.
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,
    /// Write a core dump here if the program traps: a module in the core dump format of WebAssembly's tool conventions.
    #[arg(long, value_name = "FILE")]
    coredump: Option<PathBuf>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    options: CompileOptions,
    /// The program: a module in the binary or text format, or an image.
    file: PathBuf,
    /// What follows FILE goes to the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// What host functions know.
struct Host {
    wasi: WasiCtx,
    limits: StoreLimits,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut config = Config::new();
    config.coredump_on_trap(args.coredump.is_some());
    args.limits.configure(&mut config);
    let engine = Engine::new(&config).map_err(|error| Failure::new(EXIT_INPUT, error))?;
    let module = load(&engine, args)?;
    let wasi = wasi_ctx(args).map_err(|error| Failure::new(EXIT_USAGE, error))?;
    match execute(&engine, &module, wasi, args) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match args.limits.explain(error) {
            Ok(stopped) => Err(stopped),
            Err(error) => ended(error),
        },
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

fn wasi_ctx(args: &Args) -> Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    builder.inherit_stdio();
    builder.arg(args.file.file_name().unwrap_or(args.file.as_os_str()));
    if args.invoke.is_none() {
        builder.args(&args.args);
    }
    for variable in &args.env {
        match variable.split_once('=') {
            Some((name, value)) => builder.env(name, value),
            None => match std::env::var_os(variable) {
                Some(value) => builder.env(variable, value),
                None => bail!("--env {variable}: this process has no such variable"),
            },
        };
    }
    for dir in &args.dir {
        let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
        builder
            .preopened_dir(host, guest, FsPerms::ReadWrite)
            .with_context(|| format!("--dir {dir}"))?;
    }
    Ok(builder.build())
}

fn execute(engine: &Engine, module: &Module, wasi: WasiCtx, args: &Args) -> Result<()> {
    let mut linker = Linker::new(engine);
    aotc_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    let mut store = Store::new(engine, Host { wasi, limits: args.limits.store_limits() });
    store.limiter(|host| &mut host.limits);
    args.limits.begin(&mut store)?;
    let outcome = execute_in(&mut store, &linker, module, args);
    if let (Err(error), Some(file)) = (&outcome, &args.coredump)
        && let Some(dump) = error.downcast_ref::<WasmCoreDump>()
        && error.downcast_ref::<ProcExit>().is_none()
    {
        let dump = dump.serialize(&mut store, &args.file.display().to_string());
        std::fs::write(file, dump).with_context(|| format!("--coredump {}", file.display()))?;
        eprintln!("core dump written to {}", file.display());
    }
    outcome
}

fn execute_in(
    mut store: &mut Store<Host>,
    linker: &Linker<Host>,
    module: &Module,
    args: &Args,
) -> Result<()> {
    let instance = linker.instantiate(&mut store, module)?;
    match &args.invoke {
        Some(name) => {
            if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
                initialize.call(&mut store, &[], &mut [])?;
            }
            invoke(store, instance, name, &args.args)
        }
        None => {
            let start = instance.get_func(&mut store, "_start").ok_or_else(|| {
                anyhow!("the module exports no `_start`; `--invoke NAME` calls another export")
            })?;
            start.call(&mut store, &[], &mut [])
        }
    }
}

fn invoke(store: &mut Store<Host>, instance: Instance, name: &str, args: &[String]) -> Result<()> {
    let function = instance
        .get_func(&mut *store, name)
        .ok_or_else(|| anyhow!("the module exports no function called `{name}`"))?;
    let args = arguments(store, &function, args)?;
    let count = function.ty(&*store).results().len();
    let mut results = vec![Val::I32(0); count];
    function.call(&mut *store, &args, &mut results)?;
    for result in &results {
        println!("{}", display(result));
    }
    Ok(())
}

/// The arguments as the function's parameters.
fn arguments(store: &Store<Host>, function: &Func, args: &[String]) -> Result<Vec<Val>> {
    let ty = function.ty(store);
    let params: Vec<ValType> = ty.params().collect();
    if params.len() != args.len() {
        bail!("expected {} arguments, found {}", params.len(), args.len());
    }
    params.iter().zip(args).map(|(ty, text)| argument(ty, text)).collect()
}

fn argument(ty: &ValType, text: &str) -> Result<Val> {
    let value = match ty {
        ValType::I32 => integer(text).and_then(to_i32).map(Val::I32),
        ValType::I64 => integer(text).map(Val::I64),
        ValType::F32 => f32::from_str(text).ok().map(|value| Val::F32(value.to_bits())),
        ValType::F64 => f64::from_str(text).ok().map(|value| Val::F64(value.to_bits())),
        ValType::V128 => u128::from_str(text).ok().map(|value| Val::V128(value.into())),
        ValType::Ref(_) => bail!("a reference cannot be given on the command line"),
    };
    value.ok_or_else(|| anyhow!("expected a value of type {ty}, found `{text}`"))
}

/// An integer, signed or unsigned.
fn integer(text: &str) -> Option<i64> {
    i64::from_str(text).ok().or_else(|| u64::from_str(text).ok().map(|value| value as i64))
}

/// The `i32` that a number is, or is the bits of.
fn to_i32(wide: i64) -> Option<i32> {
    i32::try_from(wide).ok().or_else(|| u32::try_from(wide).ok().map(|bits| bits as i32))
}

fn display(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{:#034x}", bits.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) => "null".to_owned(),
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
    }
}

/// What becomes of an error: the program's own exit code, a trap, or a failure of ours.
fn ended(error: anyhow::Error) -> Result<ExitCode, Failure> {
    if let Some(ProcExit(code)) = error.downcast_ref::<ProcExit>() {
        // What a process can give back are the low 8 bits.
        return Ok(ExitCode::from(*code as u8));
    }
    let code = if error.downcast_ref::<Trap>().is_some() { EXIT_TRAP } else { EXIT_INPUT };
    Err(Failure { code, error })
}
