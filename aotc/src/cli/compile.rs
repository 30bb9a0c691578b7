//! `aotc compile`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::options::{CompileOptions, InterruptionOptions};
use super::{Failure, compile_file, in_file, output};
use crate::{CHeader, Emit, Options, c_header};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The module: binary or text format; `-` for standard input.
    input: PathBuf,
    /// Where the result goes; `-` for standard output. Default: the input's name with the ending of
    /// what is emitted (.o, .aot, .clif, .s).
    #[arg(short)]
    output: Option<PathBuf>,
    /// What to emit.
    #[arg(long, value_enum, default_value_t = EmitArg::Image)]
    emit: EmitArg,
    /// What the names in a header begin with. Default: the module's name.
    #[arg(long)]
    symbol_prefix: Option<String>,
    #[command(flatten)]
    options: CompileOptions,
    #[command(flatten)]
    interruption: InterruptionOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum EmitArg {
    /// A relocatable object for a linker.
    Obj,
    /// An image for the loader: mapped or opened, no linker involved.
    Image,
    /// Cranelift's intermediate representation.
    Clif,
    /// Machine code as text.
    Asm,
    /// A header for C and C++, for programs that the object is linked into.
    Header,
}

impl EmitArg {
    /// What the compiler makes; `None` for a header.
    fn emit(self) -> Option<Emit> {
        match self {
            Self::Obj => Some(Emit::Object),
            Self::Image => Some(Emit::Image),
            Self::Clif => Some(Emit::Clif),
            Self::Asm => Some(Emit::Asm),
            Self::Header => None,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Obj => "o",
            Self::Image => "aot",
            Self::Clif => "clif",
            Self::Asm => "s",
            Self::Header => "h",
        }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut options = args.options.to_options(args.interruption.to_interruption())?;
    if options.name.is_none() {
        options.name = module_name(&args.input);
    }
    let output = args.output.clone().unwrap_or_else(|| default_output(&args.input, args.emit));
    let input = output::read(&args.input)?;
    let artifact = match args.emit.emit() {
        Some(emit) => compile_file(&args.input, &input, emit, &options)?,
        None => header(args, &input, &options)?.into_bytes(),
    };
    output::write(&output, &artifact)?;
    Ok(ExitCode::SUCCESS)
}

fn header(args: &Args, input: &[u8], options: &Options) -> Result<String, Failure> {
    let name = args.input.file_name().unwrap_or_default().to_string_lossy();
    let header = CHeader { prefix: args.symbol_prefix.clone(), input: name.into_owned() };
    c_header(input, &header, options).map_err(|error| in_file(&args.input, error))
}

/// The input's file name without its ending.
fn module_name(input: &Path) -> Option<String> {
    let stem = input.file_stem()?.to_str()?;
    (stem != "-").then(|| stem.to_owned())
}

fn default_output(input: &Path, emit: EmitArg) -> PathBuf {
    if input == Path::new("-") {
        return PathBuf::from("-");
    }
    input.with_extension(emit.extension())
}
