//! `aotc compile --emit exe`: what of the command line concerns executables, and the runners.

use std::path::PathBuf;

use anyhow::anyhow;

use super::cc::{self, Linking};
use super::settings::SettingsArgs;
use super::{EXIT_USAGE, Failure, output};
use crate::{Arch, Emit, Os, Settings, Target, executable};

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
    /// Let the system's C compiler (`cc`, or what CC says) link the executable, with the loader's library. LIBDIR, or the variable
    /// AOTC_LIB_DIR, is the folder with libaotc.a; default: what `pkg-config aotc` says, or ../lib beside this command.
    #[arg(long, value_name = "LIBDIR", num_args = 0..=1, require_equals = true, conflicts_with = "runner")]
    link: Option<Option<PathBuf>>,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl ExeArgs {
    /// Refuses what has no meaning for other artifacts.
    pub(super) fn check_unused(&self) -> Result<(), Failure> {
        let is_used = self.is_static
            || self.runner.is_some()
            || self.link.is_some()
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
        if self.link.is_some() {
            return match target.os {
                Os::Linux => Ok(()),
                Os::MacOs | Os::Windows => Err(usage(&format!(
                    "executables are linked for Linux, where there is a loader, not for {target}"
                ))),
            };
        }
        if self.runner.is_some() || target == RUNNERS_TARGET {
            return Ok(());
        }
        Err(usage(&format!(
            "this aotc makes executables for {RUNNERS_TARGET} by itself; for {target} `--runner FILE` gives it a runner that was \
             built for that"
        )))
    }

    /// What an executable is made of beside the artifact.
    pub(super) fn part(&self) -> Result<Part, Failure> {
        match (&self.link, &self.runner) {
            (Some(folder), _) => cc::library(folder.as_deref()).map(Part::Library),
            (None, Some(runner)) => Ok(Part::Runner(runner.clone())),
            (None, None) => Ok(Part::OwnRunner),
        }
    }

    /// What an executable is made of.
    pub(super) fn made_of(&self) -> Emit {
        match self.link {
            Some(_) => Emit::Object,
            None => Emit::Image,
        }
    }

    /// The executable that runs `artifact`, which is what it is [made of](Self::made_of), with its [part](Self::part).
    pub(super) fn make(&self, artifact: &[u8], part: &Part) -> Result<Vec<u8>, Failure> {
        let settings = self.settings.to_settings();
        let given;
        let runner = match (part, self.is_static) {
            (Part::Library(library), is_static) => {
                let linking = if is_static { Linking::Static } else { Linking::Dynamic };
                return cc::link(artifact, &settings, linking, library);
            }
            (Part::Runner(path), _) => {
                given = output::read(path)?;
                &*given
            }
            (Part::OwnRunner, true) => STATIC_RUNNER,
            (Part::OwnRunner, false) => DYNAMIC_RUNNER,
        };
        if runner.is_empty() {
            return Err(usage(
                "this aotc was built without a runner for such executables; give one by `--runner FILE` (`cargo build -p \
                 aotc-runner --profile runner` makes it), or build aotc with the feature `exe`, on Linux and with a static C \
                 library for static ones",
            ));
        }
        Ok(executable(runner, artifact, &settings)?)
    }
}

/// What executables are made of beside the artifact.
pub(super) enum Part {
    /// One of the runners in this command.
    OwnRunner,
    /// The runner in a file.
    Runner(PathBuf),
    /// The loader's library, with which the C compiler links.
    Library(PathBuf),
}

impl Part {
    /// The file that it is.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::OwnRunner => None,
            Self::Runner(file) | Self::Library(file) => Some(file),
        }
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(EXIT_USAGE, anyhow!("{message}"))
}

#[cfg(all(test, feature = "exe"))]
mod tests {
    use super::*;
    use crate::{Emit, Options, compile};

    /// Whatever is wrong with a file that is given, the answer is an executable or an error.
    #[test]
    fn no_file_is_too_bad() {
        let image =
            compile(b"(module (func (export \"_start\")))", Emit::Image, &Options::default());
        let image = image.expect("a valid module");
        let whole =
            executable(DYNAMIC_RUNNER, &image, &Settings::default()).expect("an executable");
        assert!(whole.len() > DYNAMIC_RUNNER.len() + 4096);
        // It has no room for another program.
        assert!(executable(&whole, &image, &Settings::default()).is_err());
        for end in (0..DYNAMIC_RUNNER.len()).step_by(DYNAMIC_RUNNER.len() / 100) {
            let cut = &DYNAMIC_RUNNER[..end];
            assert!(executable(cut, &image, &Settings::default()).is_err(), "{end} bytes");
        }
        let mut runner = DYNAMIC_RUNNER.to_vec();
        // The header, the program headers and the notes; then the section headers.
        for at in (0..1536).chain(runner.len() - 1024..runner.len()) {
            for value in [0, 0xff, runner[at] ^ 1] {
                let old = std::mem::replace(&mut runner[at], value);
                let _ = executable(&runner, &image, &Settings::default());
                runner[at] = old;
            }
        }
        let mut damaged = image.clone();
        for at in 0..image.len().min(4096 + 512) {
            for value in [0, 0xff, image[at] ^ 1] {
                damaged[at] = value;
                let _ = executable(DYNAMIC_RUNNER, &damaged, &Settings::default());
                damaged[at] = image[at];
            }
        }
        for end in (0..image.len()).step_by(97) {
            let _ = executable(DYNAMIC_RUNNER, &image[..end], &Settings::default());
        }
    }
}
