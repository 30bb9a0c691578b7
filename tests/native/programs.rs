//! Programs that people would write: a library in a sandbox, a database twice, a host in C++, plug-ins that are replaced.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::{fs, io};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Completion, Trial};

use super::{compile, compiler, trial, work_folder};
use crate::capi::{compare, installed, succeeded};
use crate::child::{self, with_input};
use crate::support::{in_ci, root};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        with_libraries("zstd", zstd),
        with_libraries("sqlite", sqlite),
        trial("programs::host_in_c++", host_in_cpp),
        trial("programs::versions", versions),
        trial("programs::versions_in_rust", versions_in_rust),
    ]
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/native").join(name)
}

/// With which `libraries.py` says that a tool is missing.
const EXIT_NO_TOOL: i32 = 3;

/// Why there is nothing to test.
#[derive(Clone)]
enum NotBuilt {
    NoTool(String),
    Failed(String),
}

/// Real libraries as modules, built once.
fn libraries() -> Result<PathBuf, NotBuilt> {
    static BUILT: OnceLock<Result<PathBuf, NotBuilt>> = OnceLock::new();
    let build = || {
        let out = root().join("target/native/libraries");
        let script = fixture("libraries.py");
        let output = match Command::new("python3").arg(script).arg(&out).output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NotBuilt::NoTool("there is no python3".to_owned()));
            }
            Err(error) => return Err(NotBuilt::Failed(format!("python3: {error}"))),
        };
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(out.join("wasm")),
            Some(EXIT_NO_TOOL) => Err(NotBuilt::NoTool(message)),
            _ => Err(NotBuilt::Failed(message)),
        }
    };
    BUILT.get_or_init(build).clone()
}

/// A test with the module of a library.
fn with_libraries(name: &'static str, test: fn(&Path) -> Result<()>) -> Trial {
    Trial::ignorable_test(format!("native::programs::{name}"), move || match libraries() {
        Ok(folder) => test(&folder.join(name).with_extension("wasm"))
            .map(|()| Completion::Completed)
            .map_err(|error| format!("{error:#}").into()),
        Err(NotBuilt::NoTool(reason)) if !in_ci() => Ok(Completion::ignored_with(reason)),
        Err(NotBuilt::NoTool(reason) | NotBuilt::Failed(reason)) => Err(reason.into()),
    })
}

/// A program of `source`, of `objects` and of the static library, under the sanitizers of the compiler.
fn build(
    standard: (&str, &str, &str),
    source: &Path,
    objects: &[PathBuf],
    work: &Path,
) -> Result<PathBuf> {
    let built = work.join("program");
    let prefix = installed()?;
    let mut command = compiler(standard);
    command.arg("-I").arg(prefix.join("include")).arg("-I").arg(root().join("fixtures/capi"));
    command.arg("-I").arg(work).args(["-Wno-conversion", "-fsanitize=address,undefined"]);
    command.arg("-fno-sanitize-recover=undefined").arg(source).args(["-x", "none"]).args(objects);
    command.arg(prefix.join("lib/libaotc.a")).args(["-ldl", "-lm", "-o"]).arg(&built);
    succeeded(&mut command)?;
    Ok(built)
}

fn ended_well(status: ExitStatus, stderr: &[u8]) -> Result<()> {
    ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(stderr));
    Ok(())
}

/// Compressed in one instance and decompressed in another, a file is what it was; damage is an error.
fn zstd(module: &Path) -> Result<()> {
    let work = work_folder("zstd")?;
    let object = compile(module, &work, &[])?;
    let program = build(("cc", "c", "c11"), &fixture("zstd/main.c"), &[object], &work)?;
    let input = fs::read(root().join("ARCHITECTURE.md"))?;
    let mut sizes = Vec::new();
    for level in ["-5", "1", "9", "19"] {
        let output = with_input(Command::new(&program).arg(level), &input);
        ended_well(output.status, &output.stderr)?;
        ensure!(output.stdout == input, "level {level}: another text");
        let size = String::from_utf8(output.stderr)?;
        sizes.push(size.trim().parse::<usize>().with_context(|| size.clone())?);
    }
    ensure!(sizes.is_sorted_by(|low, high| low > high), "higher levels are not smaller: {sizes:?}");
    ensure!(sizes[0] < input.len(), "{sizes:?} of {}", input.len());
    let empty = with_input(Command::new(&program).arg("3"), b"");
    ended_well(empty.status, &empty.stderr)?;
    ensure!(empty.stdout.is_empty(), "something came of nothing");

    let output = with_input(Command::new(&program).args(["3", "damage"]), &input);
    ended_well(output.status, &output.stderr)?;
    let printed = String::from_utf8(output.stdout)?;
    let expected = "half of it: Src size is incorrect\n\
                    another beginning: Unknown frame descriptor\n\
                    a byte: some errors, no change unseen\n\
                    and whole again: 1\n";
    ensure!(printed == expected, "{printed}");
    Ok(())
}

/// Cargo in a package among the fixtures.
fn cargo(package: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What this test was built with is not for what it builds.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "OUT_DIR"] {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", root().join("target"));
    cargo.current_dir(fixture(package));
    cargo
}

/// A package whose build script compiles SQLite, optimised as a whole.
fn sqlite(module: &Path) -> Result<()> {
    let mut cargo = cargo("sqlite");
    cargo.env("SQLITE_WASM", module);
    let output = succeeded(cargo.args(["run", "--locked", "--quiet"]))?;
    let printed = String::from_utf8(output.stdout)?;
    let expected = "\
one: 1|apple|2
one: 2|pear|7
other: 1 error: no such table: fruit
other: 1|stone|1
one: 9
other: 1
one: 1 error: near \"selec\": syntax error
one: 100000
one: 7 error: out of memory
other: 1
";
    ensure!(printed == expected, "{printed}");
    Ok(())
}

fn host_in_cpp() -> Result<()> {
    let work = work_folder("host")?;
    let object = compile(&fixture("host/script.wat"), &work, &[])?;
    let source = fixture("host/main.cc");
    let program = build(("c++", "c++", "c++14"), &source, &[object], &work)?;
    compare(&source, &succeeded(&mut Command::new(program))?)
}

/// The artifacts of the versions of a plug-in in `folder`; their names.
fn version_artifacts(folder: &Path) -> Result<[String; 3]> {
    let names = ["first", "second", "broken"].map(|version| format!("{version}.aot"));
    for name in &names {
        let mut aotc = child::aotc();
        aotc.arg("compile").arg(fixture("swap").join(name).with_extension("wat")).arg("-o");
        succeeded(aotc.arg(folder.join(name)))?;
    }
    Ok(names)
}

fn versions() -> Result<()> {
    let work = work_folder("versions")?;
    compile(&fixture("swap/first.wat"), &work, &[])?;
    let source = fixture("swap/main.c");
    // It opens the module, so that the object is not needed.
    let program = build(("cc", "c", "c11"), &source, &[], &work)?;
    let output =
        succeeded(Command::new(program).current_dir(&work).args(version_artifacts(&work)?))?;
    compare(&source, &output).map_err(|error| anyhow!("{error}"))
}

/// The same in Rust, with threads: a package whose build script declares the first version.
fn versions_in_rust() -> Result<()> {
    let work = work_folder("versions-in-rust")?;
    let artifacts = version_artifacts(&work)?.map(|name| work.join(name));
    let mut cargo = cargo("swap");
    let output = succeeded(cargo.args(["run", "--locked", "--quiet", "--"]).args(artifacts))?;
    let printed = String::from_utf8(output.stdout)?;
    let expected = "\
worker: version 1, first, served 10
main: version 2, second, served 1020
worker: version 1, first, served 20
broken: failed to convert function `version` to given type: type mismatch: expected (func (result i32)), found (func (result i64))
another: version 2, second, served 1020
absent: true
main: version 2, second, served 1040
";
    ensure!(printed == expected, "{printed}");
    Ok(())
}
