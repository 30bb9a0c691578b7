//! `aotc inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::{EXIT_INPUT, Failure, output};

#[derive(clap::Args)]
pub(super) struct Args {
    /// An image or object made by `aotc compile`.
    artifact: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let file = output::read(&args.artifact)?;
    let inspection = crate::inspect(&file)
        .with_context(|| args.artifact.display().to_string())
        .map_err(|error| Failure::new(EXIT_INPUT, error))?;
    let text = if args.json { inspection.to_json() } else { inspection.to_string() };
    output::write("-".as_ref(), format!("{}\n", text.trim_end()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
