//! The same input and options give the same bytes: whatever the number of threads, the folder, the environment, and the
//! machine, which `fixtures/reproducible.txt` stands for.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZero;

use anyhow::{Context, Result, ensure};
use aotc::{Emit, Options, cli};
use libtest_mimic::{Completion, Failed, Trial};
use sha2::{Digest, Sha256};

use crate::child::{self, Scratch};
use crate::command::{Ended, text};
use crate::support::{in_ci, root};

/// Numbers of threads that are compared; the first twice.
const THREADS: [usize; 5] = [1, 1, 2, 3, 8];

/// Sums of artifacts, as one machine made them, for others to compare with.
const SUMS: &str = "fixtures/reproducible.txt";
/// What there are sums of.
const SUMMED: [&str; 3] =
    ["fixtures/hello/hello.wat", "fixtures/run/echo.wat", "fixtures/build_step/plugin.wat"];

/// Functions of the generated module: many more than threads.
const FUNCTIONS: u32 = 400;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for target in aotc::TARGETS {
        trials.push(Trial::test(format!("determinism::object::{target}::generated"), move || {
            let options = cli::parse_options(&format!("--target {target}"))?;
            same_bytes(generated().as_bytes(), Emit::Object, &options)
        }));
    }
    let emits = [
        ("object", Emit::Object),
        ("archive", Emit::Archive),
        ("image", Emit::Image),
        ("clif", Emit::Clif),
        ("asm", Emit::Asm),
    ];
    for (name, emit) in emits {
        for options in ["", "--traps explicit"] {
            let style = if options.is_empty() { "signals" } else { "explicit" };
            let options = cli::parse_options(options).expect("valid options");
            trials
                .push(Trial::test(format!("determinism::{name}::{style}::generated"), move || {
                    same_bytes(generated().as_bytes(), emit, &options)
                }));
        }
    }
    for (name, emit) in [("object", Emit::Object), ("image", Emit::Image)] {
        trials.push(Trial::ignorable_test(format!("determinism::{name}::program"), move || {
            match fs::read(root().join("target/programs/wasm/lua.wasm")) {
                Ok(wasm) => {
                    same_bytes(&wasm, emit, &Options::default()).map(|()| Completion::Completed)
                }
                Err(_) if !in_ci() => {
                    Ok(Completion::ignored_with("the fixture programs are not built"))
                }
                Err(_) => Err("the fixture programs are not built".into()),
            }
        }));
    }
    type Test = (&'static str, fn() -> Result<()>);
    let tests: [Test; 2] = [("environment", environment), ("other_machines", other_machines)];
    for (name, test) in tests {
        trials.push(Trial::test(format!("determinism::{name}"), move || {
            test().map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    trials
}

/// The command gives the same bytes in other folders, under other names of the input, with other variables.
fn environment() -> Result<()> {
    let scratch = Scratch::new("environment");
    let source = scratch.write("plugin.wat", generated());
    for folder in ["here", "over/there"] {
        fs::create_dir_all(scratch.path(folder))?;
    }
    let absolute = text(&source).to_owned();
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 4] = [
        ("here", &absolute, &[]),
        (
            ".",
            "plugin.wat",
            &[("HOME", "/nowhere"), ("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Asia/Tokyo")],
        ),
        ("over/there", "../../plugin.wat", &[("SOURCE_DATE_EPOCH", "1"), ("USER", "someone")]),
        (
            "here",
            ".././plugin.wat",
            &[("TMPDIR", "/tmp"), ("RUST_BACKTRACE", "full"), ("PWD", "/")],
        ),
    ];
    let kinds = ["obj", "archive", "image", "clif", "asm"];
    let mut first = Vec::new();
    for (folder, input, variables) in cases {
        let output = |kind: &str| scratch.path(&format!("plugin.{kind}"));
        let emits: Vec<_> = kinds.map(|kind| format!("{kind}={}", output(kind).display())).into();
        let mut command = child::aotc();
        command.args(["compile", "--emit", &emits.join(","), input]);
        command.current_dir(scratch.path(folder)).envs(variables.iter().copied());
        Ended::new(command.output()?).with_code(0)?;
        let found: Vec<_> =
            kinds.iter().map(|kind| fs::read(output(kind))).collect::<Result<_, _>>()?;
        if first.is_empty() {
            first = found;
            continue;
        }
        for (kind, (first, found)) in kinds.iter().zip(first.iter().zip(&found)) {
            ensure!(first == found, "{kind} differs in {folder} from {input}, {variables:?}");
        }
    }
    let place = scratch.root().display().to_string();
    for (kind, bytes) in kinds.iter().zip(&first) {
        let found = bytes.windows(place.len()).any(|window| window == place.as_bytes());
        ensure!(!found, "{kind} names the folder");
    }
    Ok(())
}

/// The sums are those in the file. `BLESS=1` writes it anew: where code generation or the format is meant to have changed.
fn other_machines() -> Result<()> {
    let mut found = String::new();
    for path in SUMMED {
        let input = fs::read(root().join(path)).context(path)?;
        for words in ["", "--traps explicit --fuel --epochs"] {
            let options = cli::parse_options(words)?;
            let emits = [("obj", Emit::Object), ("archive", Emit::Archive), ("image", Emit::Image)];
            let compiled = aotc::compile_all(&input, &emits.map(|(_, emit)| emit), &options)?;
            for ((kind, _), bytes) in emits.iter().zip(&compiled.artifacts) {
                let sum: [u8; 32] = Sha256::digest(bytes).into();
                let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(found, "{}", format!("{sum} {kind} {path} {words}").trim_end())?;
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        return Ok(fs::write(root().join(SUMS), found)?);
    }
    let expected = fs::read_to_string(root().join(SUMS)).context(SUMS)?;
    for (expected, found) in expected.lines().zip(found.lines()) {
        ensure!(
            expected == found,
            "this machine gives\n  {found}\nand {SUMS} has\n  {expected}\nIf the compiler was meant to change, BLESS=1 writes the file anew; if it was not, the output depends on the machine."
        );
    }
    ensure!(expected.lines().count() == found.lines().count(), "{SUMS} has other lines");
    Ok(())
}

fn same_bytes(input: &[u8], emit: Emit, options: &Options) -> Result<(), Failed> {
    let mut results = THREADS.map(|threads| {
        let options = Options { threads: NonZero::new(threads), ..options.clone() };
        (threads, aotc::compile(input, emit, &options))
    });
    let (_, first) = &mut results[0];
    let first = std::mem::replace(first, Ok(Vec::new()))?;
    for (threads, result) in results.into_iter().skip(1) {
        let result = result?;
        if let Some(at) = first.iter().zip(&result).position(|(a, b)| a != b) {
            return Err(format!("{threads} threads give another byte at {at}").into());
        }
        if first.len() != result.len() {
            let lengths = (first.len(), result.len());
            return Err(format!("{threads} threads: {} bytes, not {}", lengths.1, lengths.0).into());
        }
    }
    Ok(())
}

/// A module with many functions of several types, which call each other directly and through a table,
/// and with imports, globals and segments.
fn generated() -> String {
    const TYPES: [&str; 4] = [
        "(param i32) (result i32)",
        "(param i32 i64) (result i32)",
        "(param i32 f64) (result i32)",
        "(param i32 i32 f32) (result i32)",
    ];
    const EXTRA_ARGUMENTS: [&str; 4] =
        ["", "(i64.const 3)", "(f64.const 4)", "(i32.const 5) (f32.const 6)"];
    let ty = |function: u32| function as usize % TYPES.len();
    let mut text = String::from("(module $generated\n");
    let mut line = |line: String| writeln!(text, "{line}").expect("a string grows");
    for (i, ty) in TYPES.iter().enumerate() {
        line(format!("(import \"env\" \"f{i}\" (func $import{i} {ty}))"));
    }
    line(format!("(memory 1) (table {FUNCTIONS} funcref) (global $g (mut i64) (i64.const 1))"));
    line("(data (i32.const 64) \"initial\") (data $passive \"passive\")".to_owned());
    for function in 0..FUNCTIONS {
        let next = (function * 7 + 1) % FUNCTIONS;
        let (own, import) = (TYPES[ty(function)], ty(function / 3));
        let (called, imported) = (EXTRA_ARGUMENTS[ty(next)], EXTRA_ARGUMENTS[import]);
        line(format!(
            "(func $f{function} (export \"f{function}\") {own} (local $i i32)
               (local.set $i (i32.load offset={function} (local.get 0)))
               (loop $again
                 (i32.store (local.get $i) (call $import{import} (local.get $i) {imported}))
                 (local.set $i (i32.div_s (local.get $i) (i32.const {})))
                 (br_if $again (local.get $i)))
               (global.set $g (i64.add (global.get $g) (i64.const {function})))
               (i32.add
                 (call $f{next} (local.get $i) {called})
                 (call_indirect {} (local.get $i) {called} (local.get 0))))
             (elem (i32.const {function}) $f{next})",
            function + 2,
            TYPES[ty(next)],
        ));
    }
    text.push(')');
    text
}
