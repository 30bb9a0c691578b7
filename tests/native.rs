//! Modules as parts of native programs in C, C++ and Rust, built by the tools that people build with, and run.
//!
//! ```text
//!   cmake      the package that the library is installed with
//!   header     what `aotc compile --emit header` writes, and programs that use every part of it
//!   linkers    every linker, and every mode that hosts are linked with
//!   manual     what the document says, done
//!   programs   a library in a sandbox, a database, a host in C++, plug-ins that are replaced
//! ```
//!
//! A test whose tool is absent is ignored, unless `CI` is `true`: then it fails.

mod cmake;
mod header;
mod linkers;
mod manual;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;

use crate::capi::succeeded;
use crate::child;
use crate::compile_options::with_tools;
use crate::support::root;

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Vec::new();
    }
    let trials = [
        cmake::trials(),
        header::trials(),
        linkers::trials(),
        manual::trials(),
        programs::trials(),
    ];
    trials.into_iter().flatten().collect()
}

/// A test that needs nothing but the compilers of C and C++.
fn trial(name: impl Into<String>, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    trial_with(name, &[], test)
}

/// A test that needs `tools`.
fn trial_with(
    name: impl Into<String>,
    tools: &'static [&'static str],
    test: impl FnOnce() -> Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(format!("native::{}", name.into()), move || with_tools(tools, test))
}

/// An empty folder for what a test builds.
fn work_folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/native").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Compiles `module` to an object and a header in `folder`, both with the module's name. Gives the object's path.
fn compile(module: &Path, folder: &Path, options: &[&str]) -> Result<PathBuf> {
    let stem = module.file_stem().context("a module with a name")?;
    let object = folder.join(stem).with_extension("o");
    for (emit, extension) in [("obj", "o"), ("header", "h")] {
        let mut aotc = child::aotc();
        aotc.args(["compile", "--emit", emit]).args(options).arg(module);
        succeeded(aotc.arg("-o").arg(object.with_extension(extension)))?;
    }
    Ok(object)
}

/// The standards that headers are checked with: compiler, language, standard.
const STANDARDS: [(&str, &str, &str); 6] = [
    ("cc", "c", "c99"),
    ("cc", "c", "c11"),
    ("cc", "c", "gnu17"),
    ("c++", "c++", "c++11"),
    ("c++", "c++", "c++17"),
    ("c++", "c++", "gnu++20"),
];

/// A compiler with all warnings as errors, for a source of whatever ending.
fn compiler(standard: (&str, &str, &str)) -> Command {
    let (compiler, language, standard) = standard;
    let mut command = Command::new(compiler);
    command.args(["-x", language, &format!("-std={standard}"), "-g", "-pthread"]);
    command.args(["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-pedantic", "-Werror"]);
    command
}

/// What `BLESS=1` replaces by what is found.
fn check_golden(path: &Path, found: &str) -> Result<()> {
    if std::env::var_os("BLESS").is_some() {
        return Ok(fs::write(path, found)?);
    }
    let expected = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    if expected == found {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&*expected, found);
    let diff = diff.unified_diff().header("expected", "found").to_string();
    bail!("{}\nBLESS=1 takes what is found:\n{diff}", path.display())
}
