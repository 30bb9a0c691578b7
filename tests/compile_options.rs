//! What a build system asks of `aotc compile`: depfiles, response files, messages for programs, several artifacts at once, static
//! libraries, exports to keep, the loader's settings, and exit codes that stay what they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use crate::child::{self, Scratch};
use crate::command::{Ended, aotc, aotc_with, files, text};
use crate::support::in_ci;

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 16] = [
        ("depfile", depfile),
        ("response_files", response_files),
        ("response_files_are_for_compile", response_files_are_for_compile),
        ("messages", messages),
        ("messages_of_usage", messages_of_usage),
        ("artifacts_are_reported", artifacts_are_reported),
        ("several_artifacts", several_artifacts),
        ("outputs_are_not_inputs", outputs_are_not_inputs),
        ("outputs_appear_together", outputs_appear_together),
        ("exit_codes", exit_codes),
        ("kept_exports", kept_exports),
        ("kept_exports_by_file", kept_exports_by_file),
        ("kept_exports_are_known", kept_exports_are_known),
        ("kept_segments_still_trap", kept_segments_still_trap),
        ("for_loader", for_loader),
        ("for_loader_refuses", for_loader_refuses),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("compile_options::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let mut trials: Vec<Trial> = tests.into_iter().map(trial).collect();
    for linker in ["ld", "ld.lld"] {
        let name = format!("compile_options::archive::{linker}");
        trials.push(Trial::ignorable_test(name, move || with_tool(linker, || archive(linker))));
    }
    trials.push(Trial::ignorable_test("compile_options::depfile_is_read_by_make", || {
        with_tool("make", depfile_is_read_by_make)
    }));
    trials
}

/// Runs a test that needs a tool. Without it the test is skipped, except in CI.
pub(crate) fn with_tool(
    tool: &str,
    test: impl FnOnce() -> Result<()>,
) -> Result<Completion, Failed> {
    with_tools(&[tool], test)
}

/// Runs a test that needs all of these tools.
pub(crate) fn with_tools(
    tools: &[&str],
    test: impl FnOnce() -> Result<()>,
) -> Result<Completion, Failed> {
    let is_there = |tool: &str| {
        let mut command = Command::new(tool);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    match tools.iter().find(|tool| !is_there(tool)) {
        None => test()
            .map(|()| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:#}"))),
        Some(tool) if in_ci() => Err(format!("{tool} is not installed").into()),
        Some(tool) => Ok(Completion::ignored_with(format!("{tool} is not installed"))),
    }
}

const MODULE: &str = r#"(module $unit (func (export "two") (result i32) (i32.const 2)))"#;

/// The objects on the lines of standard error.
fn records(ended: &Ended) -> Result<Vec<Value>> {
    let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("line {line:?}"));
    ended.stderr.lines().map(parse).collect()
}

// Depfiles.

fn depfile() -> Result<()> {
    let scratch = Scratch::new("depfile");
    let input = scratch.write("a module.wat", MODULE);
    let keep = scratch.write("keep", "two\n");
    let (output, deps) = (scratch.path("out.o"), scratch.path("out.d"));
    let words = format!("--keep-exports-file {} -o {}", keep.display(), output.display());
    let response = scratch.write("arguments", words);
    let at = format!("@{}", response.display());
    aotc(["compile", "--depfile", text(&deps), &at, text(&input)]).with_code(0)?;
    let found = fs::read_to_string(&deps)?;
    let expected = format!(
        "{}: \\\n  {} \\\n  {} \\\n  {}\n",
        output.display(),
        input.display().to_string().replace(' ', "\\ "),
        keep.display(),
        response.display()
    );
    ensure!(found == expected, "{found}");
    // Standard input is no file; standard output is no target.
    let ended = aotc_with(
        ["compile", "-", "-o", text(&output), "--depfile", text(&deps)],
        MODULE.as_bytes(),
    );
    ended.with_code(0)?;
    ensure!(fs::read_to_string(&deps)? == format!("{}:\n", output.display()));
    let to_stdout = ["compile", text(&input), "-o", "-", "--depfile", text(&deps)];
    aotc(to_stdout).fails(2, "error: a depfile is about files")
}

/// Make rebuilds when any of the files that a depfile names has changed, whatever they are called.
fn depfile_is_read_by_make() -> Result<()> {
    let scratch = Scratch::new("depfile-make");
    let names =
        ["plain", "two words", "a#b", "a$b", "a:b", r"back\slash", r"odd\ end", "tab\there"];
    for name in names {
        let folder = scratch.path(name);
        fs::create_dir(&folder)?;
        fs::write(folder.join("m.wat"), MODULE)?;
        let input = format!("{name}/m.wat");
        let compile = ["compile", "-o", "out.o", "--depfile", "out.d", &input];
        let output = child::aotc().current_dir(scratch.root()).args(compile).output()?;
        Ended::new(output).with_code(0)?;
        scratch.write("Makefile", "out.o:\n\t@echo rebuilt\n\ninclude out.d\n");
        let make = || -> Result<String> {
            let output =
                Command::new("make").arg("--silent").current_dir(scratch.root()).output()?;
            Ended::new(output).with_code(0)
        };
        ensure!(make()?.is_empty(), "{name}: rebuilt without need");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::open(folder.join("m.wat"))?.set_modified(later)?;
        ensure!(make()? == "rebuilt\n", "{name}: not rebuilt");
    }
    Ok(())
}

// Response files.

fn response_files() -> Result<()> {
    let scratch = Scratch::new("response");
    let input = scratch.write("unit.wat", MODULE);
    let output = scratch.path("with 'quotes' and\\.o");
    let quoted = output.display().to_string().replace('\\', r"\\").replace('\'', r"\'");
    let inner = scratch.write("inner", format!("\n --emit\tobj -o '{quoted}'"));
    let outer = scratch.write("outer", format!("@{} \"{}\"", inner.display(), input.display()));
    aotc(["compile", &format!("@{}", outer.display())]).with_code(0)?;
    ensure!(fs::read(&output)?.starts_with(b"\x7fELF"));
    // What cannot be read is an argument like any other; what reads itself has no end.
    aotc(["compile", "@absent"]).fails(3, "error: cannot read @absent: No such file")?;
    let endless = scratch.path("endless");
    fs::write(&endless, format!("@{}", endless.display()))?;
    let message = format!("error: response file {}: too many", endless.display());
    aotc(["compile", &format!("@{}", endless.display())]).fails(2, &message)?;
    let binary = scratch.write("binary", b"\xff");
    let message = format!("error: response file {}: it is not UTF-8", binary.display());
    aotc(["compile", &format!("@{}", binary.display())]).fails(2, &message)
}

/// A program's own arguments are its own.
fn response_files_are_for_compile() -> Result<()> {
    let scratch = Scratch::new("response-run");
    let file = scratch.write("arguments", "one two three");
    let echo = crate::support::root().join("fixtures/run/echo.wat");
    let argument = format!("@{}", file.display());
    let found = aotc(["run", text(&echo), &argument]).with_code(2)?;
    ensure!(found == format!("echo.wat\0{argument}\0"), "{found:?}");
    Ok(())
}

// Messages for programs.

fn messages() -> Result<()> {
    let scratch = Scratch::new("messages");
    let json = "--message-format=json";
    let wat = scratch.write("bad.wat", "(module\n  (func (result i32)\n    i64.const 1))");
    let wasm = scratch.write("bad.wasm", b"\0asm\x01\0\0\0\x01");
    let unit = scratch.write("unit.wat", MODULE);
    let absent = scratch.path("absent.wat");
    let nowhere = scratch.path("absent/out.o");
    /// Arguments, the exit code, and what the message holds.
    type Case<'a> = (&'a [&'a str], i32, &'a [(&'a str, Value)]);
    let cases: [Case<'_>; 5] = [
        (
            &[text(&wat)],
            1,
            &[
                ("code", "text".into()),
                ("file", text(&wat).into()),
                ("line", 2.into()),
                ("column", 4.into()),
                ("text", "  (func (result i32)".into()),
                ("offset", Value::Null),
            ],
        ),
        (
            &[text(&wasm)],
            1,
            &[("code", "invalid".into()), ("file", text(&wasm).into()), ("offset", 9.into())],
        ),
        (
            &[text(&absent)],
            3,
            &[("code", "io".into()), ("file", text(&absent).into()), ("line", Value::Null)],
        ),
        (
            &[text(&unit), "-o", text(&nowhere)],
            3,
            &[("code", "io".into()), ("file", text(&nowhere).into())],
        ),
        (&[text(&unit), "--cpu", "z80"], 2, &[("code", "options".into())]),
    ];
    for (arguments, code, expected) in cases {
        let ended = aotc(["compile", json].iter().chain(arguments));
        ended.with_code(code)?;
        ensure!(ended.stdout.is_empty());
        let records = records(&ended)?;
        let [record] = &records[..] else { anyhow::bail!("expected one record: {ended:?}") };
        ensure!(record["reason"] == "message" && record["level"] == "error", "{record}");
        let people = aotc(["compile"].iter().chain(arguments));
        let rendered = record["rendered"].as_str().context("text")?;
        ensure!(people.stderr == format!("{rendered}\n"), "{people:?}, {record}");
        let message = record["message"].as_str().context("text")?;
        ensure!(!message.is_empty() && rendered.contains(message), "{record}");
        for (key, value) in expected {
            ensure!(&record[key] == value, "{key}: expected {value} in {record}");
        }
    }
    Ok(())
}

fn messages_of_usage() -> Result<()> {
    for format in [&["--message-format", "json"][..], &["--message-format=json"]] {
        let ended = aotc(["compile", "--unknown"].iter().chain(format));
        ended.with_code(2)?;
        let records = records(&ended)?;
        ensure!(records.len() == 1, "{ended:?}");
        ensure!(records[0]["code"] == "usage", "{ended:?}");
        let message = records[0]["message"].as_str().context("text")?;
        ensure!(message.starts_with("unexpected argument '--unknown'"), "{message}");
    }
    let ended = aotc(["compile", "--message-format=json", "--help"]);
    ensure!(ended.with_code(0)?.contains("--message-format"));
    ensure!(ended.stderr.is_empty(), "{ended:?}");
    Ok(())
}

fn artifacts_are_reported() -> Result<()> {
    let scratch = Scratch::new("reported");
    let input = scratch.write("unit.wat", MODULE);
    let (object, deps) = (scratch.path("unit.o"), scratch.path("unit.d"));
    let emit = format!("obj={},asm=-", object.display());
    let json = ["compile", "--message-format=json", "--emit", &emit, text(&input)];
    let ended = aotc(json);
    ended.with_code(0)?;
    let expected = |path: &str, emit: &str, bytes: usize| serde_json::json!({"reason": "artifact", "path": path, "emit": emit, "bytes": bytes});
    let object_bytes = fs::read(&object)?.len();
    let first = expected(text(&object), "obj", object_bytes);
    ensure!(records(&ended)? == [first.clone(), expected("-", "asm", ended.stdout.len())]);
    let with_deps = ["compile", "--message-format=json", text(&input), "-o", text(&object)];
    let ended = aotc(with_deps.iter().chain(&["--depfile", text(&deps)]));
    ended.with_code(0)?;
    let deps_bytes = fs::read(&deps)?.len();
    ensure!(records(&ended)? == [first, expected(text(&deps), "depfile", deps_bytes)], "{ended:?}");
    // People are told nothing.
    ensure!(aotc(["compile", text(&input), "-o", text(&object)]).stderr.is_empty());
    Ok(())
}

// Outputs.

fn several_artifacts() -> Result<()> {
    let scratch = Scratch::new("several");
    let input = scratch.write("unit.wat", MODULE);
    aotc(["compile", "--emit", "obj,archive,image,clif,asm", text(&input)]).with_code(0)?;
    let names = ["unit.a", "unit.aot", "unit.clif", "unit.o", "unit.s"];
    for name in names {
        let alone = scratch.path("alone");
        let kind = match name.rsplit_once('.').context("an ending")?.1 {
            "o" => "obj",
            "a" => "archive",
            "s" => "asm",
            "aot" => "image",
            other => other,
        };
        aotc(["compile", "--emit", kind, "-o", text(&alone), text(&input)]).with_code(0)?;
        ensure!(fs::read(scratch.path(name))? == fs::read(&alone)?, "{name} differs");
    }
    // The ending says what is linked.
    for (name, start) in
        [("x.a", &b"!<arch>\n"[..]), ("x.o", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0")]
    {
        let output = scratch.path(name);
        aotc(["compile", "-o", text(&output), text(&input)]).with_code(0)?;
        ensure!(fs::read(output)?.starts_with(start), "{name}");
    }
    // A file for one, the rest beside the input; and one name for two is one too few.
    let image = scratch.path("named.image");
    let emit = format!("image={},obj", image.display());
    aotc(["compile", "--emit", &emit, "-o", text(&scratch.path("named.o")), text(&input)])
        .with_code(0)?;
    ensure!(image.is_file() && scratch.path("named.o").is_file());
    let ambiguous = ["compile", "--emit", "obj,image", "-o", "x", text(&input)];
    aotc(ambiguous).fails(2, "error: `-o` names the file of one artifact, and 2 have no name")?;
    aotc(["compile", "--emit", "obj=", text(&input)]).fails(2, "error: invalid value 'obj='")
}

fn outputs_are_not_inputs() -> Result<()> {
    let scratch = Scratch::new("inputs");
    let input = scratch.write("unit.wat", MODULE);
    let keep = scratch.write("keep", "two\n");
    let link = scratch.path("link.wat");
    std::os::unix::fs::symlink(&input, &link)?;
    let indirect = scratch.root().join(".").join("unit.wat");
    let (input, keep, object) = (text(&input), text(&keep), scratch.path("unit.o"));
    let object = text(&object);
    let cases: [&[&str]; 5] = [
        &["-o", input],
        &["-o", text(&link)],
        &["-o", text(&indirect)],
        &["-o", object, "--depfile", input],
        &["-o", keep, "--keep-exports-file", keep],
    ];
    for arguments in cases {
        let ended = aotc(["compile", input].iter().chain(arguments));
        ended.fails(2, "error: the output ")?;
        ensure!(ended.stderr.ends_with(" is an input\n"), "{ended:?}");
    }
    let twice = format!("obj={object},image={object}");
    aotc(["compile", input, "--emit", &twice]).fails(2, "error: two outputs are called ")?;
    aotc(["compile", input, "-o", object, "--depfile", object])
        .fails(2, "error: two outputs are called ")?;
    aotc(["compile", input, "--emit", "clif=-,asm=-"])
        .fails(2, "error: two outputs are called -")?;
    ensure!(fs::read_to_string(input)? == MODULE);
    ensure!(files(&scratch)? == ["keep", "link.wat", "unit.wat"]);
    Ok(())
}

fn outputs_appear_together() -> Result<()> {
    let scratch = Scratch::new("together");
    let input = scratch.write("unit.wat", MODULE);
    let object = scratch.path("unit.o");
    let nowhere = scratch.path("absent/unit.aot");
    let cases = [
        // One file cannot be written, or one device.
        format!("obj={},image={}", object.display(), nowhere.display()),
        format!("image={},obj={}", nowhere.display(), object.display()),
        format!("obj={},image=/dev/full", object.display()),
    ];
    for emit in cases {
        let deps = scratch.path("unit.d");
        let arguments = ["compile", text(&input), "--emit", &emit, "--depfile", text(&deps)];
        aotc(arguments).fails(3, "error: cannot write ")?;
        ensure!(files(&scratch)? == ["unit.wat"], "{emit}: {:?}", files(&scratch)?);
    }
    Ok(())
}

/// The codes of the command's documentation, each by what gives it.
fn exit_codes() -> Result<()> {
    let scratch = Scratch::new("exit-codes");
    let unit = scratch.write("unit.wat", MODULE);
    let trap = scratch.write("trap.wat", r#"(module (func (export "_start") unreachable))"#);
    let exit = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 42))))"#;
    let exit = scratch.write("exit.wat", exit);
    let bad = scratch.write("bad.wat", "(module");
    let absent = scratch.path("absent");
    let cases: [(&[&str], i32); 9] = [
        (&["compile", text(&unit)], 0),
        (&["compile", text(&bad)], 1),
        (&["inspect", text(&bad)], 1),
        (&["compile"], 2),
        (&["compile", "--keep-exports", "absent", text(&unit)], 2),
        (&["compile", text(&absent)], 3),
        (&["compile", text(&unit), "-o", "/dev/full"], 3),
        (&["run", text(&trap)], 134),
        (&["run", text(&exit)], 42),
    ];
    for (arguments, code) in cases {
        aotc(arguments).with_code(code).with_context(|| arguments.join(" "))?;
    }
    // Nobody reads what the command says, or what it prints.
    for arguments in
        [&["compile", text(&bad)][..], &["loader-config"], &["compile", text(&unit), "-o", "-"]]
    {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = child::aotc();
        command.args(arguments).stdin(Stdio::null()).stderr(writer.try_clone()?).stdout(writer);
        let code = command.status()?.code();
        let expected = if arguments[1..].contains(&text(&bad)) { 1 } else { 3 };
        ensure!(code == Some(expected), "{arguments:?}: {code:?}");
    }
    Ok(())
}

/// Two modules in one static library, and each in one, linked by `linker` from what refers to them.
fn archive(linker: &str) -> Result<()> {
    let scratch = Scratch::new(&format!("archive-{linker}"));
    let options = |name: &str| aotc::Options { name: Some(name.to_owned()), ..Default::default() };
    let object = |name| aotc::compile(MODULE.as_bytes(), aotc::Emit::Object, &options(name));
    let (first, second) = (object("first")?, object("second")?);
    let both = aotc::archive(&[("first.o", &first), ("second.o", &second)])?;
    let both = scratch.write("libboth.a", both);
    let input = scratch.write("third.wat", MODULE);
    let third = scratch.path("libthird.a");
    aotc(["compile", text(&input), "--name", "third", "-o", text(&third)]).with_code(0)?;
    let wanted = scratch.path("program");
    let symbols = ["aotc_module_first", "aotc_module_third"];
    let mut command = Command::new(linker);
    command.args(["-m", "elf_x86_64", "-shared", "-z", "text", "-o", text(&wanted)]);
    symbols.iter().for_each(|symbol| {
        command.arg(format!("--undefined={symbol}"));
    });
    let linked = Ended::new(command.arg(&both).arg(&third).output()?);
    linked.with_code(0)?;
    ensure!(linked.stderr.is_empty(), "{}", linked.stderr);
    let bytes = fs::read(&wanted)?;
    let has = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    // What is not referred to stays in the library.
    ensure!(has(symbols[0]) && has(symbols[1]) && !has("aotc_module_second"));
    Ok(())
}

// Exports to keep.

const ENGINE: &str = r#"(module $engine
  (import "env" "log" (func $log (param i32)))
  (import "env" "level" (func $level (result i32)))
  (memory 1)
  (data (i32.const 0) "only 'read' looks at this, and it is here more than once: only 'read' looks at this")
  (data $passive "only 'init' copies this")
  (table $indirect 2 funcref)
  (elem (table $indirect) (i32.const 0) func $one $two)
  (global $scale (mut i32) (i32.const 3))
  (global $unused funcref (ref.func $lost))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (call $log (i32.const 2)) (i32.const 2))
  (func $lost)
  (func $times (param i32) (result i32) (i32.mul (local.get 0) (global.get $scale)))
  (func (export "scaled") (param i32) (result i32) (call $times (local.get 0)))
  (func (export "called") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
  (func (export "set") (param i32) (global.set $scale (local.get 0)))
  (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "init") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 4)))
  (func (export "leveled") (result i32) (call $level))
  (export "memory" (memory 0)))"#;

/// What is in an artifact, from `aotc inspect --json`.
fn inspected(path: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&aotc(["inspect", "--json", text(path)]).with_code(0)?)?)
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item["name"].as_str()).collect()
}

fn function_count(found: &Value) -> u64 {
    let code = found["code"].as_array().into_iter().flatten();
    code.filter(|part| part["kind"] == "functions").filter_map(|part| part["count"].as_u64()).sum()
}

fn kept_exports() -> Result<()> {
    let scratch = Scratch::new("kept");
    let input = scratch.write("engine.wat", ENGINE);
    let image = scratch.path("engine.aot");
    let compile = |options: &[&str]| -> Result<Value> {
        let always = ["compile", text(&input), "-o", text(&image)];
        aotc(always.iter().chain(options)).with_code(0)?;
        inspected(&image)
    };
    let bytes = || -> Result<Vec<u8>> { Ok(fs::read(&image)?) };
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    let all = compile(&[])?;
    ensure!(names(&all["imports"]) == ["log", "level"] && function_count(&all) == 10, "{all}");
    ensure!(has(&bytes()?, "only 'read'") && has(&bytes()?, "only 'init'"));

    // Neither imports, nor data, nor the table.
    let found = compile(&["--keep-exports", "scaled"])?;
    ensure!(
        names(&found["exports"]) == ["scaled"] && names(&found["imports"]).is_empty(),
        "{found}"
    );
    ensure!(function_count(&found) == 2, "{found}");
    ensure!(!has(&bytes()?, "only 'read'") && !has(&bytes()?, "only 'init'"));
    let result = aotc(["run", "--invoke", "scaled", text(&image), "14"]).with_code(0)?;
    ensure!(result == "42\n", "{result}");
    aotc(["run", "--invoke", "called", text(&image), "0"])
        .fails(1, "error: the module exports no function called `called`")?;

    // The second import and not the first.
    let found = compile(&["--keep-exports", "leveled"])?;
    ensure!(names(&found["imports"]) == ["level"] && function_count(&found) == 1, "{found}");

    // Through the table to the first import.
    let found = compile(&["--keep-exports", "called"])?;
    ensure!(names(&found["imports"]) == ["log"] && function_count(&found) == 3, "{found}");

    // Data, as what it was.
    let found = compile(&["--keep-exports", "memory,read"])?;
    ensure!(names(&found["exports"]) == ["read", "memory"], "{found}");
    ensure!(has(&bytes()?, "only 'read'") && !has(&bytes()?, "only 'init'"));
    let result = aotc(["run", "--invoke", "read", text(&image), "1"]).with_code(0)?;
    ensure!(result == format!("{}\n", b'n'), "{result}");

    // What sets a global makes it a variable again.
    compile(&["--keep-exports", "scaled", "--keep-exports", "set,init"])?;
    ensure!(has(&bytes()?, "only 'init'"));

    // In every style, an artifact that the loader takes.
    for options in
        [&["--traps", "explicit"][..], &["--bounds", "explicit"], &["-O", "0", "--epochs"]]
    {
        compile(&[options, &["--keep-exports", "scaled"]].concat())?;
        let result = aotc(["run", "--invoke", "scaled", text(&image), "5"]).with_code(0);
        ensure!(result.as_deref().ok() == Some("15\n"), "{options:?}: {result:?}");
    }
    Ok(())
}

fn kept_exports_by_file() -> Result<()> {
    let scratch = Scratch::new("kept-file");
    let input = scratch.write("engine.wat", ENGINE);
    let image = scratch.path("engine.aot");
    let compile = ["compile", text(&input), "-o", text(&image)];
    let keep = scratch.write("keep", "scaled\n\nset\n");
    aotc(compile.iter().chain(&["--keep-exports-file", text(&keep)])).with_code(0)?;
    ensure!(names(&inspected(&image)?["exports"]) == ["scaled", "set"]);
    aotc(compile.iter().chain(&["--keep-exports-file", text(&keep), "--keep-exports", "read"]))
        .with_code(0)?;
    ensure!(names(&inspected(&image)?["exports"]) == ["scaled", "set", "read"]);
    // Of nothing, nothing is left.
    fs::write(&keep, "")?;
    aotc(compile.iter().chain(&["--keep-exports-file", text(&keep)])).with_code(0)?;
    let found = inspected(&image)?;
    ensure!(names(&found["exports"]).is_empty() && function_count(&found) == 0, "{found}");
    let absent = scratch.path("absent");
    let message = format!("error: cannot read {}: No such file", absent.display());
    aotc(compile.iter().chain(&["--keep-exports-file", text(&absent)])).fails(3, &message)
}

fn kept_exports_are_known() -> Result<()> {
    let scratch = Scratch::new("kept-known");
    let input = scratch.write("engine.wat", ENGINE);
    let message = format!(
        "error: {}: no export is called `scalde`, which is to be kept; there is `scaled`\n",
        input.display()
    );
    aotc(["compile", text(&input), "--keep-exports", "read,scalde"]).fails(2, &message)?;
    let ended = aotc(["compile", text(&input), "--keep-exports", "frobnicate"]);
    ended.fails(2, &format!("error: {}: no export is called `frobnicate`", input.display()))?;
    ensure!(!ended.stderr.contains("there is"), "{ended:?}");
    Ok(())
}

/// A segment that does not fit is an error at instantiation, whoever looks at what it would fill.
fn kept_segments_still_trap() -> Result<()> {
    let scratch = Scratch::new("kept-trap");
    let segments = [
        r#"(table 1 funcref) (elem (i32.const 1) func $f)"#,
        r#"(memory 1) (data (i32.const 65535) "ab")"#,
        r#"(memory 1) (data (i32.const -1) "a")"#,
    ];
    for segment in segments {
        let module = format!(r#"(module {segment} (func $f (export "f")) (func (export "g")))"#);
        let input = scratch.write("segment.wat", module);
        for options in [&[][..], &["--keep-exports", "g"]] {
            let run = ["run", "--invoke", "g"];
            let ended = aotc(run.iter().chain(options).chain(&[text(&input)]));
            ended.fails(134, "error: wasm trap: out of bounds ")?;
        }
    }
    Ok(())
}

// The loader's settings.

/// The settings of this host's loader, with some lines replaced.
fn settings(scratch: &Scratch, changes: &[(&str, &str)]) -> Result<PathBuf> {
    let mut text = aotc(["loader-config"]).with_code(0)?;
    for (key, value) in changes {
        let is_it = |line: &&str| line.starts_with(&format!("{key} ="));
        let line = text.lines().find(is_it).with_context(|| format!("no {key}"))?;
        text = text.replace(line, &format!("{key} = {value}"));
    }
    Ok(scratch.write("loader", text))
}

fn for_loader() -> Result<()> {
    let scratch = Scratch::new("for-loader");
    let input = scratch.write("unit.wat", MODULE);
    let image = scratch.path("unit.aot");
    let compile = |file: &Path, options: &[&str]| -> Result<Value> {
        let always = ["compile", text(&input), "-o", text(&image), "--for-loader", text(file)];
        aotc(always.iter().chain(options)).with_code(0)?;
        inspected(&image)
    };
    let file = settings(&scratch, &[])?;
    let found = compile(&file, &[])?;
    let native = aotc::Cpu::parse("native", aotc::Arch::X86_64)?;
    let features: Vec<_> = native.features.iter(aotc::Arch::X86_64).map(|f| f.name).collect();
    ensure!(found["cpu_features"] == Value::from(features), "{found}");
    ensure!(found["trap_style"] == "signals" && found["bounds_style"] == "guard", "{found}");
    ensure!(aotc(["run", "--invoke", "two", text(&image)]).with_code(0)? == "2\n");
    // What is given and fits is used.
    let found = compile(&file, &["--cpu", "x86-64-v2", "--bounds", "explicit"])?;
    ensure!(found["bounds_style"] == "explicit", "{found}");
    ensure!(found["cpu_features"].as_array().is_some_and(|names| names.len() == 5), "{found}");
    // What an engine needs, code has.
    let file = settings(&scratch, &[("fuel", "yes"), ("epochs", "yes")])?;
    ensure!(compile(&file, &[])?["interruption"] == Value::from(vec!["fuel", "epochs"]));
    let printed = aotc(["loader-config", "--fuel"]).with_code(0)?;
    ensure!(printed.contains("\nfuel = yes\nepochs = no\n"), "{printed}");
    // A loader without signals, and one whose guards are small.
    let file = settings(&scratch, &[("traps", "explicit"), ("bounds", "explicit")])?;
    let found = compile(&file, &["--bounds", "guard"])?;
    ensure!(found["trap_style"] == "explicit" && found["bounds_style"] == "explicit", "{found}");
    let file = settings(&scratch, &[("guard_bytes_max", "65536")])?;
    let found = compile(&file, &[])?;
    ensure!(found["trap_style"] == "signals" && found["bounds_style"] == "explicit", "{found}");
    let file = settings(&scratch, &[("cpu", "sse3 ssse3 sse4.1 sse4.2 popcnt")])?;
    ensure!(compile(&file, &[])?["cpu_features"].as_array().is_some_and(|names| names.len() == 5));
    Ok(())
}

fn for_loader_refuses() -> Result<()> {
    let scratch = Scratch::new("for-loader-refuses");
    let input = scratch.write("unit.wat", MODULE);
    let file = settings(&scratch, &[])?;
    let original = fs::read_to_string(&file)?;
    let line = |key: &str| {
        let place = original.lines().position(|line| line.starts_with(&format!("{key} =")));
        place.map_or(0, |place| place + 1)
    };
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], String);
    let cases: [Case<'_>; 10] = [
        (
            &[("traps", "explicit"), ("bounds", "explicit")],
            &["--traps", "signals"],
            format!("{}: `traps = explicit` contradicts `--traps signals`", line("traps")),
        ),
        (
            &[("bounds", "explicit")],
            &["--bounds", "guard"],
            format!("{}: `bounds = explicit` contradicts `--bounds guard`", line("bounds")),
        ),
        (
            &[("guard_bytes_max", "65536")],
            &["--bounds", "guard"],
            format!(
                "{}: `guard_bytes_max = 65536` contradicts `--bounds guard`",
                line("guard_bytes_max")
            ),
        ),
        (
            &[("cpu", "sse3 ssse3 sse4.1 popcnt")],
            &["--cpu", "x86-64-v2"],
            format!(
                "{}: `cpu = sse3 ssse3 sse4.1 popcnt` contradicts `--cpu x86-64-v2`, which has sse4.2",
                line("cpu")
            ),
        ),
        (&[("cpu", "mmx")], &[], format!("{}: unknown feature `mmx`", line("cpu"))),
        (&[("target", "z80-cpm")], &[], format!("{}: unknown target `z80-cpm`", line("target"))),
        (
            &[("format_version", "0")],
            &[],
            format!("{}: the loader has format_version 0", line("format_version")),
        ),
        (
            &[("layout_hash", "0x1")],
            &[],
            format!("{}: the loader has layout_hash 0x1", line("layout_hash")),
        ),
        (
            &[("page_bytes", "65536")],
            &[],
            format!(
                "{}: `page_bytes = 65536` contradicts artifacts for x86_64-linux",
                line("page_bytes")
            ),
        ),
        (&[("fuel", "maybe")], &[], format!("{}: `fuel`: expected yes or no", line("fuel"))),
    ];
    for (changes, options, message) in cases {
        let file = settings(&scratch, changes)?;
        let arguments = ["compile", text(&input), "--for-loader", text(&file)];
        aotc(arguments.iter().chain(options))
            .fails(2, &format!("error: {}:{message}", file.display()))?;
    }
    let texts = [
        (
            format!("{original}colour = red\n"),
            format!("{}: unknown key `colour`", original.lines().count() + 1),
        ),
        (
            format!("{original}fuel = yes\n"),
            format!("{}: `fuel` is in line", original.lines().count() + 1),
        ),
        (original.replace("fuel = no\n", ""), "1: the key `fuel` is missing".to_owned()),
        ("nonsense".to_owned(), "1: expected `key = value`".to_owned()),
    ];
    for (contents, message) in texts {
        fs::write(&file, contents)?;
        aotc(["compile", text(&input), "--for-loader", text(&file)])
            .fails(2, &format!("error: {}:{message}", file.display()))?;
    }
    Ok(())
}
