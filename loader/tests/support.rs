//! Compiling modules, and running tests in processes of their own.

use std::num::NonZero;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

use aotc::{Emit, Options};
use aotc_abi::target::{BoundsStyle, TrapStyle};
use aotc_loader::{Engine, Module};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The image of a module in the text format, with guards and signals.
pub(crate) fn image(text: &str) -> Vec<u8> {
    compile(text, &Options::default())
}

/// The image of a module in the text format, with explicit bounds and traps.
pub(crate) fn explicit_image(text: &str) -> Vec<u8> {
    let options = Options {
        trap_style: TrapStyle::Explicit,
        bounds_style: BoundsStyle::Explicit,
        ..Options::default()
    };
    compile(text, &options)
}

/// The image of a module in the text format.
pub(crate) fn compile(text: &str, options: &Options) -> Vec<u8> {
    let name = Some("test".to_owned());
    // Threads that are about to end would still count as memory of the process.
    let options = Options { name, threads: Some(NonZero::<usize>::MIN), ..options.clone() };
    aotc::compile(text.as_bytes(), Emit::Image, &options).expect("a valid module")
}

/// Runs the test `name` again in a process of its own, with `body` only there. Gives the process's end, and
/// `None` in the process itself.
pub(crate) fn child(name: &str, body: impl FnOnce()) -> Option<Output> {
    const VARIABLE: &str = "AOTC_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|value| value == name) {
        body();
        return None;
    }
    let output = this_test()
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, name)
        .output()
        .expect("the test runs again");
    Some(output)
}

/// Runs this program again: by the emulator that `AOTC_TEST_RUNNER` names, where it is for another processor.
fn this_test() -> Command {
    let path = std::env::current_exe().expect("the path of this test");
    let Some(runner) = std::env::var_os("AOTC_TEST_RUNNER") else { return Command::new(path) };
    let mut command = Command::new(runner);
    command.arg(path);
    command
}

/// As [`child`], for tests that pass.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if let Some(output) = child(name, body) {
        let text = String::from_utf8_lossy(&output.stderr);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{} {:?}\n{out}{text}",
            output.status,
            output.status.signal()
        );
        assert!(out.contains("1 passed"), "no test is called `{name}`");
    }
}

/// Limits this process's address space to `bytes` more than it has now.
pub(crate) fn limit_address_space(bytes: u64) {
    let limit = Some(address_space_bytes() + bytes);
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: limit, maximum }).expect("a limit");
}

/// Size of this process's address space, in bytes.
pub(crate) fn address_space_bytes() -> u64 {
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = sizes.split(' ').next().expect("a size").parse().expect("a number");
    pages * rustix::param::page_size() as u64
}

/// A module in the text format.
pub(crate) fn module(engine: &Engine, text: &str) -> Module {
    Module::from_bytes(engine, &image(text)).expect("a module")
}

/// The text of an error and its causes.
pub(crate) fn chain<T>(result: anyhow::Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

/// The text that `body` panics with.
pub(crate) fn panic_text(body: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

/// How much memory this process has, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = sizes.split(' ').nth(1).expect("a size").parse().expect("a number");
    pages * rustix::param::page_size() as u64
}
