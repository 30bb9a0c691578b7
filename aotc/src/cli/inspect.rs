//! `aotc inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;

#[derive(clap::Args)]
pub(super) struct Args {
    /// An image or object made by `aotc compile`.
    artifact: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let _ = (&args.artifact, args.json);
    Ok(ExitCode::SUCCESS)
}
