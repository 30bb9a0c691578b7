//! `aotc loader-config`: what the loader of this command needs on this host.

use std::process::ExitCode;

use aotc_loader::{Config, Engine};

use super::{EXIT_INPUT, Failure, output};

#[derive(clap::Args)]
pub(super) struct Args {
    /// For engines that consume fuel (`Config::consume_fuel`).
    #[arg(long)]
    fuel: bool,
    /// For engines with epochs (`Config::epoch_interruption`).
    #[arg(long)]
    epochs: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut config = Config::new();
    config.consume_fuel(args.fuel).epoch_interruption(args.epochs);
    let engine = Engine::new(&config).map_err(|error| Failure::new(EXIT_INPUT, error))?;
    output::write("-".as_ref(), engine.compile_settings().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
