//! `aotc compile`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::options::CompileOptions;
use super::{Failure, compile_file, output};
use crate::Emit;

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
    #[command(flatten)]
    options: CompileOptions,
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
}

impl EmitArg {
    fn emit(self) -> Emit {
        match self {
            Self::Obj => Emit::Object,
            Self::Image => Emit::Image,
            Self::Clif => Emit::Clif,
            Self::Asm => Emit::Asm,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Obj => "o",
            Self::Image => "aot",
            Self::Clif => "clif",
            Self::Asm => "s",
        }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut options = args.options.to_options()?;
    if options.name.is_none() {
        options.name = module_name(&args.input);
    }
    let output = args.output.clone().unwrap_or_else(|| default_output(&args.input, args.emit));
    let input = output::read(&args.input)?;
    let artifact = compile_file(&args.input, &input, args.emit.emit(), &options)?;
    output::write(&output, &artifact)?;
    Ok(ExitCode::SUCCESS)
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
