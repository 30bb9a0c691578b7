//! The package for CMake: `fixtures/native/cmake` is configured, built, run, changed and built again, by two build
//! tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::{trial_with, work_folder};
use crate::capi::{installed, succeeded};
use crate::child;
use crate::support::root;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial_with("cmake::ninja", &["cmake", "ninja"], || project("Ninja")),
        trial_with("cmake::make", &["cmake", "make"], || project("Unix Makefiles")),
        trial_with("cmake::mistakes", &["cmake", "make"], mistakes),
    ]
}

/// A project in a folder of its own.
struct Project {
    source: PathBuf,
    build: PathBuf,
}

impl Project {
    /// A copy of the fixture.
    fn new(name: &str) -> Result<Self> {
        let work = work_folder(name)?;
        let (source, build) = (work.join("source"), work.join("build"));
        fs::create_dir(&source)?;
        for entry in fs::read_dir(root().join("fixtures/native/cmake"))? {
            let entry = entry?;
            fs::copy(entry.path(), source.join(entry.file_name()))?;
        }
        Ok(Self { source, build })
    }

    fn configure(&self, generator: &str, settings: &[&str]) -> Result<Output> {
        let mut cmake = cmake();
        cmake.args(["-G", generator, "-S"]).arg(&self.source).arg("-B").arg(&self.build);
        cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", installed()?.display()));
        cmake.arg(format!("-DAOTC_COMMAND={}", Path::new(child::aotc().get_program()).display()));
        cmake.args(settings).output().context("cmake")
    }

    /// Builds, and gives what is said of it.
    fn build(&self) -> Result<String> {
        let output = succeeded(cmake().arg("--build").arg(&self.build))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The errors of a build that fails.
    fn fail(&self) -> Result<String> {
        let output = cmake().arg("--build").arg(&self.build).output()?;
        ensure!(!output.status.success(), "it could be built");
        let texts = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&texts).into_owned())
    }

    fn run(&self, program: &str) -> Result<String> {
        let output = succeeded(&mut Command::new(self.build.join(program)))?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Replaces a part of a file.
    fn change(&self, file: &str, there: &str, instead: &str) -> Result<()> {
        let path = self.source.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(there), "{file}: no `{there}`");
        Ok(fs::write(path, text.replacen(there, instead, 1))?)
    }
}

/// CMake, in whose builds this binary is the command `aotc`.
fn cmake() -> Command {
    let mut command = Command::new("cmake");
    for (name, value) in child::aotc().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // Messages are in English, and flags those of the project.
    command.env("LC_ALL", "C").env_remove("CFLAGS").env_remove("CXXFLAGS").env_remove("LDFLAGS");
    command
}

const COMPILING: &str = "Compiling the module";

fn project(generator: &str) -> Result<()> {
    let project = Project::new(&format!("cmake-{}", generator.replace(' ', "-")))?;
    let output = project.configure(generator, &[])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && stderr.is_empty(), "configure: {stderr}");
    let said = project.build()?;
    ensure!(said.matches(COMPILING).count() == 4, "four modules: {said}");
    ensure!(project.run("program")? == "hello\n42\n", "{}", project.run("program")?);
    let used = project.run("user")?;
    ensure!(used == "archive 3, shared 4\nnothing is printed here\n", "{used}");

    let said = project.build()?;
    ensure!(!said.contains(COMPILING) && !said.contains("Linking"), "nothing has changed: {said}");

    // A module is compiled again where it is used, and nowhere else.
    project.change("greeting.wat", "i32.const 42", "i32.const 43")?;
    let said = project.build()?;
    ensure!(said.matches("Compiling the module greeting.wat").count() == 2, "{said}");
    ensure!(!said.contains("Compiling the module counter.wat"), "{said}");
    ensure!(project.run("program")? == "hello\n43\n", "{}", project.run("program")?);

    // So it is if a file changes that an option names: the compiler says what it has read.
    let kept = project.source.join("kept.txt");
    fs::write(&kept, "add\ncount\n")?;
    let said = project.build()?;
    ensure!(said.matches("Compiling the module counter.wat").count() == 1, "{said}");
    ensure!(!said.contains("Compiling the module greeting.wat"), "{said}");

    // So are the sources that include its header.
    project.change("greeting.wat", "\"answer\"", "\"reply\"")?;
    let errors = project.fail()?;
    ensure!(errors.contains("greeting_answer") && errors.contains("main.c:"), "{errors}");
    project.change("greeting.wat", "\"reply\"", "\"answer\"")?;

    project.change("greeting.wat", "(result i32) (i32.const 43)", "(result i32) (i64.const 43)")?;
    let errors = project.fail()?;
    ensure!(errors.contains("type mismatch"), "{errors}");
    ensure!(errors.contains("greeting.wat:5:"), "{errors}");
    project.change("greeting.wat", "i64.const 43", "i32.const 44")?;
    project.build()?;
    ensure!(project.run("program")? == "hello\n44\n", "{}", project.run("program")?);
    Ok(())
}

/// A line behind those of the project, settings, and what CMake says.
type Mistake = (&'static str, &'static [&'static str], &'static str);

const MISTAKES: [Mistake; 10] = [
    ("aotc_add_module(nothing greeting.wat)", &[], "there is no target `nothing`"),
    ("aotc_add_module(program)", &[], "aotc_add_module"),
    ("aotc_add_module(program greeting.wat other.wat)", &[], "unknown arguments: other.wat"),
    ("aotc_add_module(program greeting.wat NAME)", &[], "no value for NAME"),
    (
        "aotc_add_module(program greeting.wat NAME ../up)",
        &[],
        "`../up` cannot be the name of a file",
    ),
    (
        "add_library(headers INTERFACE)\naotc_add_module(headers greeting.wat)",
        &[],
        "`headers` links nothing",
    ),
    ("aotc_add_module(program absent.wat)", &[], "there is no file"),
    ("add_subdirectory(below)", &[], "`program` is a target of another directory"),
    ("find_package(aotc 0.2 REQUIRED)", &[], "compatible"),
    ("aotc_add_module(program counter.wat)", &["-DAOTC_COMMAND="], "there is no command `aotc`"),
];

fn mistakes() -> Result<()> {
    for (number, (line, settings, expected)) in MISTAKES.into_iter().enumerate() {
        let project = Project::new(&format!("cmake-mistake-{number}"))?;
        let lists = project.source.join("CMakeLists.txt");
        let text = fs::read_to_string(&lists)?;
        let below = project.source.join("below");
        fs::create_dir(&below)?;
        fs::write(below.join("CMakeLists.txt"), "aotc_add_module(program ../counter.wat)\n")?;
        fs::write(&lists, format!("{text}{line}\n"))?;
        let output = project.configure("Unix Makefiles", settings)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{line}: no error");
        // CMake breaks lines.
        let flat = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(expected), "{line}: no `{expected}` in\n{stderr}");
        ensure!(flat.contains("CMakeLists.txt:"), "{line}: no place in\n{stderr}");
    }
    Ok(())
}
