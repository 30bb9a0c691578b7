//! `aotc run`: compiles if needed, and runs.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::options::CompileOptions;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: CompileOptions,
    /// The program.
    file: PathBuf,
    /// Arguments of the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let _ = (&args.options, &args.file, &args.args);
    Ok(ExitCode::SUCCESS)
}
