//! A program and a library with a module in them, by every linker and in every mode that hosts are linked with.
//!
//! ```text
//!   module.wat --> module.o --+
//!   host.c     --> host.o   --+--> program        run
//!   libaotc.a  ---------------+--> library.so     opened, run and closed, twice, by another program
//! ```
//!
//! What is linked has no text relocation, linkers have nothing to warn of, and what it prints is the same: results, and
//! traps with the names of functions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use super::{compile, trial_with, work_folder};
use crate::capi::{installed, succeeded};
use crate::support::root;

/// How programs are linked, beside the default.
struct Mode {
    name: &'static str,
    options: &'static [&'static str],
    warnings: Warnings,
}

/// Whether the linker's warnings are errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warnings {
    Fatal,
    /// The C library has some for whoever links it statically.
    OfLibrary,
}

const MODES: [Mode; 9] = [
    Mode { name: "default", options: &[], warnings: Warnings::Fatal },
    Mode { name: "pie", options: &["-pie"], warnings: Warnings::Fatal },
    Mode { name: "no-pie", options: &["-no-pie"], warnings: Warnings::Fatal },
    Mode { name: "gc-sections", options: &["-Wl,--gc-sections"], warnings: Warnings::Fatal },
    Mode {
        name: "icf",
        options: &["-Wl,--gc-sections", "-Wl,--icf=all"],
        warnings: Warnings::Fatal,
    },
    Mode {
        name: "now",
        options: &["-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,-O2"],
        warnings: Warnings::Fatal,
    },
    Mode { name: "stripped", options: &["-s", "-Wl,--gc-sections"], warnings: Warnings::Fatal },
    Mode { name: "static", options: &["-static"], warnings: Warnings::OfLibrary },
    Mode { name: "static-pie", options: &["-static-pie"], warnings: Warnings::OfLibrary },
];

/// A linker: what the compiler knows it as, its command, and modes that it does not have.
struct Linker {
    name: &'static str,
    tools: &'static [&'static str],
    lacks: &'static [&'static str],
}

const LINKERS: [Linker; 4] = [
    Linker { name: "bfd", tools: &["ld.bfd", "readelf"], lacks: &["icf"] },
    Linker { name: "gold", tools: &["ld.gold", "readelf"], lacks: &["static-pie"] },
    Linker { name: "lld", tools: &["ld.lld", "readelf"], lacks: &[] },
    Linker { name: "mold", tools: &["mold", "readelf"], lacks: &[] },
];

/// Compilers that optimise across files when they link: name, tools, the command's options.
const LTO: [(&str, &[&str], &str, &[&str]); 3] = [
    ("gcc", &["gcc", "readelf"], "gcc", &["-flto"]),
    ("gcc-gold", &["gcc", "ld.gold", "readelf"], "gcc", &["-flto", "-fuse-ld=gold"]),
    ("clang", &["clang", "ld.lld", "readelf"], "clang", &["-flto", "-fuse-ld=lld"]),
];

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for linker in const { &LINKERS } {
        trials.push(trial_with(format!("linkers::{}", linker.name), linker.tools, move || {
            programs(linker)
        }));
        trials.push(trial_with(format!("linkers::{}::library", linker.name), linker.tools, || {
            library(linker)
        }));
    }
    for (name, tools, compiler, options) in LTO {
        trials.push(trial_with(format!("linkers::lto::{name}"), tools, move || {
            lto(name, compiler, options)
        }));
    }
    trials
}

/// What is linked, in a folder of its own.
struct Inputs {
    work: PathBuf,
    module: PathBuf,
}

impl Inputs {
    fn new(name: &str) -> Result<Self> {
        let work = work_folder(&format!("linkers-{name}"))?;
        let module = compile(&fixture("module.wat"), &work, &[])?;
        Ok(Self { work, module })
    }

    /// A command that compiles or links, with sources of the fixture.
    fn compiler(&self, command: &str, sources: &[&str]) -> Result<Command> {
        let mut compiler = Command::new(command);
        compiler.args(["-std=c11", "-O2", "-ffunction-sections", "-fdata-sections", "-pthread"]);
        compiler.arg("-I").arg(&self.work).arg("-I").arg(installed()?.join("include"));
        compiler.args(sources.iter().map(|source| fixture(source)));
        Ok(compiler)
    }

    /// Adds the module and the library to a command that links, and runs it.
    fn link(&self, compiler: &mut Command, out: &Path) -> Result<()> {
        compiler.arg(&self.module).arg(installed()?.join("lib/libaotc.a")).args(["-ldl", "-lm"]);
        // A text relocation is an error.
        succeeded(compiler.args(["-Wl,-z,text", "-o"]).arg(out))?;
        let dynamic = succeeded(Command::new("readelf").args(["-d", "-W"]).arg(out))?;
        let dynamic = String::from_utf8_lossy(&dynamic.stdout);
        ensure!(!dynamic.contains("TEXTREL"), "{}: text relocations", out.display());
        Ok(())
    }
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/native/linked").join(name)
}

/// What the host prints.
const EXPECTED: &str = "\
initial, noted 45, sum 4.5, twins 42
wasm trap: out of bounds memory access, in load, in read
wasm trap: call stack exhausted, in deep, in deep
";

fn check(program: &mut Command, times: usize) -> Result<()> {
    let output = succeeded(program)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(printed == EXPECTED.repeat(times), "{program:?} printed:\n{printed}");
    Ok(())
}

fn programs(linker: &Linker) -> Result<()> {
    let inputs = Inputs::new(linker.name)?;
    for mode in MODES.iter().filter(|mode| !linker.lacks.contains(&mode.name)) {
        let program = inputs.work.join(mode.name);
        let mut compiler = inputs.compiler("cc", &["main.c", "host.c"])?;
        compiler.arg(format!("-fuse-ld={}", linker.name)).args(mode.options);
        if mode.warnings == Warnings::Fatal {
            compiler.arg("-Wl,--fatal-warnings");
        }
        inputs.link(&mut compiler, &program)?;
        check(&mut Command::new(program), 1)?;
    }
    Ok(())
}

fn library(linker: &Linker) -> Result<()> {
    let inputs = Inputs::new(&format!("{}-library", linker.name))?;
    let (library, program) = (inputs.work.join("host.so"), inputs.work.join("open"));
    let mut compiler = inputs.compiler("cc", &["host.c"])?;
    compiler.args(["-fPIC", "-shared", "-Wl,--gc-sections", "-Wl,--fatal-warnings"]);
    inputs.link(compiler.arg(format!("-fuse-ld={}", linker.name)), &library)?;
    let mut compiler = inputs.compiler("cc", &["open.c"])?;
    succeeded(compiler.args(["-ldl", "-o"]).arg(&program))?;
    check(Command::new(program).arg(library), 2)
}

fn lto(name: &str, command: &str, options: &[&str]) -> Result<()> {
    let inputs = Inputs::new(&format!("lto-{name}"))?;
    // Files are compiled one by one, so that there is something to do when they are linked.
    let mut objects = Vec::new();
    for source in ["main.c", "host.c"] {
        let object = inputs.work.join(source).with_extension("lto.o");
        let mut compiler = inputs.compiler(command, &[source])?;
        succeeded(compiler.args(options).arg("-c").arg("-o").arg(&object))?;
        objects.push(object);
    }
    let program = inputs.work.join("program");
    let mut linker = inputs.compiler(command, &[])?;
    linker.args(options).args(["-Wl,--gc-sections", "-Wl,--fatal-warnings"]).args(objects);
    inputs.link(&mut linker, &program)?;
    check(&mut Command::new(program), 1)
}
