//! The same input and options give the same bytes, whatever the number of threads.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZero;

use aotc::{Emit, Options, cli};
use libtest_mimic::{Completion, Failed, Trial};

use crate::support::{in_ci, root};

/// Numbers of threads that are compared; the first twice.
const THREADS: [usize; 4] = [1, 1, 2, 8];

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
    for (name, emit) in
        [("object", Emit::Object), ("image", Emit::Image), ("clif", Emit::Clif), ("asm", Emit::Asm)]
    {
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
    trials
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
