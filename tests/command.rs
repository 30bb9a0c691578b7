//! The command: what it reads and writes, what it says, and how it ends.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::child::{self, Scratch};
use crate::support;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 20] = [
        ("emits", emits),
        ("standard_streams", standard_streams),
        ("usage", usage),
        ("bad_input", bad_input),
        ("unreadable_input", unreadable_input),
        ("output_is_whole_or_absent", output_is_whole_or_absent),
        ("output_is_replaced", output_is_replaced),
        ("full_device", full_device),
        ("inspect", inspect),
        ("inspect_json", inspect_json),
        ("inspect_foreign", inspect_foreign),
        ("inspect_other_files", inspect_other_files),
        ("run_program", run_program),
        ("run_image", run_image),
        ("run_stripped_image", run_stripped_image),
        ("run_traps", run_traps),
        ("run_invokes", run_invokes),
        ("run_refuses", run_refuses),
        ("run_limits", run_limits),
        ("wast", wast),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("command::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests.into_iter().map(trial).collect()
}

const MODULE: &str = r#"(module $unit
  (import "env" "log" (func $log (param i32)))
  (memory (export "memory") 1 2)
  (func (export "run") (param i32) (result i32) (call $log (local.get 0)) (local.get 0)))"#;

/// How a run of the command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn new(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Asserts the code, and gives the output as text.
    pub(crate) fn with_code(&self, code: i32) -> Result<String> {
        ensure!(self.code == Some(code), "expected exit code {code}, found {self:?}");
        Ok(String::from_utf8_lossy(&self.stdout).into_owned())
    }

    /// Asserts the code and what standard error begins with.
    pub(crate) fn fails(&self, code: i32, message: &str) -> Result<()> {
        self.with_code(code)?;
        ensure!(self.stderr.starts_with(message), "expected {message:?}, found {:?}", self.stderr);
        ensure!(self.stdout.is_empty(), "nothing is printed: {self:?}");
        Ok(())
    }
}

pub(crate) fn aotc<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Ended {
    aotc_with(arguments, b"")
}

pub(crate) fn aotc_with<I: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = I>,
    input: &[u8],
) -> Ended {
    Ended::new(child::with_input(child::aotc().args(arguments), input))
}

pub(crate) fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn fixture(name: &str) -> PathBuf {
    support::root().join("fixtures/run").join(name)
}

/// Names of the files in a directory.
pub(crate) fn files(scratch: &Scratch) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(scratch.root())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

// Compiling.

fn emits() -> Result<()> {
    let scratch = Scratch::new("emits");
    let input = scratch.write("unit.wat", MODULE);
    let cases: [(&[&str], &str, &[u8]); 5] = [
        (&[], "unit.aot", b"\x7fELF"),
        (&["--emit", "image"], "unit.aot", b"\x7fELF"),
        (&["--emit", "obj"], "unit.o", b"\x7fELF"),
        (&["--emit", "clif"], "unit.clif", b";; "),
        (&["--emit", "asm"], "unit.s", b";; "),
    ];
    for (options, name, start) in cases {
        aotc(["compile"].iter().chain(options).chain(&[text(&input)])).with_code(0)?;
        let found = fs::read(scratch.path(name)).context(name)?;
        ensure!(found.starts_with(start), "{name}");
        fs::remove_file(scratch.path(name))?;
        // The same bytes wherever they go.
        let other = scratch.path("elsewhere");
        let output = ["-o", text(&other), text(&input)];
        aotc(["compile"].iter().chain(options).chain(&output)).with_code(0)?;
        ensure!(fs::read(&other)? == found, "{name} differs");
        ensure!(files(&scratch)? == ["elsewhere", "unit.wat"]);
    }
    Ok(())
}

fn standard_streams() -> Result<()> {
    let scratch = Scratch::new("streams");
    let output = scratch.path("out.aot");
    let piped = aotc_with(["compile", "-", "-o", "-"], MODULE.as_bytes());
    piped.with_code(0)?;
    ensure!(piped.stdout.starts_with(b"\x7fELF"));
    // From standard input it goes to standard output unless told otherwise.
    ensure!(aotc_with(["compile", "-"], MODULE.as_bytes()).stdout == piped.stdout);
    aotc_with(["compile", "-", "-o", text(&output)], MODULE.as_bytes()).with_code(0)?;
    ensure!(fs::read(output)? == piped.stdout);
    let inspected = aotc_with(["inspect", "-"], &piped.stdout);
    ensure!(inspected.with_code(0)?.starts_with("image `unit` for x86_64-linux"));
    // A reader that goes away is an error, not a panic.
    let mut closed = child::aotc();
    closed.args(["compile", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut closed = closed.stderr(Stdio::piped()).spawn()?;
    drop(closed.stdout.take());
    std::io::Write::write_all(&mut closed.stdin.take().context("piped")?, MODULE.as_bytes())?;
    let ended = Ended::new(closed.wait_with_output()?);
    ended.fails(3, "error: cannot write -: Broken pipe")
}

fn usage() -> Result<()> {
    let scratch = Scratch::new("usage");
    let input = scratch.write("unit.wat", MODULE);
    let input = text(&input);
    let cases: [(&[&str], &str); 9] = [
        (&["compile", "--unknown", input], "error: unexpected argument '--unknown'"),
        (&["compile"], "error: the following required arguments"),
        (&["frobnicate"], "error: unrecognized subcommand"),
        (&["compile", "--emit", "elf", input], "error: invalid value 'elf'"),
        (&["compile", "--cpu", "z80", input], "error: unknown CPU `z80`"),
        (&["compile", "--cpu", "x86-64-v3,+mmx", input], "error: unknown CPU feature `mmx`"),
        (
            &["compile", "--target", "aarch64-linux", "--cpu", "x86-64-v3", input],
            "error: unknown CPU `x86-64-v3` for aarch64: expected native or one of armv8-a, armv8.1-a",
        ),
        (&["compile", "--threads", "0", input], "error: invalid value '0'"),
        (&["run", "--env", "AOTC_ABSENT", input], "error: --env AOTC_ABSENT: "),
    ];
    for (arguments, message) in cases {
        aotc(arguments).fails(2, message).with_context(|| format!("{arguments:?}"))?;
    }
    ensure!(files(&scratch)? == ["unit.wat"]);
    ensure!(aotc(["--help"]).with_code(0)?.contains("Usage: aotc"));
    ensure!(aotc(["--version"]).with_code(0)?.starts_with("aotc "));
    Ok(())
}

fn bad_input() -> Result<()> {
    let scratch = Scratch::new("bad-input");
    let wat = scratch.write("bad.wat", "(module\n  (func (result i32)\n    i64.const 1))");
    let wasm = scratch.write("bad.wasm", b"\0asm\x01\0\0\0\x01\x05");
    let at_line = format!(
        "error: invalid WebAssembly: type mismatch: expected i32, found i64\n     --> {}:2:4\n      |\n    2 |   (func (result i32)\n      |    ^\n",
        wat.display()
    );
    let at_offset = format!("error: {}: invalid WebAssembly: unexpected end", wasm.display());
    for command in ["compile", "run"] {
        aotc([command, text(&wat)]).fails(1, &at_line)?;
        aotc([command, text(&wasm)]).fails(1, &at_offset)?;
    }
    ensure!(files(&scratch)? == ["bad.wasm", "bad.wat"]);
    Ok(())
}

fn unreadable_input() -> Result<()> {
    let scratch = Scratch::new("unreadable");
    let locked = scratch.write("locked.wat", MODULE);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000))?;
    let absent = scratch.path("absent.wat");
    for command in ["compile", "inspect", "run"] {
        let directory = scratch.root();
        let cases = [(absent.as_path(), "No such file"), (directory, "Is a directory")];
        for (path, reason) in cases {
            let message = format!("error: cannot read {}: {reason}", path.display());
            aotc([command, text(path)]).fails(3, &message)?;
        }
        let mut unprivileged = child::aotc_unprivileged();
        let ended = child::with_input(unprivileged.args([command, text(&locked)]), b"");
        let message = format!("error: cannot read {}: Permission denied", locked.display());
        Ended::new(ended).fails(3, &message)?;
    }
    Ok(())
}

fn output_is_whole_or_absent() -> Result<()> {
    let scratch = Scratch::new("whole");
    let input = scratch.write("unit.wat", MODULE);
    let bad = scratch.write("bad.wat", "(module (func (result i32)))");
    let existing = scratch.write("existing.aot", b"as it was");
    aotc(["compile", text(&bad), "-o", text(&existing)]).with_code(1)?;
    ensure!(fs::read(&existing)? == b"as it was");
    let nowhere = scratch.path("absent/out.aot");
    let message = format!("error: cannot write {}: No such file", nowhere.display());
    aotc(["compile", text(&input), "-o", text(&nowhere)]).fails(3, &message)?;
    aotc(["compile", text(&input), "-o", text(scratch.root())]).fails(3, "error: cannot write")?;
    // Where nothing can be created, what is there stays.
    let locked = scratch.path("locked");
    fs::create_dir(&locked)?;
    fs::write(locked.join("out.aot"), b"as it was")?;
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555))?;
    let output = locked.join("out.aot");
    let mut unprivileged = child::aotc_unprivileged();
    unprivileged.args(["compile", text(&input), "-o", text(&output)]);
    let message = format!("error: cannot write {}: Permission denied", output.display());
    Ended::new(child::with_input(&mut unprivileged, b"")).fails(3, &message)?;
    ensure!(fs::read(&output)? == b"as it was");
    ensure!(fs::read_dir(&locked)?.count() == 1);
    ensure!(files(&scratch)? == ["bad.wat", "existing.aot", "locked", "unit.wat"]);
    Ok(())
}

fn output_is_replaced() -> Result<()> {
    let scratch = Scratch::new("replaced");
    let input = scratch.write("unit.wat", MODULE);
    let output = scratch.write("out.aot", vec![7; 1 << 20]);
    // A file that is mapped by someone keeps its contents for them.
    let old = fs::File::open(&output)?;
    aotc(["compile", text(&input), "-o", text(&output)]).with_code(0)?;
    ensure!(fs::read(&output)?.starts_with(b"\x7fELF"));
    ensure!(old.metadata()?.len() == 1 << 20);
    // A link stays one; what it leads to is replaced.
    let link = scratch.path("link.aot");
    std::os::unix::fs::symlink(&output, &link)?;
    fs::write(&output, b"old")?;
    aotc(["compile", text(&input), "-o", text(&link)]).with_code(0)?;
    ensure!(fs::symlink_metadata(&link)?.is_symlink(), "the link was replaced");
    ensure!(fs::read(&output)?.starts_with(b"\x7fELF"));
    ensure!(files(&scratch)? == ["link.aot", "out.aot", "unit.wat"]);
    Ok(())
}

fn full_device() -> Result<()> {
    let scratch = Scratch::new("full");
    let input = scratch.write("unit.wat", MODULE);
    let message = "error: cannot write /dev/full: No space left on device";
    aotc(["compile", text(&input), "-o", "/dev/full"]).fails(3, message)?;
    ensure!(fs::symlink_metadata("/dev/full")?.permissions().mode() & 0o777 == 0o666);
    let image = scratch.path("unit.aot");
    aotc(["compile", text(&input)]).with_code(0)?;
    for arguments in [&["compile", text(&input), "-o", "-"][..], &["inspect", text(&image)]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let mut command: Command = child::aotc();
        let output = command.args(arguments).stdin(Stdio::null()).stdout(full).output()?;
        Ended::new(output).fails(3, "error: cannot write -: No space left on device")?;
    }
    Ok(())
}

// Inspecting.

fn inspect() -> Result<()> {
    let scratch = Scratch::new("inspect");
    let input = scratch.write("unit.wat", MODULE);
    for (emit, form, file) in [("image", "image", "unit.aot"), ("obj", "object", "unit.o")] {
        aotc(["compile", "--emit", emit, text(&input)]).with_code(0)?;
        let found = aotc(["inspect", text(&scratch.path(file))]).with_code(0)?;
        ensure!(
            found.starts_with(&format!("{form} `unit` for x86_64-linux, made by aotc")),
            "{found}"
        );
        for line in [
            "  traps         signals\n",
            "imports\n  \"env\" \"log\" (func (param i32))\n",
            "exports\n  \"memory\" (memory 1 2)\n  \"run\" (func (param i32) (result i32))\n",
        ] {
            ensure!(found.contains(line), "expected {line:?} in {found}");
        }
    }
    Ok(())
}

fn inspect_foreign() -> Result<()> {
    let scratch = Scratch::new("inspect-foreign");
    let input = scratch.write("unit.wat", MODULE);
    let options = ["--target", "aarch64-unknown-linux-gnu", "--cpu", "armv8.4-a,+fp16,-dotprod"];
    for (emit, file) in [("image", "unit.aot"), ("obj", "unit.o")] {
        aotc(["compile", "--emit", emit, text(&input)].iter().chain(&options)).with_code(0)?;
        let found = aotc(["inspect", text(&scratch.path(file))]).with_code(0)?;
        let expected = [
            "`unit` for aarch64-linux",
            "  CPU features  lse fp16\n",
            "  page          65536 bytes\n",
        ];
        for text in expected {
            ensure!(found.contains(text), "expected {text:?} in {found}");
        }
    }
    aotc(["compile", "--target", "aarch64-linux", text(&input)]).with_code(0)?;
    let found = aotc(["inspect", text(&scratch.path("unit.aot"))]).with_code(0)?;
    ensure!(found.contains("  CPU features  none\n"), "{found}");
    let image = scratch.path("unit.aot");
    let message = format!(
        "error: {0}: failed to load module from `{0}`: artifact was compiled for aarch64-linux",
        text(&image)
    );
    aotc(["run", text(&scratch.path("unit.aot"))]).fails(1, &message)
}

fn inspect_json() -> Result<()> {
    let scratch = Scratch::new("inspect-json");
    let input = scratch.write("unit.wat", MODULE);
    let options = ["--traps", "explicit", "--cpu", "x86-64-v2", "--name", "other"];
    aotc(["compile", text(&input)].iter().chain(&options)).with_code(0)?;
    let found = aotc(["inspect", "--json", text(&scratch.path("unit.aot"))]).with_code(0)?;
    let found: Value = serde_json::from_str(&found)?;
    let expected = [
        ("/form", Value::from("image")),
        ("/name", Value::from("other")),
        ("/target", Value::from("x86_64-linux")),
        ("/trap_style", Value::from("explicit")),
        ("/bounds_style", Value::from("explicit")),
        ("/format_version", Value::from(2)),
        ("/cpu_features", Value::from(vec!["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"])),
        ("/imports/0/module", Value::from("env")),
        ("/imports/0/type", Value::from("(func (param i32))")),
        ("/exports/1/name", Value::from("run")),
    ];
    for (place, value) in expected {
        ensure!(found.pointer(place) == Some(&value), "{place}: {:?}", found.pointer(place));
    }
    let bytes = |part: &Value| part["bytes"].as_u64().unwrap_or_default();
    let code: u64 = found["code"].as_array().context("a list")?.iter().map(bytes).sum();
    let in_file = found["file"].as_array().context("a list")?.iter();
    let text = in_file.filter(|part| part["name"] == ".text").map(bytes).sum();
    ensure!(0 < code && code <= text, "{code} of {text}");
    Ok(())
}

fn inspect_other_files() -> Result<()> {
    let scratch = Scratch::new("inspect-other");
    let own = std::env::current_exe()?;
    let cases = [
        (scratch.write("text", b"hello"), "not an object or image: "),
        (scratch.write("empty", b""), "not an object or image: "),
        (own, "not an aotc artifact: no module data found"),
    ];
    for (path, message) in cases {
        let message = format!("error: {}: {message}", path.display());
        aotc(["inspect", text(&path)]).fails(1, &message)?;
    }
    Ok(())
}

// Running.

fn run_program() -> Result<()> {
    let scratch = Scratch::new("run");
    scratch.write("note.txt", b"a note\n");
    let program = fixture("echo.wat");
    let mut command = child::aotc();
    command.env("AOTC_INHERITED", "from outside");
    command.args(["run", "--env", "NAME=value", "--env", "AOTC_INHERITED"]);
    command.args(["--dir", &format!("{}::/notes", scratch.root().display())]);
    command.args([text(&program), "one", "--two", "-3"]);
    let ended = Ended::new(child::with_input(&mut command, b"input\n"));
    // Its exit code is the number of arguments.
    let found = ended.with_code(4)?;
    let expected =
        "echo.wat\0one\0--two\0-3\0NAME=value\0AOTC_INHERITED=from outside\0input\na note\n";
    ensure!(found == expected, "{found:?}");
    ensure!(ended.stderr.is_empty(), "{}", ended.stderr);
    // Without the directory there is nothing to read, and without arguments one: the name.
    let found = aotc_with(["run", text(&program)], b"").with_code(1)?;
    ensure!(found == "echo.wat\0", "{found:?}");
    Ok(())
}

fn run_image() -> Result<()> {
    let scratch = Scratch::new("run-image");
    let image = scratch.path("echo.aot");
    for options in [&[][..], &["--traps", "explicit"]] {
        let source = fixture("echo.wat");
        let compile = ["compile", text(&source), "-o", text(&image)];
        aotc(compile.iter().chain(options)).with_code(0)?;
        let found = aotc_with(["run", text(&image), "x"], b"in").with_code(2)?;
        ensure!(found == "echo.aot\0x\0in", "{found:?}");
    }
    let object = scratch.path("echo.o");
    aotc(["compile", "--emit", "obj", text(&fixture("echo.wat")), "-o", text(&object)])
        .with_code(0)?;
    let ended = aotc(["run", text(&object)]);
    ended.fails(1, &format!("error: {}: ", object.display()))?;
    ensure!(ended.stderr.contains("not a shared object; objects are linked"), "{}", ended.stderr);
    let mut damaged = fs::read(&image)?;
    damaged.truncate(5000);
    let damaged = scratch.write("damaged.aot", damaged);
    let ended = aotc(["run", text(&damaged)]);
    ended.fails(1, &format!("error: {}: ", damaged.display()))?;
    ensure!(ended.stderr.contains("a segment lies outside the file"), "{}", ended.stderr);
    Ok(())
}

/// An image without symbols runs, and its backtraces say as much.
fn run_stripped_image() -> Result<()> {
    let scratch = Scratch::new("run-stripped-image");
    let image = scratch.path("lines.aot");
    let source = support::root().join("fixtures/lines/lines.wasm");
    aotc(["compile", text(&source), "-o", text(&image)]).with_code(0)?;
    let whole = fs::read(&image)?;
    let run = || aotc(["run", "--invoke", "run", text(&image), "3"]);
    let before = run();
    before.fails(134, "error: wasm trap: unreachable\n")?;
    ensure!(before.stderr.contains("lines!run\n"), "{}", before.stderr);
    let mut found = false;
    for tool in ["strip", "llvm-strip"] {
        fs::write(&image, &whole)?;
        let Ok(output) = Command::new(tool).arg(&image).output() else { continue };
        found = true;
        ensure!(output.status.success() && output.stderr.is_empty(), "{tool}: {output:?}");
        // A small image need not get smaller: its symbols lie where nothing else would.
        let (had, has) = (symbols(&whole)?, symbols(&fs::read(&image)?)?);
        ensure!(had > 0 && has == 0, "{tool} leaves {has} of {had} symbols");
        let after = run();
        after.with_code(134).context(tool)?;
        ensure!(after.stderr == before.stderr, "{tool}: {}", after.stderr);
    }
    ensure!(found, "neither strip nor llvm-strip is there");
    Ok(())
}

/// How many symbols there are for debuggers.
fn symbols(image: &[u8]) -> Result<usize> {
    Ok(goblin::elf::Elf::parse(image)?.syms.len())
}

fn run_traps() -> Result<()> {
    for options in [&[][..], &["--traps", "explicit"]] {
        let program = fixture("trap.wat");
        let ended = aotc(["run"].iter().chain(options).chain(&[text(&program)]));
        let message = "error: wasm trap: out of bounds memory access\nerror while executing at wasm backtrace:\n    0: ";
        ended.fails(134, message)?;
        let functions: Vec<&str> = ended
            .stderr
            .lines()
            .filter_map(|line| line.split_once(" - "))
            .map(|line| line.1)
            .collect();
        let expected = ["trap!read", "trap!middle", "trap!<wasm function 2>"];
        ensure!(functions == expected, "{}", ended.stderr);
        let scratch = Scratch::new("run_traps");
        let dump = scratch.path("core");
        let with_dump = ["run", "--coredump", text(&dump)];
        let ended = aotc(with_dump.iter().chain(options).chain(&[text(&program)]));
        ensure!(ended.stderr.contains(message), "{}", ended.stderr);
        ensure!(fs::read(&dump)?.starts_with(b"\0asm"), "no core dump");
    }
    Ok(())
}

fn run_invokes() -> Result<()> {
    let program = fixture("trap.wat");
    let invoke = |name: &str, arguments: &[&str]| {
        aotc(["run", "--invoke", name, text(&program)].iter().chain(arguments))
    };
    let found = invoke("swap", &["18446744073709551615", "1.5"]).with_code(0)?;
    ensure!(found == "1.5\n-1\n", "{found:?}");
    let found = invoke("swap", &["-7", "-0.25"]).with_code(0)?;
    ensure!(found == "-0.25\n-7\n", "{found:?}");
    let found = invoke("not", &["0"]).with_code(0)?;
    ensure!(found == format!("{:#034x}\n", u128::MAX), "{found:?}");
    let cases: [(&str, &[&str], &str); 4] = [
        ("absent", &[], "error: the module exports no function called `absent`"),
        ("memory", &[], "error: the module exports no function called `memory`"),
        ("swap", &["1"], "error: expected 2 arguments, found 1"),
        ("swap", &["1", "x"], "error: expected a value of type f32, found `x`"),
    ];
    for (name, arguments, message) in cases {
        invoke(name, arguments).fails(1, message)?;
    }
    Ok(())
}

fn run_limits() -> Result<()> {
    let scratch = Scratch::new("limits");
    let program = scratch.write(
        "limits.wat",
        r#"(module
          (memory 1)
          (func (export "spin") (loop $again (br $again)))
          (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#,
    );
    let program = text(&program);
    let invoke = |limits: &[&str], call: &[&str]| {
        aotc([&["run"], limits, &["--invoke", call[0], program], &call[1..]].concat())
    };
    let stopped = |limits: &[&str], why: &str| {
        let ended = invoke(limits, &["spin"]);
        ended.fails(124, why)?;
        ensure!(ended.stderr.contains("function 0"), "{}", ended.stderr);
        Ok(())
    };
    stopped(
        &["--fuel", "1000"],
        "error: the program consumed all of its 1000 units of fuel (--fuel)",
    )?;
    stopped(&["--timeout", "100ms"], "error: the program ran longer than 100ms (--timeout)")?;
    // What ends in time ends as without limits.
    let enough = ["--fuel", "1000", "--timeout", "1m", "--max-memory", "2G"];
    ensure!(invoke(&enough, &["grow", "1"]).with_code(0)? == "1\n");
    ensure!(invoke(&["--max-memory", "128K"], &["grow", "2"]).with_code(0)? == "-1\n");
    let refused = "error: memory minimum size of 1 pages exceeds memory limits";
    invoke(&["--max-memory", "1K"], &["grow", "1"]).fails(1, refused)?;
    // An image that cannot be stopped is refused, and the error names the option.
    let image = scratch.path("limits.aot");
    aotc(["compile", program, "-o", text(&image)]).with_code(0)?;
    let ended = aotc(["run", "--fuel", "1000", "--invoke", "spin", text(&image)]);
    ended.with_code(1)?;
    ensure!(ended.stderr.contains("compile the module with --fuel"), "{}", ended.stderr);
    for limits in [["--timeout", "1h"], ["--max-memory", "x"], ["--fuel", "-1"]] {
        invoke(&limits, &["spin"]).with_code(2)?;
    }
    Ok(())
}

fn run_refuses() -> Result<()> {
    let scratch = Scratch::new("refuses");
    let library = scratch.write("library.wat", r#"(module (func (export "f")))"#);
    let message = "error: the module exports no `_start`; `--invoke NAME` calls another export";
    aotc(["run", text(&library)]).fails(1, message)?;
    let needs = scratch.write("needs.wat", r#"(module (import "m" "f" (func)))"#);
    let message = "error: unknown import: `m::f` has not been defined";
    aotc(["run", text(&needs)]).fails(1, message)?;
    let mistyped = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64))))"#;
    let mistyped = scratch.write("mistyped.wat", mistyped);
    let message = "error: incompatible import type for `wasi_snapshot_preview1::proc_exit`: types incompatible: expected type `(func (param i64))`, found type `(func (param i32))`";
    aotc(["run", text(&mistyped)]).fails(1, message)?;
    let absent = scratch.path("absent");
    let message = format!("error: --dir {}: ", absent.display());
    aotc(["run", "--dir", text(&absent), text(&library)]).fails(2, &message)
}

// Test scripts.

fn wast() -> Result<()> {
    let passes = fixture("passes.wast");
    let found = aotc(["wast", text(&passes)]).with_code(0)?;
    ensure!(found == "3 passed, 0 failed\n", "{found}");
    let fails = fixture("fails.wast");
    for options in [&[][..], &["--traps", "explicit"]] {
        let paths = [text(&passes), text(&fails)];
        let found = aotc(["wast"].iter().chain(options).chain(&paths)).with_code(1)?;
        let lines: Vec<&str> = found.lines().collect();
        ensure!(lines.len() == 4 && lines[3] == "5 passed, 3 failed", "{found}");
        let place = |line: u32| format!("{}:{line}: ", fails.display());
        let wrong = lines[0].strip_prefix(&place(3)).context("file and line")?;
        ensure!(wrong.starts_with("expected [") && wrong.ends_with(", found [I32(3)]"), "{wrong}");
        let no_trap = lines[1].strip_prefix(&place(4)).context("file and line")?;
        ensure!(no_trap == r#"expected "unreachable", found the results [I32(3)]"#, "{no_trap}");
        let absent = lines[2].strip_prefix(&place(5)).context("file and line")?;
        ensure!(absent == "no exported function called absent", "{absent}");
    }
    let scratch = Scratch::new("wast");
    let broken = scratch.write("broken.wast", "(module)\n(assert_return");
    let found = aotc(["wast", text(&broken)]).with_code(1)?;
    let expected = format!("{}:2: cannot parse the script: ", broken.display());
    ensure!(found.starts_with(&expected) && found.ends_with("\n0 passed, 1 failed\n"), "{found}");
    // A directory stands for the scripts in it.
    let found = aotc(["wast", text(&support::root().join("fixtures/run"))]).with_code(1)?;
    ensure!(found.ends_with("\n5 passed, 3 failed\n"), "{found}");
    let absent = scratch.path("absent.wast");
    let message = format!("error: cannot read {}: No such file", absent.display());
    aotc(["wast", text(&absent)]).fails(3, &message)
}
