//! Several modules in one artifact, by the command: `aotc compile --link-as`. What such an artifact does is tested in `merge`.

use std::fs;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::child::Scratch;
use crate::command::{Ended, aotc, aotc_with, files, text};

type Test = (&'static str, fn() -> Result<()>);

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Test; 9] = [
        ("emits", emits),
        ("objects_need_nothing", objects_need_nothing),
        ("depfile_and_reports", depfile_and_reports),
        ("standard_input", standard_input),
        ("kept_exports", kept_exports),
        ("incremental", incremental),
        ("misfits", misfits),
        ("misfits_for_programs", misfits_for_programs),
        ("usage", usage),
    ];
    let trial = |(name, test): Test| {
        Trial::test(format!("link_as::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    tests.into_iter().map(trial).collect()
}

const APP: &str = r#"(module $app
  (import "math" "double" (func $double (param i32) (result i32)))
  (import "math" "half" (func $half (param i32) (result i32)))
  (func $run (export "run") (result i32) (call $double (i32.const 21)))
  (func $other (export "other") (param i32) (result i32) (call $half (local.get 0))))"#;

const MATH: &str = r#"(module $math
  (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $half (export "half") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 2))))"#;

/// `APP` and `MATH` in a folder of their own.
struct Modules {
    scratch: Scratch,
    app: String,
    /// What stands behind `--link-as`.
    math: String,
}

impl Modules {
    fn new(name: &str) -> Self {
        Self::of(name, APP, MATH)
    }

    fn of(name: &str, app: impl AsRef<[u8]>, math: impl AsRef<[u8]>) -> Self {
        let scratch = Scratch::new(&format!("link-as-{name}"));
        let app = text(&scratch.write("app", app)).to_owned();
        let math = format!("math={}", scratch.write("math", math).display());
        Self { scratch, app, math }
    }

    fn compile(&self, arguments: &[&str]) -> Ended {
        aotc(["compile", &self.app, "--link-as", &self.math].iter().chain(arguments))
    }

    fn path(&self, name: &str) -> String {
        text(&self.scratch.path(name)).to_owned()
    }
}

/// The objects on the lines of standard error.
fn records(ended: &Ended) -> Result<Vec<Value>> {
    let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("line {line:?}"));
    ended.stderr.lines().map(parse).collect()
}

fn emits() -> Result<()> {
    let modules = Modules::new("emits");
    modules.compile(&["--emit", "obj,archive,image,header,clif,asm"]).with_code(0)?;
    let starts: [(&str, &str, &[u8]); 6] = [
        ("obj", "o", b"\x7fELF"),
        ("archive", "a", b"!<arch>\n"),
        ("image", "aot", b"\x7fELF"),
        ("header", "h", b"/*"),
        ("clif", "clif", b";; "),
        ("asm", "s", b";; "),
    ];
    for (kind, ending, start) in starts {
        let together = fs::read(modules.path(&format!("app.{ending}")))?;
        ensure!(together.starts_with(start), "{kind}: {:?}", String::from_utf8_lossy(&together));
        let alone = modules.path("alone");
        modules.compile(&["--emit", kind, "-o", &alone]).with_code(0)?;
        ensure!(fs::read(&alone)? == together, "{kind} differs");
    }
    let found = aotc(["run", "--invoke", "run", &modules.path("app.aot")]).with_code(0)?;
    ensure!(found == "42\n", "{found}");
    for listing in ["app.clif", "app.s"] {
        let listing = fs::read_to_string(modules.path(listing))?;
        for name in [";; run\n", ";; other\n", ";; math::double\n", ";; math::half\n"] {
            ensure!(listing.contains(name), "no {name:?} in\n{listing}");
        }
    }
    let header = fs::read_to_string(modules.path("app.h"))?;
    ensure!(header.contains("app_run") && header.contains("app_other"), "{header}");
    ensure!(!header.contains("double"), "{header}");
    Ok(())
}

/// What another module satisfies is no import any more; what none does is still one.
fn objects_need_nothing() -> Result<()> {
    let imports = |modules: &Modules| -> Result<Value> {
        let object = modules.path("app.o");
        modules.compile(&["-o", &object]).with_code(0)?;
        let found = aotc(["inspect", "--json", &object]).with_code(0)?;
        Ok(serde_json::from_str::<Value>(&found)?["imports"].clone())
    };
    let found = imports(&Modules::new("closed"))?;
    ensure!(found == Value::Array(Vec::new()), "{found}");
    let math = MATH.replacen(r#"export "half""#, r#"export "third""#, 1);
    let found = imports(&Modules::of("open", APP, math))?;
    ensure!(found.as_array().context("a list")?.len() == 1, "{found}");
    ensure!(found[0]["module"] == "math" && found[0]["name"] == "half", "{found}");
    Ok(())
}

fn depfile_and_reports() -> Result<()> {
    let modules = Modules::new("depfile");
    let (object, header, deps) =
        (modules.path("app.o"), modules.path("app.h"), modules.path("app.d"));
    let emit = format!("obj={object},header={header}");
    let arguments = ["--emit", &emit, "--depfile", &deps, "--message-format", "json"];
    let ended = modules.compile(&arguments);
    ended.with_code(0)?;
    let math = modules.path("math");
    let expected = format!("{object} {header}: \\\n  {} \\\n  {math}\n", modules.app);
    let found = fs::read_to_string(&deps)?;
    ensure!(found == expected, "{found}");
    let reported: Vec<_> = records(&ended)?.iter().map(|record| record["emit"].clone()).collect();
    ensure!(reported == ["obj", "header", "depfile"], "{ended:?}");
    // A module that is linked is an input.
    let ended = modules.compile(&["-o", &math]);
    ended.fails(2, "error: the output ")?;
    ensure!(ended.stderr.ends_with(" is an input\n"), "{ended:?}");
    ensure!(fs::read_to_string(&math)? == MATH);
    Ok(())
}

fn standard_input() -> Result<()> {
    let modules = Modules::new("stdin");
    let (expected, found) = (modules.path("expected.o"), modules.path("found.o"));
    modules.compile(&["-o", &expected]).with_code(0)?;
    let linked = ["compile", &modules.app, "--link-as", "math=-", "-o", &found];
    aotc_with(linked, MATH.as_bytes()).with_code(0)?;
    ensure!(fs::read(&expected)? == fs::read(&found)?);
    let main = ["compile", "-", "--name", "app", "--link-as", &modules.math, "-o", &found];
    aotc_with(main, APP.as_bytes()).with_code(0)?;
    ensure!(fs::read(&expected)? == fs::read(&found)?);
    let both = ["compile", "-", "--link-as", "math=-", "-o", &found];
    aotc_with(both, MATH.as_bytes()).fails(2, "error: only one of the modules can be `-`")
}

/// What only dropped exports of the main module lead to is dropped, of all modules.
fn kept_exports() -> Result<()> {
    let modules = Modules::new("kept");
    let (listing, image) = (modules.path("app.clif"), modules.path("app.aot"));
    let emit = format!("clif={listing},image={image}");
    modules.compile(&["--emit", &emit, "--keep-exports", "run"]).with_code(0)?;
    let listing = fs::read_to_string(&listing)?;
    ensure!(listing.contains(";; math::double\n"), "{listing}");
    ensure!(!listing.contains(";; math::half\n") && !listing.contains(";; other\n"), "{listing}");
    let found = aotc(["run", "--invoke", "run", &image]).with_code(0)?;
    ensure!(found == "42\n", "{found}");
    // Exports of the others are none.
    modules
        .compile(&["--keep-exports", "double"])
        .fails(2, &format!("error: {}: no export is called `double`", modules.app))
}

/// A change of one of the modules compiles anew what has changed.
fn incremental() -> Result<()> {
    let modules = Modules::new("incremental");
    let (folder, object) = (modules.path("kept"), modules.path("app.o"));
    let compile = || -> Result<(u64, u64)> {
        let arguments = ["--incremental", &folder, "-o", &object, "--message-format", "json"];
        let ended = modules.compile(&arguments);
        ended.with_code(0)?;
        let records = records(&ended)?;
        let record = records.iter().find(|record| record["reason"] == "incremental");
        let record = record.context("a report")?;
        let count = |name: &str| record[name].as_u64().context("a number");
        let full = modules.path("full.o");
        modules.compile(&["-o", &full]).with_code(0)?;
        ensure!(fs::read(&full)? == fs::read(&object)?, "the artifacts differ");
        Ok((count("reused")?, count("compiled")?))
    };
    let (reused, all) = compile()?;
    ensure!(reused == 0 && all >= 4, "{reused} {all}");
    ensure!(compile()? == (all, 0));
    modules.scratch.write("math", MATH.replacen("i32.const 2", "i32.const 3", 1));
    let found = compile()?;
    ensure!(found == (all - 1, 1), "{found:?} of {all}");
    Ok(())
}

/// An importing module in the binary format: memory `m` of `env`, of two pages at least.
const WANTS_TWO_PAGES: &[u8] = b"\0asm\x01\0\0\0\x02\x0a\x01\x03env\x01m\x02\0\x02";

fn misfits() -> Result<()> {
    let wide =
        MATH.replacen("(param i32)", "(param i64)", 1).replacen("local.get 0", "i32.const 0", 1);
    let modules = Modules::of("type", APP, &wide);
    let output = modules.path("app.o");
    let ended = modules.compile(&["-o", &output]);
    let (app, math) = (&modules.app, modules.path("math"));
    let expected = format!(
        "error: incompatible import type for `math::double`: {app} expects function \
         `(func (param i32) (result i32))`, {math} exports function `(func (param i64) (result i32))`\n"
    );
    ended.fails(1, &expected)?;
    ensure!(ended.stderr.contains(&format!("--> {app}:2:")), "{ended:?}");
    ensure!(files(&modules.scratch)? == ["app", "math"]);
    // Offsets where there is no text, and the file that is at fault.
    let memory = modules.scratch.write("memory", r#"(module (memory (export "m") 1))"#);
    let wants = modules.scratch.write("wants", WANTS_TWO_PAGES);
    let link_as = format!("env={}", memory.display());
    let expected = format!("error: {}: incompatible import type for `env::m`: ", wants.display());
    let ended = aotc(["compile", text(&wants), "--link-as", &link_as, "-o", &output]);
    ended.fails(1, &expected)?;
    ensure!(ended.stderr.ends_with(" (at offset 0xb)\n"), "{ended:?}");
    // A library that is not valid.
    let modules = Modules::of("invalid", APP, "(module\n  (func (result i32)))");
    let ended = modules.compile(&[]);
    ended.fails(1, "error: invalid WebAssembly: type mismatch")?;
    ensure!(ended.stderr.contains(&format!("--> {}:2:", modules.path("math"))), "{ended:?}");
    // The order is that of instantiation.
    let modules = Modules::of("order", APP, MATH);
    let user = r#"(module (import "math" "half" (func (param i32) (result i32))))"#;
    let user = format!("user={}", modules.scratch.write("user", user).display());
    let ended = aotc(["compile", &modules.app, "--link-as", &user, "--link-as", &modules.math]);
    ended.fails(1, "error: `math::half` is an export of ")?;
    ensure!(
        ended.stderr.contains("which is linked after this module: name it before"),
        "{ended:?}"
    );
    ensure!(ended.stderr.contains(&format!("--> {}:1:", modules.path("user"))), "{ended:?}");
    aotc(["compile", &modules.app, "--link-as", &modules.math, "--link-as", &user]).with_code(0)?;
    Ok(())
}

fn misfits_for_programs() -> Result<()> {
    let json = "--message-format=json";
    let one = |ended: &Ended, code: i32| -> Result<Value> {
        ended.with_code(code)?;
        let mut records = records(ended)?;
        ensure!(records.len() == 1, "{ended:?}");
        Ok(records.remove(0))
    };
    let wide =
        MATH.replacen("(param i32)", "(param i64)", 1).replacen("local.get 0", "i32.const 0", 1);
    let modules = Modules::of("json", APP, wide);
    let record = one(&modules.compile(&[json]), 1)?;
    ensure!(record["code"] == "text" && record["file"] == *modules.app, "{record}");
    ensure!(record["line"] == 2, "{record}");
    ensure!(record["text"] == APP.lines().nth(1).context("a line")?, "{record}");
    let message = record["message"].as_str().context("text")?;
    ensure!(message.starts_with("incompatible import type for `math::double`: "), "{record}");
    let memory = modules.scratch.write("memory", r#"(module (memory (export "m") 1))"#);
    let wants = modules.scratch.write("wants", WANTS_TWO_PAGES);
    let link_as = format!("env={}", memory.display());
    let record = one(&aotc(["compile", json, text(&wants), "--link-as", &link_as]), 1)?;
    ensure!(record["code"] == "link" && record["file"] == text(&wants), "{record}");
    ensure!(record["offset"] == 0xb, "{record}");
    // In a binary library.
    let broken = modules.scratch.write("broken", b"\0asm\x01\0\0\0\x01");
    let link_as = format!("env={}", broken.display());
    let record = one(&aotc(["compile", json, &modules.app, "--link-as", &link_as]), 1)?;
    ensure!(record["code"] == "invalid" && record["file"] == text(&broken), "{record}");
    ensure!(record["offset"] == 9, "{record}");
    Ok(())
}

fn usage() -> Result<()> {
    let modules = Modules::new("usage");
    modules
        .compile(&["--link-as", &modules.math])
        .fails(2, "error: two modules are to be linked as `math`")?;
    for (argument, message) in
        [("math", "expected NAME=FILE"), ("math=", "expected a file behind the `=`")]
    {
        let ended = aotc(["compile", &modules.app, "--link-as", argument]);
        ended.fails(2, &format!("error: invalid value '{argument}' for '--link-as"))?;
        ensure!(ended.stderr.contains(message), "{ended:?}");
    }
    let absent = modules.path("absent");
    let ended = aotc(["compile", &modules.app, "--link-as", &format!("math={absent}")]);
    ended.fails(3, &format!("error: cannot read {absent}: No such file"))
}
