//! Traps, errors and panics through the loader's interface: where they come from, what they cross, and
//! what is left of the store. Every test is run with both ways of trapping.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use anyhow::{Result, anyhow, ensure};
use aotc_abi::target::TrapStyle;
use aotc_loader::{
    Caller, Engine, Func, Instance, Linker, Module, Store, Trap, TypedFunc, WasmBacktrace,
    WasmParams, WasmResults,
};
use libtest_mimic::{Failed, Trial};

use crate::child;
use crate::guest::{self, Test};

pub(crate) const TASKS: [(&str, fn()); 3] = [
    ("traps::host_handler_before", host_handler_before),
    ("traps::host_handler_after", host_handler_after),
    ("traps::no_host_handler", no_host_handler),
];

const TESTS: [Test; 17] = [
    ("every_kind", every_kind),
    ("deep_recursion", deep_recursion),
    ("recursion_through_the_host", recursion_through_the_host),
    ("huge_frames", huge_frames),
    ("huge_frames_below_the_host", huge_frames_below_the_host),
    ("small_stack", small_stack),
    ("inner_call_is_unwound_alone", inner_call_is_unwound_alone),
    ("inner_overflow_is_unwound_alone", inner_overflow_is_unwound_alone),
    ("error_arrives_intact", error_arrives_intact),
    ("panic_arrives_intact", panic_arrives_intact),
    ("panic_crosses_instances", panic_crosses_instances),
    ("host_trap_is_a_trap", host_trap_is_a_trap),
    ("threads_at_once", threads_at_once),
    ("backtrace", backtrace),
    ("backtrace_through_the_host", backtrace_through_the_host),
    ("backtrace_of_a_host_error", backtrace_of_a_host_error),
    ("start_function_traps", start_function_traps),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = guest::trials("traps", &TESTS);
    for (task, _) in TASKS {
        trials.push(Trial::test(task, move || in_child(task)));
    }
    trials
}

/// Everything that can trap, as functions of one `i32`.
const KINDS: &str = r#"(module $kinds
  (memory 1)
  (table 4 funcref)
  (table $refs 2 externref)
  (elem (i32.const 0) $two)
  (elem $passive func $two)
  (data $bytes "abc")
  (type $one (func (param i32) (result i32)))
  (global $calls (mut i32) (i32.const 0))
  (func $two (param i32 i32) (result i32) (local.get 0))
  (func (export "count") (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (local.get 0))) (global.get $calls))
  (func (export "unreachable") (param i32) (result i32) unreachable)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "load_far") (param i32) (result i32) (i32.load offset=0xffffffff (local.get 0)))
  (func (export "store") (param i32) (result i32)
    (i32.store8 (local.get 0) (i32.const 1)) (i32.const 0))
  (func (export "load_v128") (param i32) (result i32)
    (i32x4.extract_lane 0 (v128.load (local.get 0))))
  (func (export "fill") (param i32) (result i32)
    (memory.fill (local.get 0) (i32.const 0) (i32.const 2)) (i32.const 0))
  (func (export "copy") (param i32) (result i32)
    (memory.copy (i32.const 0) (local.get 0) (i32.const 2)) (i32.const 0))
  (func (export "init") (param i32) (result i32)
    (memory.init $bytes (i32.const 0) (local.get 0) (i32.const 3)) (i32.const 0))
  (func (export "table_get") (param i32) (result i32) (ref.is_null (table.get $refs (local.get 0))))
  (func (export "table_set") (param i32) (result i32)
    (table.set $refs (local.get 0) (ref.null extern)) (i32.const 0))
  (func (export "table_init") (param i32) (result i32)
    (table.init $passive (i32.const 0) (local.get 0) (i32.const 1)) (i32.const 0))
  (func (export "call") (param i32) (result i32)
    (call_indirect (type $one) (i32.const 0) (local.get 0)))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "remainder") (param i32) (result i32) (i32.rem_s (i32.const 1) (local.get 0)))
  (func (export "divide_min") (param i32) (result i32)
    (i32.div_s (i32.const 0x80000000) (local.get 0)))
  (func (export "divide_min_64") (param i32) (result i32)
    (i32.wrap_i64 (i64.div_s (i64.const 0x8000000000000000) (i64.extend_i32_s (local.get 0)))))
  (func (export "truncate_nan") (param i32) (result i32)
    (i32.trunc_f32_s (f32.reinterpret_i32 (local.get 0))))
  (func (export "truncate") (param i32) (result i32)
    (i32.trunc_f64_u (f64.convert_i32_s (local.get 0))))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (call $deep (local.get 0)) (i32.const 1))))"#;

fn every_kind(style: TrapStyle) -> Result<()> {
    let cases = [
        ("unreachable", 0, Trap::UnreachableCodeReached),
        ("load", 65533, Trap::MemoryOutOfBounds),
        ("load", -1, Trap::MemoryOutOfBounds),
        ("load_far", -1, Trap::MemoryOutOfBounds),
        ("store", 65536, Trap::MemoryOutOfBounds),
        ("load_v128", 65521, Trap::MemoryOutOfBounds),
        ("fill", 65535, Trap::MemoryOutOfBounds),
        ("copy", -1, Trap::MemoryOutOfBounds),
        ("init", 1, Trap::MemoryOutOfBounds),
        ("table_get", 2, Trap::TableOutOfBounds),
        ("table_set", -1, Trap::TableOutOfBounds),
        ("table_init", 1, Trap::TableOutOfBounds),
        ("call", 4, Trap::UndefinedElement),
        ("call", 1, Trap::IndirectCallToNull),
        ("call", 0, Trap::BadSignature),
        ("divide", 0, Trap::IntegerDivisionByZero),
        ("remainder", 0, Trap::IntegerDivisionByZero),
        ("divide_min", -1, Trap::IntegerOverflow),
        ("divide_min_64", -1, Trap::IntegerOverflow),
        ("truncate_nan", 0x7fc0_0000, Trap::BadConversionToInteger),
        ("truncate_nan", 0x7f80_0000, Trap::IntegerOverflow),
        ("truncate", -1, Trap::IntegerOverflow),
        ("deep", 0, Trap::StackOverflow),
    ];
    let mut guest = Guest::new(KINDS, style)?;
    for (count, (name, value, expected)) in (1..).zip(cases) {
        let result = guest.call::<i32, i32>(name, value);
        expect_trap(result, expected).map_err(|error| error.context(format!("{name} {value}")))?;
        // The store goes on as if nothing had happened.
        ensure!(guest.call::<i32, i32>("count", 1)? == count);
    }
    Ok(())
}

fn deep_recursion(style: TrapStyle) -> Result<()> {
    let mut guest = Guest::new(
        r#"(module
          (func $even (export "even") (param i64) (result i64)
            (i64.add (call $odd (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
          (func $odd (param i64) (result i64)
            (i64.mul (call $even (local.get 0)) (i64.const 3)))
          (table 2 funcref) (elem (i32.const 0) $indirect)
          (func $indirect (export "indirect") (param i64) (result i64)
            (i64.add (call_indirect (param i64) (result i64) (local.get 0) (i32.const 0)) (i64.const 1)))
          (func $depth (export "depth") (param i64) (result i64)
            (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))
              (else (i64.add (call $depth (i64.sub (local.get 0) (i64.const 1))) (i64.const 1))))))"#,
        style,
    )?;
    for _ in 0..3 {
        for name in ["even", "indirect"] {
            expect_trap(guest.call::<i64, i64>(name, 0), Trap::StackOverflow)?;
        }
        ensure!(guest.call::<i64, i64>("depth", 5000)? == 5000);
    }
    Ok(())
}

/// Wasm calls the host, which calls wasm, which calls the host: until the stack is used up, in whatever code.
fn recursion_through_the_host(style: TrapStyle) -> Result<()> {
    let again = |mut caller: Caller<'_, Hooks>, depth: i32| -> Result<i32> {
        let run = exported::<i32, i32>(&mut caller, "run")?;
        run.call(&mut caller, depth + 1)
    };
    let mut guest = Guest::with(
        r#"(module (import "host" "again" (func $again (param i32) (result i32)))
          (func (export "run") (param i32) (result i32)
            (i32.add (call $again (local.get 0)) (i32.const 1)))
          (func (export "ok") (result i32) (i32.const 7)))"#,
        style,
        |linker| linker.func_wrap("host", "again", again).map(drop),
    )?;
    for _ in 0..3 {
        expect_trap(guest.call::<i32, i32>("run", 0), Trap::StackOverflow)?;
        ensure!(guest.call::<(), i32>("ok", ())? == 7);
    }
    Ok(())
}

/// Frames of many pages: each is larger than the guard behind the stack.
fn huge_frames(style: TrapStyle) -> Result<()> {
    for locals in [600, 3_000, 20_000] {
        let mut guest = Guest::new(&huge_frame_module(locals), style)?;
        expect_trap(guest.call::<i64, i64>("run", 1 << 40), Trap::StackOverflow)?;
        ensure!(guest.call::<i64, i64>("run", 2)? > 0);
        expect_trap(guest.call::<i64, i64>("run", 1 << 40), Trap::StackOverflow)?;
    }
    Ok(())
}

fn huge_frames_below_the_host(style: TrapStyle) -> Result<()> {
    let mut inner = Guest::new(&huge_frame_module(20_000), style)?;
    ensure!(inner.call::<i64, i64>("run", 1)? > 0);
    // Every depth of the host's own frames at which the wasm stack may end.
    for kibibytes in (0..900).step_by(60) {
        below(kibibytes, &mut || {
            expect_trap(inner.call::<i64, i64>("run", 1 << 40), Trap::StackOverflow)
        })?;
    }
    Ok(())
}

/// Calls `f` with so much stack used.
#[inline(never)]
fn below(kibibytes: u32, f: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let filler = std::hint::black_box([0u8; 1024]);
    let result = if kibibytes == 0 { f() } else { below(kibibytes - 1, f) };
    std::hint::black_box(&filler);
    result
}

/// A function with so many values alive across its call of itself that they fill a frame.
fn huge_frame_module(locals: u32) -> String {
    let mut text = String::from("(module (func $run (export \"run\") (param i64) (result i64)");
    for _ in 0..locals {
        text.push_str(" (local i64)");
    }
    for local in 1..=locals {
        text.push_str(&format!(
            "(local.set {local} (i64.mul (i64.add (local.get 0) (i64.const {local})) (local.get {})))\n",
            local - 1
        ));
    }
    text.push_str("(if (i64.eqz (local.get 0)) (then (return (i64.const 1))))\n");
    text.push_str("(call $run (i64.sub (local.get 0) (i64.const 1)))\n");
    for local in 1..=locals {
        text.push_str(&format!("(i64.and (local.get {local}) (i64.const 0)) i64.add\n"));
    }
    text.push_str("))");
    text
}

fn small_stack(style: TrapStyle) -> Result<()> {
    for kibibytes in [192, 256, 512] {
        let builder = std::thread::Builder::new().stack_size(kibibytes << 10);
        let thread = builder.spawn(move || -> Result<()> {
            let mut guest = Guest::new(KINDS, style)?;
            expect_trap(guest.call::<i32, i32>("deep", 0), Trap::StackOverflow)?;
            ensure!(guest.call::<i32, i32>("count", 3)? == 3);
            Ok(())
        })?;
        thread.join().map_err(|_| anyhow!("panicked with {kibibytes} KiB"))??;
    }
    Ok(())
}

const NESTED: &str = r#"(module $nested
  (import "host" "inner" (func $inner (param i32) (result i32)))
  (memory 1)
  (func (export "outer") (param i32) (result i32)
    (i32.add (call $inner (local.get 0)) (call $inner (local.get 0))))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (call $deep (local.get 0)) (i32.const 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "unreachable") (param i32) (result i32) (unreachable)))"#;

/// The host function calls `name` of the instance, expects the trap, and goes on.
fn handling(style: TrapStyle, name: &'static str, expected: Trap) -> Result<Guest> {
    let inner = move |mut caller: Caller<'_, Hooks>, value: i32| -> Result<i32> {
        let function = exported::<i32, i32>(&mut caller, name)?;
        expect_trap(function.call(&mut caller, value), expected)?;
        caller.data_mut().count += 1;
        Ok(20)
    };
    Guest::with(NESTED, style, |linker| linker.func_wrap("host", "inner", inner).map(drop))
}

fn inner_call_is_unwound_alone(style: TrapStyle) -> Result<()> {
    let traps = [("load", Trap::MemoryOutOfBounds), ("unreachable", Trap::UnreachableCodeReached)];
    for (name, expected) in traps {
        let mut guest = handling(style, name, expected)?;
        ensure!(guest.call::<i32, i32>("outer", -1)? == 40);
        ensure!(guest.store.data().count == 2);
        // And the outer call can still trap on its own.
        expect_trap(guest.call::<i32, i32>("deep", 0), Trap::StackOverflow)?;
    }
    Ok(())
}

fn inner_overflow_is_unwound_alone(style: TrapStyle) -> Result<()> {
    let mut guest = handling(style, "deep", Trap::StackOverflow)?;
    for _ in 0..3 {
        ensure!(guest.call::<i32, i32>("outer", 0)? == 40);
    }
    Ok(())
}

/// An error of the host's own.
#[derive(Debug, PartialEq)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

fn error_arrives_intact(style: TrapStyle) -> Result<()> {
    let mut guest = Guest::with(NESTED, style, |linker| {
        let inner = |value: i32| -> Result<i32> {
            match value {
                0 => Ok(1),
                value => Err(anyhow!(Refused(value as u32)).context("while asking")),
            }
        };
        linker.func_wrap("host", "inner", inner).map(drop)
    })?;
    let error = guest.call::<i32, i32>("outer", 5).expect_err("refused");
    ensure!(error.downcast_ref::<Refused>() == Some(&Refused(5)), "{error:#}");
    ensure!(error.downcast_ref::<Trap>().is_none(), "{error:#}");
    ensure!(format!("{error:#}").ends_with("while asking: refused 5"), "{error:#}");
    ensure!(guest.call::<i32, i32>("outer", 0)? == 2);
    Ok(())
}

fn panic_arrives_intact(style: TrapStyle) -> Result<()> {
    let mut guest = Guest::with(NESTED, style, |linker| {
        let inner = |value: i32| -> i32 {
            if value != 0 {
                panic_any(Refused(value as u32));
            }
            1
        };
        linker.func_wrap("host", "inner", inner).map(drop)
    })?;
    for value in [3, 4] {
        let payload = quietly(|| guest.call::<i32, i32>("outer", value)).expect_err("it panics");
        let refused = payload.downcast_ref::<Refused>();
        ensure!(refused == Some(&Refused(value as u32)), "another payload");
        ensure!(guest.call::<i32, i32>("outer", 0)? == 2);
        expect_trap(guest.call::<i32, i32>("load", -1), Trap::MemoryOutOfBounds)?;
    }
    Ok(())
}

/// host -> c -> b -> a -> host panics, or returns an error.
fn panic_crosses_instances(style: TrapStyle) -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Hooks> = Linker::new(&engine);
    linker.func_wrap("host", "next", |value: i32| -> Result<i32> {
        match value {
            0 => panic_any(Refused(9)),
            1 => Err(anyhow!(Refused(8))),
            value => Ok(value),
        }
    })?;
    let mut store = Store::new(&engine, Hooks::default());
    let mut last = None;
    for (import, name) in [("host", "a"), ("a", "b"), ("b", "c")] {
        let text = format!(
            r#"(module ${name} (import "{import}" "next" (func $next (param i32) (result i32)))
              (func (export "next") (param i32) (result i32)
                (i32.add (call $next (local.get 0)) (i32.const 1))))"#
        );
        let instance = linker.instantiate(&mut store, &guest::module(&engine, &text, style)?)?;
        linker.instance(&mut store, name, instance)?;
        last = Some(instance);
    }
    let last = last.expect("three instances");
    let next = last.get_typed_func::<i32, i32>(&mut store, "next")?;
    for _ in 0..2 {
        let payload = quietly(|| next.call(&mut store, 0)).expect_err("it panics");
        ensure!(payload.downcast_ref() == Some(&Refused(9)), "another payload");
        let error = next.call(&mut store, 1).expect_err("an error");
        ensure!(error.downcast_ref() == Some(&Refused(8)), "{error:#}");
        let names = frames(&error)?;
        ensure!(names == ["a 1", "b 1", "c 1"], "{names:?}");
        ensure!(next.call(&mut store, 2)? == 5);
    }
    Ok(())
}

/// A host function may trap as wasm does.
fn host_trap_is_a_trap(style: TrapStyle) -> Result<()> {
    let mut guest = Guest::with(NESTED, style, |linker| {
        let inner = |_: i32| -> Result<i32> { Err(Trap::IntegerOverflow.into()) };
        linker.func_wrap("host", "inner", inner).map(drop)
    })?;
    expect_trap(guest.call::<i32, i32>("outer", 0), Trap::IntegerOverflow)
}

fn threads_at_once(style: TrapStyle) -> Result<()> {
    let engine = Engine::default();
    let module = guest::module(&engine, KINDS, style)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let module = &module;
                scope.spawn(move || traps_many_times(module, number))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

fn traps_many_times(module: &Module, number: i32) -> Result<()> {
    let engine = module.engine();
    let mut store = Store::new(engine, Hooks::default());
    let instance = Linker::new(engine).instantiate(&mut store, module)?;
    let mut guest = Guest { store, instance };
    let kinds = [
        ("load", -number - 1, Trap::MemoryOutOfBounds),
        ("divide", 0, Trap::IntegerDivisionByZero),
        ("unreachable", 0, Trap::UnreachableCodeReached),
        ("call", 1, Trap::IndirectCallToNull),
    ];
    for round in 0..500 {
        let (name, value, expected) = kinds[(round + number as usize) % kinds.len()];
        expect_trap(guest.call::<i32, i32>(name, value), expected)?;
        ensure!(guest.call::<i32, i32>("count", 1)? == round as i32 + 1);
        if round % 100 == 0 {
            expect_trap(guest.call::<i32, i32>("deep", 0), Trap::StackOverflow)?;
        }
    }
    Ok(())
}

/// Offsets are looked for by the bytes at them: `i32.div_u` is 0x6e, `call` is 0x10.
fn backtrace(style: TrapStyle) -> Result<()> {
    let text = r#"(module $names
      (func $innermost (param i32) nop (drop (i32.div_u (i32.const 1) (local.get 0))))
      (func $middle (param i32) nop nop (call $innermost (local.get 0)) nop)
      (func (export "outermost") (param i32) (call $middle (local.get 0)) (call $middle (i32.const 0))))"#;
    let wasm = guest::binary(text)?;
    let mut guest = Guest::new(text, style)?;
    for (value, place) in [(0, 0), (1, 1)] {
        let error = guest.call::<i32, ()>("outermost", value).expect_err("a trap");
        let trace = error.downcast_ref::<WasmBacktrace>().expect("a backtrace");
        ensure!(frames(&error)? == ["names innermost", "names middle", "names 2"], "{trace}");
        let offsets: Vec<usize> =
            trace.frames().iter().filter_map(|frame| frame.module_offset()).collect();
        let opcodes: Vec<u8> = offsets.iter().map(|&offset| wasm[offset]).collect();
        ensure!(opcodes == [0x6e, 0x10, 0x10], "{trace}: {opcodes:x?}");
        let calls: Vec<usize> = find_all(&wasm, &[0x10, 0x01]).collect();
        ensure!(calls.len() == 2 && offsets[2] == calls[place], "{trace}: {calls:x?}");
        for frame in trace.frames() {
            let (offset, in_function) = (frame.module_offset(), frame.func_offset());
            ensure!(offset > in_function && in_function.is_some(), "{frame:?}");
        }
        let text = trace.to_string();
        ensure!(text.starts_with("error while executing at wasm backtrace:\n    0: "), "{text}");
        ensure!(text.contains(" - names!innermost\n"), "{text}");
        ensure!(text.ends_with(" - names!<wasm function 2>"), "{text}");
    }
    Ok(())
}

fn find_all<'a>(bytes: &'a [u8], pattern: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(pattern.len()).enumerate().filter(move |window| window.1 == pattern).map(|w| w.0)
}

fn backtrace_through_the_host(style: TrapStyle) -> Result<()> {
    let inner = |mut caller: Caller<'_, Hooks>, value: i32| -> Result<i32> {
        exported::<i32, i32>(&mut caller, "load")?.call(&mut caller, value)
    };
    let mut guest = Guest::with(
        r#"(module $m (import "host" "inner" (func $inner (param i32) (result i32)))
          (memory 1)
          (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
          (func $caller (param i32) (result i32) (call $inner (local.get 0)))
          (func $outer (export "outer") (param i32) (result i32) (call $caller (local.get 0))))"#,
        style,
        |linker| linker.func_wrap("host", "inner", inner).map(drop),
    )?;
    let error = guest.call::<i32, i32>("outer", -1).expect_err("a trap");
    let names = frames(&error)?;
    ensure!(names == ["m load", "m caller", "m outer"], "{names:?}");
    Ok(())
}

fn backtrace_of_a_host_error(style: TrapStyle) -> Result<()> {
    let mut guest = Guest::with(
        r#"(module $m (import "host" "inner" (func $inner (param i32) (result i32)))
          (func $caller (param i32) (result i32) (call $inner (local.get 0)))
          (func $outer (export "outer") (param i32) (result i32) (call $caller (local.get 0))))"#,
        style,
        |linker| {
            let inner = |caller: Caller<'_, Hooks>, value: i32| -> Result<i32> {
                let trace = WasmBacktrace::capture(&caller);
                ensure!(value == 0 || trace.frames().is_empty(), "seen {}", trace.frames().len());
                Ok(trace.frames().len() as i32)
            };
            linker.func_wrap("host", "inner", inner).map(drop)
        },
    )?;
    ensure!(guest.call::<i32, i32>("outer", 0)? == 2);
    let error = guest.call::<i32, i32>("outer", 1).expect_err("an error");
    ensure!(error.to_string().contains("m!caller"), "{error}");
    ensure!(error.root_cause().to_string() == "seen 2", "{error:#}");
    ensure!(frames(&error)? == ["m caller", "m outer"]);
    Ok(())
}

fn start_function_traps(style: TrapStyle) -> Result<()> {
    let engine = Engine::default();
    let text = "(module $m (func $begin unreachable) (start $begin))";
    let module = guest::module(&engine, text, style)?;
    let mut store = Store::new(&engine, ());
    for _ in 0..2 {
        let result = Instance::new(&mut store, &module, &[]);
        let error = result.as_ref().expect_err("a trap");
        ensure!(frames(error)?[0] == "m begin", "{error:#}");
        expect_trap(result, Trap::UnreachableCodeReached)?;
    }
    Ok(())
}

// Children.

fn in_child(task: &str) -> Result<(), Failed> {
    let output = child::with_input(&mut child::task(task), b"");
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    let expected = if task == "traps::no_host_handler" { Some(libc::SIGSEGV) } else { None };
    if signal == expected && (output.status.success() || expected.is_some()) {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

static HOST_FAULTS: AtomicU32 = AtomicU32::new(0);

/// A handler as hosts have them: it mends the fault (by skipping the two-byte instruction) and counts.
extern "C" fn host_handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    HOST_FAULTS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the kernel's context.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
}

/// A handler of someone who came after the loader: takes its own fault, passes the others on.
extern "C" fn chaining_handler(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel's arguments, which the handler before takes as well.
    unsafe {
        if (*info).si_addr() as usize == HOST_ADDRESS {
            host_handler(signal, info, context);
        } else {
            let function: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(PREVIOUS.load(Ordering::Relaxed));
            function(signal, info, context);
        }
    }
}

/// The handler that was there before.
static PREVIOUS: AtomicUsize = AtomicUsize::new(0);

/// Where nothing is mapped.
const HOST_ADDRESS: usize = 0x10;

fn install(handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)) {
    // SAFETY: a valid action; nothing else runs in this process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut previous: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, &mut previous), 0);
        PREVIOUS.store(previous.sa_sigaction, Ordering::Relaxed);
    }
}

/// Reads where nothing is, with an instruction of two bytes.
#[cfg(target_arch = "x86_64")]
fn fault() {
    // SAFETY: the handler skips the load, or the process ends.
    unsafe { std::arch::asm!("mov eax, [rcx]", in("rcx") HOST_ADDRESS, out("eax") _) };
}

#[cfg(not(target_arch = "x86_64"))]
fn fault() {
    HOST_FAULTS.fetch_add(1, Ordering::Relaxed);
}

/// Traps and faults of the host's, in turn: also while wasm is on the stack.
fn mixed_faults() {
    let inner = |mut caller: Caller<'_, Hooks>, _: i32| -> Result<i32> {
        fault();
        let load = exported::<i32, i32>(&mut caller, "load")?;
        expect_trap(load.call(&mut caller, -1), Trap::MemoryOutOfBounds)?;
        fault();
        Ok(1)
    };
    let mut guest = Guest::with(NESTED, TrapStyle::Signals, |linker| {
        linker.func_wrap("host", "inner", inner).map(drop)
    })
    .expect("a valid module");
    let before = HOST_FAULTS.load(Ordering::Relaxed);
    for _ in 0..10 {
        fault();
        expect_trap(guest.call::<i32, i32>("load", -1), Trap::MemoryOutOfBounds).expect("a trap");
        assert_eq!(guest.call::<i32, i32>("outer", 0).expect("no trap"), 2);
    }
    assert_eq!(HOST_FAULTS.load(Ordering::Relaxed) - before, 50);
}

fn host_handler_before() {
    install(host_handler);
    mixed_faults();
}

fn host_handler_after() {
    let mut guest = Guest::new(KINDS, TrapStyle::Signals).expect("a valid module");
    expect_trap(guest.call::<i32, i32>("load", -1), Trap::MemoryOutOfBounds).expect("a trap");
    install(chaining_handler);
    mixed_faults();
}

/// Without any handler of the host's its fault ends the process, as without the loader.
fn no_host_handler() {
    // SAFETY: the default action; Rust's own handler is not what this is about.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    let mut guest = Guest::new(KINDS, TrapStyle::Signals).expect("a valid module");
    expect_trap(guest.call::<i32, i32>("load", -1), Trap::MemoryOutOfBounds).expect("a trap");
    fault();
}

// What the tests share.

/// The host's data in these tests.
#[derive(Debug, Default)]
struct Hooks {
    count: u32,
}

/// An instance with its store.
struct Guest {
    store: Store<Hooks>,
    instance: Instance,
}

impl Guest {
    fn new(text: &str, style: TrapStyle) -> Result<Self> {
        Self::with(text, style, |_| Ok(()))
    }

    fn with(
        text: &str,
        style: TrapStyle,
        define: impl FnOnce(&mut Linker<Hooks>) -> Result<()>,
    ) -> Result<Self> {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        define(&mut linker)?;
        let mut store = Store::new(&engine, Hooks::default());
        let module = guest::module(&engine, text, style)?;
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }
}

fn exported<P: WasmParams, R: WasmResults>(
    caller: &mut Caller<'_, Hooks>,
    name: &str,
) -> Result<TypedFunc<P, R>> {
    let function: Option<Func> = caller.get_export(name).and_then(|item| item.into_func());
    function.ok_or_else(|| anyhow!("no function {name}"))?.typed(caller)
}

fn expect_trap<R>(result: Result<R>, expected: Trap) -> Result<()> {
    match result {
        Ok(_) => Err(anyhow!("expected {expected}, found a result")),
        Err(error) => {
            let found = error.downcast_ref::<Trap>();
            ensure!(found == Some(&expected), "expected {expected}, found {error:#}");
            Ok(())
        }
    }
}

/// `module function` of every frame, innermost first.
fn frames(error: &anyhow::Error) -> Result<Vec<String>> {
    let trace =
        error.downcast_ref::<WasmBacktrace>().ok_or_else(|| anyhow!("no backtrace: {error:#}"))?;
    let name = |frame: &aotc_loader::FrameInfo| {
        let index = frame.func_index().to_string();
        let function = frame.func_name().unwrap_or(&index);
        format!("{} {function}", frame.module().name().unwrap_or_default())
    };
    Ok(trace.frames().iter().map(name).collect())
}

/// The panic's payload; its message is not printed.
fn quietly<R>(f: impl FnOnce() -> R) -> std::thread::Result<R> {
    catch_unwind(AssertUnwindSafe(|| guest::without_panic_message(f)))
}
