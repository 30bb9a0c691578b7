//! All integration tests, in one binary: every module gives trials, and every fixture is one with a
//! name that can be filtered.

mod determinism;
mod doors;
mod golden;
mod programs;
mod spec;
mod support;
mod tidy;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(determinism::trials());
    trials.extend(doors::trials());
    trials.extend(golden::trials());
    trials.extend(programs::trials());
    trials.extend(spec::trials());
    trials.extend(tidy::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
