//! What executables begin with: runs the program that `aotc compile --emit exe` has put behind it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aotc_runner::run_own()
}
