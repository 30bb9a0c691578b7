//! `aotc compile --emit exe`: what of the command line concerns executables, and the runners.

use std::path::PathBuf;

use anyhow::anyhow;

use super::settings::SettingsArgs;
use super::{EXIT_USAGE, Failure, output};
use crate::{Arch, Os, Settings, Target, executable};

/// The runner that uses the host's C library, and the one that brings it; empty if they were not built.
const DYNAMIC_RUNNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runner.dynamic"));
const STATIC_RUNNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runner.static"));

/// What they run on: what `build.rs` builds them for.
const RUNNERS_TARGET: Target = Target { arch: Arch::X86_64, os: Os::Linux };

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Executables (--emit exe)")]
pub(super) struct ExeArgs {
    /// Make an executable that needs nothing of its host but the kernel: no C library, no dynamic linker.
    #[arg(long = "static", conflicts_with = "runner")]
    is_static: bool,
    /// Put this runner into the executable instead of the one in this command: `aotc-runner`, built for the target.
    #[arg(long, value_name = "FILE")]
    runner: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl ExeArgs {
    /// Refuses what has no meaning for other artifacts.
    pub(super) fn check_unused(&self) -> Result<(), Failure> {
        let is_used = self.is_static
            || self.runner.is_some()
            || self.settings.to_settings() != Settings::default();
        if is_used {
            return Err(usage(
                "options of executables are for `--emit exe`; `aotc run` has its own",
            ));
        }
        Ok(())
    }

    /// Refuses targets there is no runner for.
    pub(super) fn check_target(&self, target: Target) -> Result<(), Failure> {
        if self.runner.is_some() || target == RUNNERS_TARGET {
            return Ok(());
        }
        Err(usage(&format!(
            "this aotc makes executables for {RUNNERS_TARGET} by itself; for {target} `--runner FILE` gives it a runner that was \
             built for that"
        )))
    }

    /// The file with the runner, if one is given.
    pub(super) fn runner(&self) -> Option<&PathBuf> {
        self.runner.as_ref()
    }

    /// The executable that runs `image`.
    pub(super) fn join(&self, image: &[u8]) -> Result<Vec<u8>, Failure> {
        let given = self.runner.as_ref().map(|path| output::read(path)).transpose()?;
        let runner = match (&given, self.is_static) {
            (Some(given), _) => given,
            (None, true) => STATIC_RUNNER,
            (None, false) => DYNAMIC_RUNNER,
        };
        if runner.is_empty() {
            return Err(usage(
                "this aotc was built without a runner for such executables; give one by `--runner FILE` (`cargo build -p \
                 aotc-runner --profile runner` makes it), or build aotc with the feature `exe`, on Linux and with a static C \
                 library for static ones",
            ));
        }
        Ok(executable(runner, image, &self.settings.to_settings())?)
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(EXIT_USAGE, anyhow!("{message}"))
}
