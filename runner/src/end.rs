//! How a program ends, and what is said about it.

use anyhow::Error;
use aotc_loader::{Trap, WasmBacktrace, WasmCoreDump};
use aotc_wasi::ProcExit;

/// Exit code of an executable that did not get as far as running its program: it is damaged, or does not fit the
/// machine, or a directory is not there. What a shell gives for a file that cannot be executed.
pub const EXIT_NOT_STARTED: u8 = 126;
/// Exit code of a program that trapped: 128 + SIGABRT, as a shell shows a native crash.
pub const EXIT_TRAP: u8 = 134;

/// How a program ended.
#[derive(Debug)]
pub enum End {
    /// It returned, or left with this code, of which a process gives back the low 8 bits.
    Exited(u8),
    /// It trapped: the error has the trap and the frames.
    Trapped(Error),
    /// Something failed that is not of the program's doing.
    Failed(Error),
}

impl End {
    /// What has become of a program that was run.
    pub(crate) fn of(result: Result<(), Error>) -> Self {
        let Err(error) = result else { return Self::Exited(0) };
        if let Some(ProcExit(code)) = error.downcast_ref::<ProcExit>() {
            return Self::Exited(*code as u8);
        }
        if error.downcast_ref::<Trap>().is_some() {
            return Self::Trapped(error);
        }
        Self::Failed(error)
    }

    /// What an executable gives back; what went wrong is said on standard error.
    pub(crate) fn report(self) -> u8 {
        let (code, error) = match self {
            Self::Exited(code) => return code,
            Self::Trapped(error) => (EXIT_TRAP, error),
            Self::Failed(error) => (EXIT_NOT_STARTED, error),
        };
        eprintln!("error: {}", message(&error));
        code
    }
}

/// The error and its causes in a line; below it, the frames of the program if it was running.
pub fn message(error: &Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    let dump = error.downcast_ref::<WasmCoreDump>().map(ToString::to_string);
    let causes: Vec<String> = (error.chain().map(ToString::to_string))
        .filter(|cause| ![&backtrace, &dump].map(Option::as_ref).contains(&Some(cause)))
        .collect();
    let backtrace = backtrace.map(|frames| format!("\n{frames}")).unwrap_or_default();
    format!("{}{backtrace}", causes.join(": "))
}
