//! The command `aotc`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    aotc::cli::main()
}
