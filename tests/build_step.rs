//! Modules as a part of packages: cargo builds and runs `fixtures/build_step`, and copies of it with mistakes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::child::Scratch;
use crate::support::root;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Vec::new();
    }
    let tests: [Test; 3] = [
        ("package", package),
        ("declarations_have_no_warnings", declarations_have_no_warnings),
        ("mistakes_are_build_errors", mistakes_are_build_errors),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("build_step::{name}"), move || {
            // They build the same package into the same place.
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            test().map_err(|error| format!("{error:#}").into())
        })
    };
    tests.into_iter().map(trial).collect()
}

/// Cargo in the package at `folder`, with the build of its dependencies that all tests share.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    // What this test was built with is not for what it builds.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "OUT_DIR"] {
        command.env_remove(variable);
    }
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", root().join("target"));
    command.current_dir(folder);
    command
}

fn succeeded(output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{stdout}{stderr}", output.status);
    Ok(stdout)
}

fn package() -> Result<()> {
    let folder = root().join("fixtures/build_step");
    let printed = succeeded(&cargo(&folder).args(["run", "--locked", "--quiet"]).output()?)?;
    let expected = "5\n(-3, -1)\n[\"hello\"] 1\nwasm trap: integer divide by zero\n";
    ensure!(printed == expected, "{printed}");
    let example = ["run", "--locked", "--quiet", "--example", "alone"];
    let printed = succeeded(&cargo(&folder).args(example).output()?)?;
    ensure!(printed == "ready: 1\n", "{printed}");
    let tested = succeeded(&cargo(&folder).args(["test", "--locked"]).output()?)?;
    ensure!(tested.contains("7 passed"), "{tested}");
    Ok(())
}

fn declarations_have_no_warnings() -> Result<()> {
    let folder = root().join("fixtures/build_step");
    let clippy = ["clippy", "--locked", "--all-targets", "--quiet", "--", "-D", "warnings"];
    succeeded(&cargo(&folder).args(clippy).output()?)?;
    Ok(())
}

/// A mistake in a copy of the package: the file, what stands there, what is put in its place, and what the errors of
/// the build then say.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    // The module.
    (
        "plugin.wat",
        "(i32.add (local.get $left)",
        "(i64.add (local.get $left)",
        &["build.rs:5:9: invalid WebAssembly: type mismatch", "--> plugin.wat:10:6"],
    ),
    ("plugin.wat", "(module $plugin", "(modul $plugin", &["--> plugin.wat:1:2"]),
    (
        "plugin.wat",
        "(module $plugin",
        "\0asm\u{1}\0\0\0\u{7f}",
        &["plugin.wat: invalid WebAssembly", "(at offset 0x"],
    ),
    // A module that another is linked with.
    (
        "math.wat",
        "(param i32)",
        "(param i64)",
        &["build.rs:7:5: invalid WebAssembly: type mismatch", "--> math.wat:5:"],
    ),
    (
        "linked.wat",
        "(global $calls (mut i32))",
        "(global $calls i32)",
        &["build.rs:7:5: incompatible import type for `math::calls`", "--> linked.wat:3:"],
    ),
    // A module that is bound to functions of the package.
    (
        "build.rs",
        "bound_first:caller",
        "bound-first:caller",
        &["`bound-first` cannot be the name of a C function"],
    ),
    (
        "build.rs",
        ".bind(binding(\"host.first=bound_first:caller\"))",
        ".bind(binding(\"host.scale=bound_first\"))",
        &["build.rs:9:5: `host::scale` is bound twice"],
    ),
    // The build script.
    ("build.rs", "\"math.wat\"", "\"absent.wat\"", &["build.rs:7:5: absent.wat: cannot be read"]),
    ("build.rs", "\"alone.wat\"", "\"absent.wat\"", &["build.rs:5:9: absent.wat: cannot be read"]),
    (
        "build.rs",
        "aotc::Build::new(module)",
        "aotc::Build::new(module)\n            .cpu(\"386\")",
        &["build.rs:6:14: unknown CPU `386`"],
    ),
    (
        "build.rs",
        "aotc::Build::new(module)",
        "aotc::Build::new(module).threads(0)",
        &["build.rs:5:42", "mismatched types"],
    ),
    (
        "build.rs",
        "aotc::Build::new(module)",
        "aotc::Build::new(module).trap_style(aotc::TrapStyle::Explicit)\n            .bounds_style(aotc::BoundsStyle::Guard)",
        &["build.rs:5:9: explicit traps need explicit bounds"],
    ),
    (
        "build.rs",
        "aotc::Build::new(module)",
        "aotc::Build::new(module).keep_exports([\"redy\"])",
        &["build.rs:5:9: no export is called `redy`, which is to be kept; there is `ready`"],
    ),
    (
        "build.rs",
        "aotc::Build::new(module)",
        "aotc::Build::new(module).name(\"../up\")",
        &["build.rs:5:9: `../up` cannot be the name of a file"],
    ),
    // The imports.
    (
        "src/lib.rs",
        "    fn limit(store:",
        "    #[cfg(any())]\n    fn limit(store:",
        &["not all trait items implemented, missing: `limit`", "--> src/lib.rs:"],
    ),
    (
        "src/lib.rs",
        "at: i32, length: i32) -> Result<()> {",
        "at: i32, length: i64) -> Result<()> {",
        &["incompatible type for trait", "expected `i32`, found `i64`", "--> src/lib.rs:"],
    ),
    // The exports.
    (
        "src/main.rs",
        "plugin.add(&mut store, 2, 3)",
        "plugin.add(&mut store, 2)",
        &["--> src/main.rs:6:"],
    ),
    ("src/main.rs", "plugin.add(", "plugin.ad(", &["no method named `ad`", "--> src/main.rs:6:"]),
];

fn mistakes_are_build_errors() -> Result<()> {
    let scratch = Scratch::new("mistakes");
    let copy = scratch.path("package");
    for (file, there, instead, expected) in MISTAKES {
        copy_folder(&root().join("fixtures/build_step"), &copy)?;
        let manifest = fs::read_to_string(copy.join("Cargo.toml"))?;
        let root = root();
        let repository = root.to_str().expect("a path of text");
        fs::write(copy.join("Cargo.toml"), manifest.replace("../..", repository))?;
        let path = copy.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(there), "{file}: no `{there}`");
        fs::write(&path, text.replacen(there, instead, 1))?;
        let output = cargo(&copy).args(["build", "--offline", "--color", "never"]).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{instead}: no error");
        for part in *expected {
            ensure!(stderr.contains(part), "{instead}: no `{part}` in\n{stderr}");
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}
