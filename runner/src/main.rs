//! What executables begin with: runs the program that `aotc compile --emit exe` has put behind it.
#![deny(unsafe_code)]

mod note;

use std::process::ExitCode;

fn main() -> ExitCode {
    aotc_runner::run_own().into()
}
