//! The loader's tiny profile: what it is made of, and a program with nothing under it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::child;
use crate::support::root;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 2] = [("depends_on_two_crates", depends_on_two_crates), ("program", program)];
    let trial = |(name, test): Test| {
        Trial::test(format!("tiny::{name}"), move || {
            test().map_err(|error| format!("{error:#}").into())
        })
    };
    tests.into_iter().map(trial).collect()
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    // What this test was built with is not for what it builds.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

fn succeeded(output: &Output) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{stderr}", output.status);
    Ok(())
}

fn depends_on_two_crates() -> Result<()> {
    let arguments = ["tree", "-p", "aotc-loader", "--no-default-features", "--edges", "normal"];
    let output = cargo()
        .args(arguments)
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()?;
    succeeded(&output)?;
    let stdout = String::from_utf8(output.stdout)?;
    let names: BTreeSet<&str> = stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(names == ["anyhow", "aotc-abi", "aotc-loader"].into(), "found {names:?}");
    Ok(())
}

/// What the program prints.
const PRINTED: &str = "\
2 + 3 = 5
hello from wasm
later
hello from wasm
later
trap: wasm trap: uninitialized element (1 frames)
trap: wasm trap: undefined element (1 frames)
error: code 7 (1 frames)
3
trap: wasm trap: integer divide by zero (1 frames)
trap: wasm trap: integer overflow (1 frames)
0
trap: wasm trap: out of bounds memory access (1 frames)
trap: wasm trap: out of bounds memory access (1 frames)
1
-1
0
trap: wasm trap: call stack exhausted (64 frames)
the host was called 4 times
";

/// Largest program without symbols, in bytes: a loader that grows is noticed here.
const STRIPPED_BYTES_MAX: u64 = 256 << 10;

fn program() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(());
    }
    let program = build()?;
    let output = Command::new(&program).env_clear().output()?;
    succeeded(&output)?;
    let stdout = String::from_utf8(output.stdout)?;
    let (printed, heap) = stdout.split_at_checked(PRINTED.len()).context(stdout.clone())?;
    ensure!(printed == PRINTED, "{stdout}");
    ensure!(heap.starts_with("at most ") && heap.lines().count() == 1, "{stdout}");

    let headers = readelf("-lW", &program)?;
    ensure!(headers.contains("type is EXEC"), "{headers}");
    for absent in ["INTERP", "DYNAMIC", "TLS"] {
        ensure!(!headers.contains(absent), "a segment {absent}: {headers}");
    }
    let symbols = readelf("-sW", &program)?;
    let undefined: Vec<&str> = symbols
        .lines()
        .filter(|line| line.contains(" UND ") && line.split_whitespace().count() > 7)
        .collect();
    ensure!(undefined.is_empty(), "undefined symbols: {undefined:?}");
    ensure!(symbols.contains("aotc_module_guest"), "{symbols}");
    for libc in ["__libc_start_main", "malloc", "printf", "abort"] {
        let named = symbols.lines().any(|line| line.split_whitespace().last() == Some(libc));
        ensure!(!named, "{libc} is in the program");
    }
    let stripped = stripped_bytes(&program)?;
    ensure!(stripped <= STRIPPED_BYTES_MAX, "{stripped} bytes without symbols");
    Ok(())
}

/// Builds the program with the command under test.
fn build() -> Result<PathBuf> {
    let target = root().join("target/tiny");
    // The command is this binary, started again by the build script.
    let mut command = cargo();
    command.envs(child::aotc().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command
        .args(["build", "--release", "--locked"])
        .current_dir(root().join("fixtures/tiny"))
        .env("AOTC", child::aotc().get_program())
        .env("CARGO_TARGET_DIR", &target)
        .output()?;
    succeeded(&output)?;
    Ok(target.join("release/tiny"))
}

fn readelf(option: &str, file: &Path) -> Result<String> {
    let output = Command::new("readelf").arg(option).arg(file).output().context("readelf")?;
    succeeded(&output)?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The size of the file without symbols.
fn stripped_bytes(file: &Path) -> Result<u64> {
    let stripped = file.with_extension("stripped");
    let output = Command::new("strip").arg("-o").arg(&stripped).arg(file).output()?;
    succeeded(&output)?;
    Ok(std::fs::metadata(stripped)?.len())
}
