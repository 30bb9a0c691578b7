//! Bound functions in objects for every target: linked with a host that clang compiles for it, and run where that can be.
//!
//! ```text
//!   plugin.wat --aotc---------------> object --+
//!   host.c, trap.c --clang --target-> objects --+--the target's linker--> library --goblin--> nothing of the text to fix up
//!                                                                              '--x86-64: tests/mapped.rs--> calls
//! ```

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use aotc::{Arch, Cpu, Os, Target, parse_target};
use aotc_abi::meta::ModuleData;
use aotc_loader::Engine;
use libtest_mimic::{Completion, Trial};

use super::{Convention, Host, behaves, fixture, object, options};
use crate::child::Scratch;
use crate::linked_file::LinkedFile;
use crate::linkers::installed;
use crate::mapped::Mapped;
use crate::support::{in_ci, root};

/// A target, what clang calls it, and the linker's command without the objects.
type Row = (&'static str, &'static str, &'static str);

const TARGETS: [Row; 6] = [
    ("x86_64-linux", "x86_64-linux-gnu", "ld.lld -shared --fatal-warnings -z text -o library"),
    ("aarch64-linux", "aarch64-linux-gnu", "ld.lld -shared --fatal-warnings -z text -o library"),
    (
        "x86_64-macos",
        "x86_64-apple-macos11",
        "ld64.lld -arch x86_64 -platform_version macos 11.0 11.0 -dylib -dead_strip -o library",
    ),
    (
        "aarch64-macos",
        "arm64-apple-macos11",
        "ld64.lld -arch arm64 -platform_version macos 11.0 11.0 -dylib -dead_strip -o library",
    ),
    ("x86_64-windows", "x86_64-pc-windows-msvc", DLL),
    ("aarch64-windows", "aarch64-pc-windows-msvc", DLL),
];

/// A library for Windows has what it says that it exports.
const DLL: &str = "lld-link /dll /noentry /opt:ref,icf /export:aotc_module_plugin,DATA /export:host_trap,DATA \
    /export:host_call_back,DATA /export:host_logged,DATA /out:library";

pub(super) fn trials() -> Vec<Trial> {
    let trial = |row: Row| {
        Trial::ignorable_test(format!("bind::targets::{}", row.0), move || {
            linked(row).map_err(|error| format!("{error:#}").into())
        })
    };
    TARGETS.into_iter().map(trial).collect()
}

fn linked((name, triple, command): Row) -> Result<Completion> {
    let target = parse_target(name)?;
    let mut words = command.split_whitespace();
    let linker = words.next().context("a command")?;
    let tools = [installed(linker), installed("clang")];
    let [Some(linker), Some(clang)] = tools else {
        ensure!(!in_ci(), "{linker} or clang is not installed");
        return Ok(Completion::ignored_with(format!("{linker} or clang is not installed")));
    };
    let scratch = Scratch::new(&format!("bind-{name}"));
    let cpu = Cpu::baseline(target.arch);
    let options = aotc::Options { target, cpu, ..options()? };
    fs::write(scratch.path("plugin.o"), object(&options)?)?;
    // Code of Microsoft's compiler that has floats refers to it, and their C library defines it.
    fs::write(scratch.path("float.c"), "int _fltused = 1;\n")?;
    for source in ["host.c", "trap.c"] {
        fs::copy(fixture(source), scratch.path(source))?;
    }
    let host = fs::read_to_string(fixture("host.c"))?;
    let other = host.replace("\"i32 i64 f32 f64\"", "\"i32 i64 f64 f64\"");
    ensure!(other != host, "host.c records no such type");
    fs::write(scratch.path("other.c"), other)?;
    let include = format!("-I{}", root().join("capi/include").display());
    for source in ["host", "trap", "float", "other"] {
        let mut compile = Command::new(&clang);
        compile.arg(format!("--target={triple}")).args(["-O1", "-ffreestanding", "-c"]);
        compile.args(["-Wall", "-Wextra", "-Werror", "-fno-asynchronous-unwind-tables", &include]);
        if target.os == Os::Linux {
            compile.arg("-fPIC");
        }
        compile.arg(format!("{source}.c"));
        run(compile.current_dir(scratch.root()))?;
    }
    let link = |host: &str| -> Result<LinkedFile> {
        let mut link = Command::new(&linker);
        link.args(words.clone()).args(["plugin.o", host, "trap.o", "float.o"]);
        let stderr = run(link.current_dir(scratch.root()))?;
        ensure!(!stderr.contains("warning"), "{stderr}");
        LinkedFile::parse(&fs::read(scratch.path("library"))?)
    };
    let file = link("host.o")?;
    let module = file.module(file.export("aotc_module_plugin")?)?;
    ensure!(module.bound().len() == 6, "{} bound functions", module.bound().len());
    has_no_import(&module)?;
    match target.os {
        // The linker's table has addresses.
        Os::Linux => {}
        Os::MacOs | Os::Windows => {
            ensure!(file.fixups == 0, "{} places are left to fix up", file.fixups);
        }
    }
    if let (Arch::X86_64, Os::MacOs | Os::Windows) = (target.arch, target.os) {
        runs(target, file)?;
        let engine = Engine::default();
        let error = Mapped::new(link("other.o")?)?.module(&engine, "aotc_module_plugin").err();
        let error = format!("{:#}", error.context("the recorded type differs")?);
        let expected =
            "incompatible import type for `host::sum`: types incompatible: expected type";
        ensure!(error.starts_with(expected), "{error}");
    }
    Ok(Completion::Completed)
}

fn has_no_import(module: &ModuleData<'_>) -> Result<()> {
    let names = module.imports().iter().map(|import| module.str(import.name).to_owned());
    let names: Vec<_> = names.collect();
    ensure!(names == ["ordinary"], "what is bound is no import: {names:?}");
    Ok(())
}

/// Maps the library into this process, whose architecture is its.
fn runs(target: Target, file: LinkedFile) -> Result<()> {
    let engine = Engine::default();
    let library = Mapped::new(file)?;
    let module = library.module(&engine, "aotc_module_plugin")?;
    behaves(&Host {
        engine: &engine,
        module: &module,
        convention: match target.os {
            Os::Linux | Os::MacOs => Convention::OfThisSystem,
            Os::Windows => Convention::OfWindows,
        },
        variable: &|name| library.address(name),
    })
}

/// Runs a command that must succeed; what it says.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    Ok(stderr)
}
