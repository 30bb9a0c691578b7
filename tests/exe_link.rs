//! Executables that the C compiler links: that they do what those with a runner do, and that what is missing is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};

use crate::child::{self, Scratch};
use crate::exe::{NOT_STARTED, alone, echo, run, segments, with_code};
use crate::{capi, support};

/// With the host's C library, and with its own.
const KINDS: [&[&str]; 2] = [&[], &["--static"]];

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Vec::new();
    }
    let tests: [Test; 9] = [
        ("surroundings", surroundings),
        ("ends_as_with_a_runner", ends),
        ("static_has_no_interpreter", static_has_no_interpreter),
        ("same_bytes", same_bytes),
        ("finds_the_library", finds_the_library),
        ("depfile", depfile),
        ("several_modules", several_modules),
        ("no_compiler", no_compiler),
        ("refusals", refusals),
    ];
    let trial = |(name, test): (&str, fn() -> Result<()>)| {
        Trial::test(format!("exe_link::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests.into_iter().map(trial).collect()
}

/// Where the library is.
fn library_folder() -> Result<PathBuf> {
    Ok(capi::installed()?.join("lib"))
}

/// `aotc compile --emit exe`, without anything of this process's environment that says how to link.
fn command(input: &Path, output: &Path) -> Command {
    let mut command = child::aotc();
    for variable in ["CC", "AOTC_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH"] {
        command.env_remove(variable);
    }
    // Nor of what is installed on this machine.
    command.env("PKG_CONFIG_LIBDIR", "/nonexistent");
    command.args(["compile", "--emit", "exe", "-o"]).arg(output).arg(input);
    command
}

fn link_option() -> Result<String> {
    Ok(format!("--link={}", library_folder()?.display()))
}

/// Links an executable of `input`.
fn link(scratch: &Scratch, input: &Path, options: &[&str]) -> Result<PathBuf> {
    let name = input.file_stem().context("a name")?;
    let output = scratch.path(&format!("{}.exe", name.display()));
    let mut command = command(input, &output);
    let ended = run(command.arg(link_option()?).args(options), b"");
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(output)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn surroundings() -> Result<()> {
    let scratch = Scratch::new("link-surroundings");
    scratch.write("note.txt", b"a note\n");
    for kind in KINDS {
        let given = [
            "--env",
            "NAME=a \"value\"",
            "--env",
            "GIVEN",
            "--env",
            "ABSENT",
            "--dir",
            ".::/notes",
        ];
        let executable = link(&scratch, &echo(), &[kind, &given].concat())?;
        let mut command = alone(&executable, scratch.root());
        command.env("GIVEN", "by the host").env("OTHER", "unasked").args(["one", "--two", ""]);
        let output = run(&mut command, b"input\n");
        let expected =
            "program\0one\0--two\0\0NAME=a \"value\"\0GIVEN=by the host\0input\na note\n";
        // Its exit code is the number of arguments.
        ensure!(with_code(&output, 4)? == expected, "{output:?}");
        ensure!(output.stderr.is_empty(), "{output:?}");
    }
    Ok(())
}

/// Traps, exports and what cannot be started: as `tests/exe.rs` has it.
fn ends() -> Result<()> {
    let scratch = Scratch::new("link-ends");
    let text = r#"(module (memory 1)
        (func $inner (drop (i32.load (i32.const -1))))
        (func (export "_start") (call $inner))
        (func (export "add") (param i32 i64) (result i64)
            (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1))))"#;
    let input = scratch.write("several-things.wat", text);
    let output = run(&mut alone(&link(&scratch, &input, &[])?, scratch.root()), b"");
    with_code(&output, 134)?;
    let message = stderr(&output);
    ensure!(message.starts_with("error: wasm trap: out of bounds memory access\n"), "{message}");
    ensure!(message.contains("inner"), "no frames: {message}");
    let executable = link(&scratch, &input, &["--invoke", "add"])?;
    let output = run(alone(&executable, scratch.root()).args(["-3", "10"]), b"");
    ensure!(with_code(&output, 0)? == "7\n", "{output:?}");
    let output = run(alone(&executable, scratch.root()).arg("1"), b"");
    with_code(&output, NOT_STARTED)?;
    ensure!(stderr(&output) == "error: expected 2 arguments, found 1\n", "{output:?}");
    let executable = link(&scratch, &input, &["--dir", "absent"])?;
    let output = run(&mut alone(&executable, scratch.root()), b"");
    with_code(&output, NOT_STARTED)?;
    ensure!(stderr(&output).starts_with("error: --dir absent: "), "{output:?}");
    Ok(())
}

fn static_has_no_interpreter() -> Result<()> {
    const PT_INTERP: u32 = 3;
    let scratch = Scratch::new("link-interpreter");
    for (kind, expected) in KINDS.into_iter().zip([1, 0]) {
        let file = fs::read(link(&scratch, &echo(), kind)?)?;
        let found = segments(&file).iter().filter(|segment| segment.0 == PT_INTERP).count();
        ensure!(found == expected, "{kind:?}: {found} interpreters");
    }
    Ok(())
}

/// Where the compiler's work is done does not show.
fn same_bytes() -> Result<()> {
    let (first, second) = (Scratch::new("link-first"), Scratch::new("link-second"));
    let mut files = Vec::new();
    for scratch in [&first, &second] {
        let output = scratch.path("program");
        let mut command = command(&echo(), &output);
        command.arg(link_option()?).env("TMPDIR", scratch.root());
        with_code(&run(&mut command, b""), 0)?;
        files.push(fs::read(output)?);
        let left = fs::read_dir(scratch.root())?.count();
        ensure!(left == 1, "{left} files, expected the executable alone");
    }
    ensure!(files[0] == files[1], "the same input gives other bytes");
    Ok(())
}

fn finds_the_library() -> Result<()> {
    let scratch = Scratch::new("link-finds");
    let output = scratch.path("program");
    let library = library_folder()?;
    let made = |command: &mut Command| -> Result<()> {
        with_code(&run(command, b""), 0)?;
        let ran = run(alone(&output, scratch.root()).arg("x"), b"in");
        ensure!(with_code(&ran, 2)? == "program\0x\0in", "{ran:?}");
        Ok(fs::remove_file(&output)?)
    };
    made(command(&echo(), &output).arg("--link").env("AOTC_LIB_DIR", &library))?;
    if Command::new("pkg-config").arg("--version").output().is_ok() {
        let files = library.join("pkgconfig");
        made(command(&echo(), &output).arg("--link").env("PKG_CONFIG_LIBDIR", files))?;
    } else {
        ensure!(!support::in_ci(), "there is no pkg-config");
    }
    // Beside the command, as both are installed.
    fs::create_dir(scratch.path("bin"))?;
    std::os::unix::fs::symlink(&library, scratch.path("lib"))?;
    let (own, copy) = (std::env::current_exe()?, scratch.path("bin/aotc"));
    fs::hard_link(&own, &copy).or_else(|_| fs::copy(&own, &copy).map(drop))?;
    let there = command(&echo(), &output);
    let mut installed = Command::new(copy);
    installed.args(there.get_args()).arg("--link");
    for (name, value) in there.get_envs() {
        match value {
            Some(value) => installed.env(name, value),
            None => installed.env_remove(name),
        };
    }
    made(&mut installed)
}

/// The depfile names the library, wherever it was found.
fn depfile() -> Result<()> {
    let scratch = Scratch::new("link-depfile");
    let (output, rule) = (scratch.path("program"), scratch.path("program.d"));
    let library = fs::canonicalize(library_folder()?.join("libaotc.a"))?;
    let expected =
        format!("{}: \\\n  {} \\\n  {}\n", output.display(), echo().display(), library.display());
    let made = |command: &mut Command| -> Result<()> {
        with_code(&run(command.arg("--depfile").arg(&rule), b""), 0)?;
        let found = fs::read_to_string(&rule)?;
        ensure!(found == expected, "{found}");
        Ok(fs::remove_file(&rule)?)
    };
    made(command(&echo(), &output).arg(link_option()?))?;
    made(command(&echo(), &output).arg("--link").env("AOTC_LIB_DIR", library_folder()?))?;
    // It is read, so it cannot be written to.
    let copy = scratch.path("libaotc.a");
    fs::copy(&library, &copy)?;
    let option = format!("--link={}", scratch.root().display());
    let ended = run(command(&echo(), &copy).arg(option), b"");
    with_code(&ended, 2)?;
    ensure!(fs::read(copy)? == fs::read(library)?, "the library was written to");
    Ok(())
}

/// An executable of modules that are linked with one another.
fn several_modules() -> Result<()> {
    let scratch = Scratch::new("link-several");
    let input = scratch.write(
        "main.wat",
        r#"(module
            (import "math" "divide" (func $divide (param i32) (result i32)))
            (import "math" "memory" (memory 1))
            (func (export "run") (param i32) (result i32)
                (i32.add (call $divide (local.get 0)) (i32.load (i32.const 4)))))"#,
    );
    let math = scratch.write(
        "math.wat",
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 4) "\01")
            (func (export "divide") (param i32) (result i32)
                (i32.div_s (i32.const 84) (local.get 0))))"#,
    );
    let link_as = format!("math={}", math.display());
    for kind in KINDS {
        let options = [kind, &["--invoke", "run", "--link-as", &link_as]].concat();
        let executable = link(&scratch, &input, &options)?;
        let output = run(alone(&executable, scratch.root()).arg("2"), b"");
        ensure!(with_code(&output, 0)? == "43\n", "{output:?}");
        let output = run(alone(&executable, scratch.root()).arg("0"), b"");
        with_code(&output, 134)?;
        let message = stderr(&output);
        ensure!(message.starts_with("error: wasm trap: integer divide by zero\n"), "{message}");
        ensure!(message.contains("math::"), "{message}");
    }
    Ok(())
}

/// The compiler is absent, or fails, or is one with arguments.
fn no_compiler() -> Result<()> {
    let scratch = Scratch::new("link-compiler");
    let output = scratch.path("program");
    let attempt = |cc: &str| -> Result<Output> {
        Ok(run(command(&echo(), &output).arg(link_option()?).env("CC", cc), b""))
    };
    let ended = attempt("/nonexistent/cc")?;
    with_code(&ended, 3)?;
    let message = stderr(&ended);
    ensure!(message.starts_with("error: /nonexistent/cc cannot be started: "), "{message}");
    let ended = attempt("cc --no-such-option")?;
    with_code(&ended, 3)?;
    let message = stderr(&ended);
    ensure!(message.starts_with("error: cc --no-such-option failed (exit status: "), "{message}");
    ensure!(message.lines().count() > 1 && message.contains("-no-such-option"), "{message}");
    ensure!(!output.exists(), "an executable was written");
    with_code(&attempt("cc -pipe")?, 0)?;
    with_code(&run(alone(&output, scratch.root()).arg("x"), b"in"), 2)?;
    Ok(())
}

fn refusals() -> Result<()> {
    let scratch = Scratch::new("link-refusals");
    let output = scratch.path("program");
    let here = format!("--link={}", scratch.root().display());
    let cases: [(&[&str], &str); 4] = [
        (&["--link"], "--link needs the loader's library, libaotc.a"),
        (&[&here], &format!("{here}: there is no libaotc.a")),
        (&["--link", "--runner", "x"], "the argument '--link[=<LIBDIR>]' cannot be used with"),
        (&["--link", "--target", "x86_64-macos"], "executables are linked for Linux"),
    ];
    for (options, message) in &cases {
        let ended = run(command(&echo(), &output).args(*options), b"");
        with_code(&ended, 2)?;
        let found = stderr(&ended);
        ensure!(found.starts_with(&format!("error: {message}")), "{options:?}: {found}");
    }
    let mut object = child::aotc();
    object.args(["compile", "--emit", "obj", "--link", "-o"]).arg(&output).arg(echo());
    let ended = run(&mut object, b"");
    with_code(&ended, 2)?;
    ensure!(stderr(&ended).contains("options of executables are for `--emit exe`"), "{ended:?}");
    ensure!(!output.exists(), "something was written");
    Ok(())
}
