//! All integration tests, in one binary: every module gives trials, and every fixture is one with a
//! name that can be filtered.

mod api;
mod bind;
mod build_step;
mod capi;
mod child;
mod command;
mod compile_options;
mod determinism;
mod doors;
mod exe;
mod exe_link;
mod foreign;
mod golden;
mod guest;
mod incremental;
mod link_as;
mod linked_file;
mod linkers;
mod malformed;
mod mapped;
mod merge;
mod native;
mod object_listing;
mod programs;
mod recipes;
mod seccomp;
mod spec;
mod support;
mod tidy;
mod tiny;
mod traps;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(code) = child::run() {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(api::trials());
    trials.extend(bind::trials());
    trials.extend(build_step::trials());
    trials.extend(capi::trials());
    trials.extend(command::trials());
    trials.extend(compile_options::trials());
    trials.extend(determinism::trials());
    trials.extend(doors::trials());
    trials.extend(exe::trials());
    trials.extend(exe_link::trials());
    trials.extend(golden::trials());
    trials.extend(link_as::trials());
    trials.extend(linkers::trials());
    trials.extend(incremental::trials());
    trials.extend(malformed::trials());
    trials.extend(merge::trials());
    trials.extend(native::trials());
    trials.extend(programs::trials());
    trials.extend(recipes::trials());
    trials.extend(seccomp::trials());
    trials.extend(spec::trials());
    trials.extend(tidy::trials());
    trials.extend(tiny::trials());
    trials.extend(traps::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
