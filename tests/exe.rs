//! Executables: that they run alone, wherever they are, and as what they are given says; and that damaged ones say so.
//!
//! The command has the runners in itself if it was built with the feature `exe`, as `cargo test --workspace` does and
//! `cargo test -p aotc -p aotc-tests`. Without it the tests are ignored, unless `CI` is `true`: then they fail.
#![allow(unsafe_code, reason = "what is done in a process before it becomes another")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use aotc_abi::exe::{HEADER_ROOM_BYTES, RECORD_NOTE_TYPE, RUNNER_DESC_BYTES, Record};
use aotc_abi::meta::Header;
use libtest_mimic::{Completion, Failed, Trial};

use crate::child::{self, Scratch};
use crate::support::{in_ci, root};
use crate::{programs, seccomp};

/// What a static executable is made with, and one that uses the host's C library.
const KINDS: [&[&str]; 2] = [&[], &["--static"]];
/// Exit code of an executable that could not start its program.
pub(crate) const NOT_STARTED: i32 = 126;

type Test = (&'static str, fn() -> Result<Completion>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 18] = [
        ("runs_alone", runs_alone),
        ("surroundings", surroundings),
        ("nothing_is_given_unasked", nothing_is_given_unasked),
        ("environment_is_inherited", environment_is_inherited),
        ("directories_are_what_is_allowed", directories),
        ("traps", traps),
        ("invokes", invokes),
        ("static_has_no_interpreter", static_has_no_interpreter),
        ("static_in_an_empty_root", static_in_an_empty_root),
        ("nothing_is_made_executable", nothing_is_made_executable),
        ("cut_off", cut_off),
        ("damage", damage),
        ("same_bytes", same_bytes),
        ("file_is_executable", file_is_executable),
        ("one_of_several_artifacts", one_of_several_artifacts),
        ("refusals", refusals),
        ("tools_see_it", tools_see_it),
        ("strip", strip),
    ];
    let trial = |(name, test): (&str, fn() -> Result<Completion>)| {
        Trial::ignorable_test(format!("exe::{name}"), move || {
            if let Some(reason) = no_runner() {
                return if in_ci() {
                    Err(reason.into())
                } else {
                    Ok(Completion::ignored_with(reason))
                };
            }
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let mut trials: Vec<Trial> = tests.into_iter().map(trial).collect();
    for name in ["lua", "sqlite"] {
        trials.push(Trial::ignorable_test(
            format!("exe::program_{name}"),
            move || match no_runner() {
                Some(reason) if in_ci() => Err(reason.into()),
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => programs::as_executable(name, |wasm, options| {
                    let scratch = Scratch::new(&format!("exe-{name}"));
                    fs::read(compile(&scratch, wasm, options)?).context("the executable")
                }),
            },
        ));
    }
    trials
}

/// Why there are no executables to test.
fn no_runner() -> Option<&'static str> {
    let scratch = Scratch::new("exe-any");
    let input = scratch.write("any.wat", "(module)");
    let mut command = child::aotc();
    command.args(["compile", "--emit", "exe", "--static"]).arg(&input);
    let output = child::with_input(&mut command, b"");
    let is_absent = String::from_utf8_lossy(&output.stderr).contains("without a runner");
    is_absent.then_some(
        "this aotc has no runners: `cargo test -p aotc -p aotc-tests` builds one that has",
    )
}

/// Makes an executable of `input`.
fn compile(scratch: &Scratch, input: &Path, options: &[&str]) -> Result<PathBuf> {
    let name = input.file_stem().context("a name")?;
    let output = scratch.path(&format!("{}.exe", name.display()));
    let mut command = child::aotc();
    command.args(["compile", "--emit", "exe", "-o"]).arg(&output).args(options).arg(input);
    let ended = child::with_input(&mut command, b"");
    ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(output)
}

pub(crate) fn echo() -> PathBuf {
    root().join("fixtures/run/echo.wat")
}

/// The executable, about to be run in a directory, without any of this process's environment.
pub(crate) fn alone(executable: &Path, directory: &Path) -> Command {
    let mut command = Command::new(executable);
    command.env_clear().current_dir(directory).arg0("program");
    command
}

pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    child::with_input(command, input)
}

/// Asserts how an executable ended; gives what it has printed.
pub(crate) fn with_code(output: &Output, code: i32) -> Result<String> {
    ensure!(output.status.code() == Some(code), "expected exit code {code}, found {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn runs_alone() -> Result<Completion> {
    for kind in KINDS {
        let (scratch, elsewhere) = (Scratch::new("exe-made"), Scratch::new("exe-alone"));
        let made = compile(&scratch, &root().join("fixtures/hello/hello.wat"), kind)?;
        let copy = elsewhere.path("hello");
        fs::copy(&made, &copy)?;
        drop(scratch);
        // Nobody may write there, the executable itself included.
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o555))?;
        fs::set_permissions(elsewhere.root(), fs::Permissions::from_mode(0o555))?;
        let output = run(&mut alone(&copy, elsewhere.root()), b"");
        ensure!(with_code(&output, 0)? == "primes below 1000000: 78498\n", "{output:?}");
        ensure!(output.stderr.is_empty(), "{output:?}");
        let names = fs::read_dir(elsewhere.root())?.count();
        ensure!(names == 1, "it leaves files behind");
    }
    Ok(Completion::Completed)
}

fn surroundings() -> Result<Completion> {
    let scratch = Scratch::new("exe-surroundings");
    scratch.write("note.txt", b"a note\n");
    for kind in KINDS {
        let given =
            ["--env", "NAME=a value", "--env", "GIVEN", "--env", "ABSENT", "--dir", ".::/notes"];
        let executable = compile(&scratch, &echo(), &[kind, &given].concat())?;
        let mut command = alone(&executable, scratch.root());
        command.env("GIVEN", "by the host").env("OTHER", "unasked").args(["one", "--two", "--dir"]);
        let output = run(&mut command, b"input\n");
        // Its exit code is the number of arguments.
        let expected =
            "program\0one\0--two\0--dir\0NAME=a value\0GIVEN=by the host\0input\na note\n";
        let found = with_code(&output, 4)?;
        ensure!(found == expected, "{found:?}");
        ensure!(output.stderr.is_empty(), "{output:?}");
    }
    // A directory that is not there where it runs.
    let executable = compile(&scratch, &echo(), &["--dir", "absent::/notes"])?;
    let output = run(&mut alone(&executable, scratch.root()), b"");
    with_code(&output, NOT_STARTED)?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(message.starts_with("error: --dir absent: "), "{message}");
    Ok(Completion::Completed)
}

fn nothing_is_given_unasked() -> Result<Completion> {
    let scratch = Scratch::new("exe-unasked");
    scratch.write("note.txt", b"a note\n");
    let executable = compile(&scratch, &echo(), &[])?;
    let mut command = alone(&executable, scratch.root());
    let output = run(command.env("OTHER", "unasked"), b"");
    ensure!(with_code(&output, 1)? == "program\0", "{output:?}");
    Ok(Completion::Completed)
}

fn environment_is_inherited() -> Result<Completion> {
    let scratch = Scratch::new("exe-inherits");
    let executable = compile(&scratch, &echo(), &["--inherit-env", "--env", "OTHER=its own"])?;
    let mut command = alone(&executable, scratch.root());
    let output = run(command.env("GIVEN", "by the host").env("OTHER", "the host's"), b"");
    let found = with_code(&output, 1)?;
    ensure!(found == "program\0GIVEN=by the host\0OTHER=its own\0", "{found:?}");
    Ok(Completion::Completed)
}

/// A program that makes the file `new` in its first directory, and ends with the error.
const CREATES: &str = r#"(module $creates
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "new")
  (func (export "_start")
    (call $proc_exit (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 3)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 24)))))"#;

fn directories() -> Result<Completion> {
    const BADF: i32 = 8;
    const ROFS: i32 = 69;
    let scratch = Scratch::new("exe-directories");
    let input = scratch.write("creates.wat", CREATES);
    for (options, code) in
        [(&[][..], BADF), (&["--read-only-dir", "."], ROFS), (&["--dir", "."], 0)]
    {
        let executable = compile(&scratch, &input, options)?;
        let output = run(&mut alone(&executable, scratch.root()), b"");
        with_code(&output, code)?;
        ensure!(scratch.path("new").exists() == (code == 0), "{options:?}");
    }
    Ok(Completion::Completed)
}

fn traps() -> Result<Completion> {
    let scratch = Scratch::new("exe-traps");
    for kind in KINDS {
        for style in [&[][..], &["--traps", "explicit"]] {
            let trap = root().join("fixtures/run/trap.wat");
            let executable = compile(&scratch, &trap, &[kind, style].concat())?;
            let output = run(&mut alone(&executable, scratch.root()), b"");
            with_code(&output, 134)?;
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            let start = "error: wasm trap: out of bounds memory access\nerror while executing at wasm backtrace:\n";
            ensure!(message.starts_with(start), "{message}");
            let frames: Vec<&str> =
                message.lines().filter_map(|line| Some(line.split_once(" - ")?.1)).collect();
            ensure!(frames == ["trap!read", "trap!middle", "trap!<wasm function 2>"], "{message}");
        }
    }
    Ok(Completion::Completed)
}

fn invokes() -> Result<Completion> {
    let scratch = Scratch::new("exe-invokes");
    let trap = root().join("fixtures/run/trap.wat");
    let executable = compile(&scratch, &trap, &["--invoke", "swap"])?;
    let output = run(alone(&executable, scratch.root()).args(["-7", "-0.25"]), b"");
    ensure!(with_code(&output, 0)? == "-0.25\n-7\n", "{output:?}");
    let output = run(alone(&executable, scratch.root()).arg("1"), b"");
    with_code(&output, NOT_STARTED)?;
    ensure!(output.stderr == b"error: expected 2 arguments, found 1\n", "{output:?}");
    // Nothing to start.
    let library = scratch.write("library.wat", r#"(module (func (export "f")))"#);
    let output = run(&mut alone(&compile(&scratch, &library, &[])?, scratch.root()), b"");
    with_code(&output, NOT_STARTED)?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(message.starts_with("error: the module exports no `_start`"), "{message}");
    Ok(Completion::Completed)
}

/// Types and flags of an executable's program headers, and the start of each in the file.
pub(crate) fn segments(file: &[u8]) -> Vec<(u32, u32, u64)> {
    let u16_at = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let (start, count) = (u64_at(32) as usize, u16_at(56) as usize);
    let header = |index: usize| start + index * 56;
    (0..count).map(header).map(|at| (u32_at(at), u32_at(at + 4), u64_at(at + 8))).collect()
}

fn static_has_no_interpreter() -> Result<Completion> {
    const PT_INTERP: u32 = 3;
    const PT_LOAD: u32 = 1;
    let scratch = Scratch::new("exe-interpreter");
    for (kind, expected) in KINDS.into_iter().zip([1, 0]) {
        let file = fs::read(compile(&scratch, &echo(), kind)?)?;
        let segments = segments(&file);
        let interpreters = segments.iter().filter(|segment| segment.0 == PT_INTERP).count();
        ensure!(interpreters == expected, "{kind:?}: {segments:x?}");
        let mut loaded = segments.iter().filter(|segment| segment.0 == PT_LOAD);
        ensure!(loaded.clone().all(|segment| segment.1 & 3 != 3), "writable code: {segments:x?}");
        ensure!(loaded.clone().is_sorted_by_key(|segment| segment.2), "{segments:x?}");
        let code = loaded.next_back().context("segments")?;
        ensure!(code.1 == 5 && code.2.is_multiple_of(4096), "the image's code: {segments:x?}");
    }
    Ok(Completion::Completed)
}

/// Nothing but the executable in the root of its file system: no `/proc`, no libraries, no devices.
fn static_in_an_empty_root() -> Result<Completion> {
    let scratch = Scratch::new("exe-root");
    let input = scratch.write("echo.wat", fs::read(echo())?);
    let made = compile(&scratch, &input, &["--static"])?;
    let jail = scratch.path("root");
    fs::create_dir(&jail)?;
    fs::copy(&made, jail.join("program"))?;
    let path = CString::new(jail.as_os_str().as_bytes())?;
    let mut command = Command::new("/program");
    command.env_clear().arg("x");
    // SAFETY: plain system calls, with what was made before.
    unsafe {
        command.pre_exec(move || {
            if libc::geteuid() != 0 && libc::unshare(libc::CLONE_NEWUSER) != 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::chroot(path.as_ptr()) != 0 || libc::chdir(c"/".as_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.stdin(std::process::Stdio::null());
    match child::not_busy(|| command.output()) {
        Ok(output) => {
            ensure!(with_code(&output, 2)? == "/program\0x\0", "{output:?}");
            Ok(Completion::Completed)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !in_ci() => {
            Ok(Completion::ignored_with("no other root may be had"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Under filters that kill for making anything executable; the static one may not even open a file.
fn nothing_is_made_executable() -> Result<Completion> {
    let scratch = Scratch::new("exe-seccomp");
    /// Options of the compiler, and what installs the filter.
    type Filter = (&'static [&'static str], fn());
    let filters: [Filter; 2] =
        [(&[], seccomp::install_filter), (&["--static"], seccomp::install_strict_filter)];
    for (kind, filter) in filters {
        let executable = compile(&scratch, &echo(), kind)?;
        let mut command = alone(&executable, scratch.root());
        // SAFETY: two system calls.
        unsafe {
            command.pre_exec(move || {
                filter();
                Ok(())
            });
        }
        let output = run(command.arg("x"), b"in");
        ensure!(with_code(&output, 2)? == "program\0x\0in", "{output:?}");
    }
    Ok(Completion::Completed)
}

/// Asserts that a changed executable says so, or cannot be executed, or does what it did. Gives whether it says so.
fn is_refused(scratch: &Scratch, file: &[u8]) -> Result<bool> {
    let path = scratch.write("changed", file);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let spawned = child::not_busy(|| alone(&path, scratch.root()).arg("x").output());
    fs::remove_file(&path)?;
    let output = match spawned {
        Ok(output) => output,
        // The kernel's word: no ELF file, or one that ends too early.
        Err(error) => {
            let known = [libc::ENOEXEC, libc::EIO, libc::EINVAL, libc::ELIBBAD];
            ensure!(error.raw_os_error().is_some_and(|code| known.contains(&code)), "{error}");
            return Ok(true);
        }
    };
    ensure!(output.status.signal().is_none(), "{output:?}");
    if output.status.code() == Some(2) && output.stdout.starts_with(b"program\0x\0") {
        return Ok(false);
    }
    ensure!(with_code(&output, NOT_STARTED)?.is_empty(), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(message.starts_with("error: ") && message.ends_with('\n'), "{message}");
    Ok(true)
}

fn cut_off() -> Result<Completion> {
    for kind in KINDS {
        let scratch = Scratch::new("exe-cut");
        let file = fs::read(compile(&scratch, &echo(), kind)?)?;
        let (range, image) = record(&file)?;
        let code_end = (image.image_address + image.image_bytes) as usize;
        // Before that is the runner, which is executed like any program, and cut off fails like any.
        let runner_end = range.start / 4096 * 4096;
        let steps = (0..20).map(|step| runner_end + step * (code_end - runner_end) / 20);
        let edges = [code_end - 1, image.image_address as usize, range.start, range.end, 64, 63, 0];
        for end in steps.chain(edges) {
            ensure!(is_refused(&scratch, &file[..end])?, "{end} of {} bytes run", file.len());
        }
        // Behind the code are only sections, which nobody needs to run it.
        ensure!(!is_refused(&scratch, &file[..code_end])?, "what is needed is there");
    }
    Ok(Completion::Completed)
}

/// The record in an executable, and where it is.
fn record(file: &[u8]) -> Result<(std::ops::Range<usize>, Record)> {
    let mut head = Vec::from(RECORD_NOTE_TYPE.to_le_bytes());
    head.extend(b"aotc\0\0\0\0");
    let at = file.windows(head.len()).rposition(|bytes| bytes == head).context("no note")?;
    let bytes = u32::from_le_bytes(file[at - 4..at].try_into()?) as usize;
    let start = at + head.len();
    Ok((start..start + bytes, Record::decode(&file[start..start + bytes])?))
}

fn damage() -> Result<Completion> {
    let scratch = Scratch::new("exe-damage");
    let file = fs::read(compile(&scratch, &echo(), &["--env", "NAME=value"])?)?;
    let (range, record) = record(&file)?;
    let flipped = |at: usize, mask: u8| {
        let mut file = file.clone();
        file[at] ^= mask;
        is_refused(&scratch, &file).with_context(|| format!("byte {at:#x} ^ {mask:#x}"))
    };
    // All of the record is under its checksum.
    for at in range.clone() {
        ensure!(flipped(at, 1 << (at % 8))?, "byte {at:#x} of the record");
    }
    // The note's head: without it there is no program.
    for at in range.start - 20..range.start - 4 {
        ensure!(flipped(at, 0x81)?, "byte {at:#x} of the note");
    }
    // The image's own headers may say something else that does no harm, but nothing that crashes.
    let image = record.image_address as usize;
    for at in (image..image + 64 + 7 * 56).step_by(3) {
        flipped(at, 0xff)?;
    }
    // The module data is under its checksum.
    let is_data = |bytes: &[u8]| bytes == aotc_abi::meta::MAGIC;
    let data = file[image..].windows(aotc_abi::meta::MAGIC.len()).position(is_data);
    let data = image + data.context("module data")?;
    let covered = Header::decode(&file[data..]).covered_bytes() as usize;
    for at in (data..data + covered).step_by(covered / 40) {
        ensure!(flipped(at, 0x10)?, "byte {at:#x} of the module data");
    }
    Ok(Completion::Completed)
}

fn same_bytes() -> Result<Completion> {
    let (first, second) = (Scratch::new("exe-first"), Scratch::new("exe-second"));
    for kind in KINDS {
        let one = fs::read(compile(&first, &echo(), &[kind, &["--threads", "1"]].concat())?)?;
        let two = fs::read(compile(&second, &echo(), &[kind, &["--threads", "2"]].concat())?)?;
        ensure!(one == two, "{kind:?}: the same input gives other bytes");
        let text = root();
        let path = text.as_os_str().as_bytes();
        ensure!(!one.windows(path.len()).any(|bytes| bytes == path), "a path of this machine");
    }
    Ok(Completion::Completed)
}

fn file_is_executable() -> Result<Completion> {
    let scratch = Scratch::new("exe-mode");
    let input = scratch.write("unit.wat", "(module (func (export \"_start\")))");
    // Without `-o` it has the input's name, without an ending.
    for (mask, mode) in [(0o022, 0o755), (0o077, 0o700)] {
        let mut command = child::aotc();
        command.args(["compile", "--emit", "exe"]).arg(&input);
        // SAFETY: a plain system call.
        unsafe {
            command.pre_exec(move || {
                libc::umask(mask);
                Ok(())
            });
        }
        let ended = child::with_input(&mut command, b"");
        ensure!(ended.status.success(), "{ended:?}");
        let found = fs::metadata(scratch.path("unit"))?.permissions().mode() & 0o777;
        ensure!(found == mode, "{found:o}");
        with_code(&run(&mut alone(&scratch.path("unit"), scratch.root()), b""), 0)?;
    }
    ensure!(fs::read_dir(scratch.root())?.count() == 2, "other files are left");
    Ok(Completion::Completed)
}

/// An executable among other artifacts of one compilation: it alone may be executed.
fn one_of_several_artifacts() -> Result<Completion> {
    let scratch = Scratch::new("exe-several");
    let input = scratch.write("echo.wat", fs::read(echo())?);
    let (app, image, rule) = (scratch.path("app"), scratch.path("app.aot"), scratch.path("app.d"));
    let emit = format!("--emit=exe={},image={}", app.display(), image.display());
    let mut command = child::aotc();
    command
        .args(["compile", "--message-format", "json", &emit, "--depfile"])
        .arg(&rule)
        .arg(&input);
    let ended = child::with_input(&mut command, b"");
    with_code(&ended, 0)?;
    let messages = String::from_utf8_lossy(&ended.stderr).into_owned();
    // What this process's mask leaves.
    let readable = fs::metadata(&rule)?.permissions().mode() & 0o777;
    let executable = readable | (readable & 0o444) >> 2;
    for (path, kind, mode) in [(&app, "exe", executable), (&image, "image", readable)] {
        let metadata = fs::metadata(path)?;
        let found = metadata.permissions().mode() & 0o777;
        ensure!(found == mode, "{kind}: {found:o}");
        let record = format!("\"emit\":\"{kind}\",\"bytes\":{}", metadata.len());
        ensure!(messages.contains(&record), "no {record}: {messages}");
    }
    ensure!(fs::read_to_string(&rule)?.contains("app.aot"), "the rule lacks a target");
    let output = run(alone(&app, scratch.root()).arg("x"), b"in");
    ensure!(with_code(&output, 2)? == "program\0x\0in", "{output:?}");
    let same = scratch.path("same.aot");
    let ended =
        child::with_input(child::aotc().arg("compile").arg(&input).arg("-o").arg(&same), b"");
    with_code(&ended, 0)?;
    ensure!(fs::read(&image)? == fs::read(&same)?, "another image than alone");
    Ok(Completion::Completed)
}

fn refusals() -> Result<Completion> {
    let scratch = Scratch::new("exe-refusals");
    let input = scratch.write("unit.wat", "(module)");
    let bare = scratch.write("bare", "(module)");
    let garbage = scratch.write("garbage", b"\x7fELF\x02\x01\x01 and no more");
    let own = std::env::current_exe()?;
    let image = scratch.path("unit.aot");
    let made =
        child::with_input(child::aotc().arg("compile").arg(&input).arg("-o").arg(&image), b"");
    ensure!(made.status.success(), "{made:?}");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let for_target = |target: &str| {
        vec!["--emit=exe".into(), "--target".into(), target.to_owned(), text(&input)]
    };
    let cases: [(Vec<String>, &str); 10] = [
        (for_target("aarch64-linux"), "this aotc makes executables for x86_64-linux by itself"),
        (for_target("x86_64-macos"), "this aotc makes executables for x86_64-linux by itself"),
        (for_target("x86_64-windows"), "this aotc makes executables for x86_64-linux by itself"),
        (vec!["--emit".into(), "exe".into(), text(&bare)], "the output "),
        (vec!["--static".into(), text(&input)], "options of executables are for `--emit exe`"),
        (
            vec!["--emit=obj".into(), "--dir=.".into(), text(&input)],
            "options of executables are for",
        ),
        (with_runner(&garbage, &input), "this is no runner for executables: "),
        (with_runner(&input, &input), "this is no runner for executables: "),
        (with_runner(&image, &input), "this is no runner for executables: it has no note"),
        (with_runner(&own, &input), "this is no runner for executables: it has no note"),
    ];
    for (arguments, message) in cases {
        let ended = child::with_input(child::aotc().arg("compile").args(&arguments), b"");
        with_code(&ended, 2)?;
        let found = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(found.starts_with(&format!("error: {message}")), "{arguments:?}: {found}");
    }
    ensure!(!scratch.path("unit").exists(), "an executable was written");
    // A runner of another version.
    let executable = compile(&scratch, &input, &[])?;
    let mut other = fs::read(&executable)?;
    let note = [&3u32.to_le_bytes()[..], b"aotc\0\0\0\0"].concat();
    let at =
        other.windows(note.len()).position(|bytes| bytes == note).context("the runner's note")?;
    // An executable is no runner any more: the room is taken. As if it was not:
    let desc_bytes = RUNNER_DESC_BYTES + HEADER_ROOM_BYTES;
    other[at - 4..at].copy_from_slice(&desc_bytes.to_le_bytes());
    other[at + note.len()] ^= 1;
    let other = scratch.write("other", other);
    let ended =
        child::with_input(child::aotc().arg("compile").args(with_runner(&other, &input)), b"");
    with_code(&ended, 2)?;
    let found = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(found.contains("it is another version's"), "{found}");
    Ok(Completion::Completed)
}

fn with_runner(runner: &Path, input: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    vec!["--emit".into(), "exe".into(), "--runner".into(), text(runner), text(input)]
}

fn tools_see_it() -> Result<Completion> {
    let scratch = Scratch::new("exe-tools");
    let executable = compile(&scratch, &echo(), &[])?;
    let inspected = child::with_input(child::aotc().arg("inspect").arg(&executable), b"");
    let text = with_code(&inspected, 0)?;
    ensure!(text.starts_with("executable `echo` for x86_64-linux"), "{text}");
    let Ok(read) = Command::new("readelf").arg("-lSnsW").arg(&executable).output() else {
        ensure!(!in_ci(), "no readelf");
        return Ok(Completion::ignored_with("no readelf"));
    };
    let text = with_code(&read, 0)?;
    ensure!(read.stderr.is_empty(), "readelf: {}", String::from_utf8_lossy(&read.stderr));
    for name in [".note.aotc", ".rodata.aotc", ".text.aotc", " say\n", "aotc_module_echo"] {
        ensure!(text.contains(name), "no {name}: {text}");
    }
    Ok(Completion::Completed)
}

/// What is left of an executable by `strip` runs.
fn strip() -> Result<Completion> {
    let scratch = Scratch::new("exe-strip");
    let mut found = false;
    for tool in ["strip", "llvm-strip"] {
        for kind in KINDS {
            let executable = compile(&scratch, &echo(), kind)?;
            let Ok(output) = Command::new(tool).arg(&executable).output() else { continue };
            found = true;
            ensure!(
                output.status.success() && output.stderr.is_empty(),
                "{tool} {kind:?}: {output:?}"
            );
            let file = fs::read(&executable)?;
            let refused =
                is_refused(&scratch, &file).with_context(|| format!("{tool} {kind:?}"))?;
            ensure!(!refused, "{tool} {kind:?} broke it");
        }
    }
    if !found {
        bail!("neither strip nor llvm-strip is there");
    }
    Ok(Completion::Completed)
}
