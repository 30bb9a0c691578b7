//! Runs a compiled program: a WASI command, or one export of a module.
//!
//! ```text
//!   aotc run ----------------------------------------+
//!   an executable: main --own--> image and settings --+--> Program --context--> WasiCtx --run--> End
//!   a linked one:  run_linked --> module, settings ---+
//! ```
//!
//! The binary of this package is what executables begin with; `docs/executables.md` describes them.
#![deny(unsafe_code)]

mod end;
mod limits;
mod own;
mod process;
mod program;
mod values;

pub use end::{EXIT_NOT_STARTED, EXIT_TRAP, End, message};
pub use limits::Limits;
pub use own::run_own;
pub use process::run_linked;
pub use program::Program;
