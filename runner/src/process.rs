//! A process that is there for one program: its arguments are the program's, and it ends as the program does.

use std::ffi::OsString;

use anyhow::Result;
use aotc_abi::exe::Settings;
use aotc_loader::{Engine, Module};

use crate::end::End;
use crate::limits::Limits;
use crate::program::Program;

/// Runs the program that `load` gives with the arguments of the process, the first of which is its name. Gives the exit code
/// of the process; what went wrong has been said on standard error.
pub(crate) fn run(
    args: impl IntoIterator<Item = OsString>,
    load: impl FnOnce(&Engine) -> Result<(Module, Settings)>,
) -> u8 {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let run = || {
        let (module, settings) = load(&Engine::default())?;
        let program = Program {
            module: &module,
            settings: &settings,
            limits: Limits::default(),
            name: &name,
            args: &args,
            coredump: None,
        };
        let context = program.context()?;
        anyhow::Ok(program.run(context))
    };
    run().unwrap_or_else(End::Failed).report()
}

/// Runs a program whose module is linked into the process, which `load` takes from there. `settings` are what
/// [`Settings::encode`] gave. The rest is as in executables that have the runner: [`run_own`](crate::run_own).
pub fn run_linked(
    args: impl IntoIterator<Item = OsString>,
    settings: &[u8],
    load: impl FnOnce(&Engine) -> Result<Module>,
) -> u8 {
    run(args, |engine| Ok((load(engine)?, Settings::decode(settings)?)))
}
