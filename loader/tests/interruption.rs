//! Fuel and epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Error, Result, bail};
use aotc::Options;
use aotc_abi::target::{BoundsStyle, Interruption, TrapStyle};
use aotc_loader::{
    Caller, Config, Engine, Global, GlobalType, Instance, Linker, LoadError, Module, Mutability,
    Store, Trap, UpdateDeadline, Val, ValType, WasmBacktrace,
};

use crate::support::{chain, compile};

const FUEL: Interruption = Interruption { fuel: true, epochs: false };
const EPOCHS: Interruption = Interruption { fuel: false, epochs: true };
const BOTH: Interruption = Interruption { fuel: true, epochs: true };

fn engine(interruption: Interruption) -> Engine {
    let mut config = Config::new();
    config.consume_fuel(interruption.fuel).epoch_interruption(interruption.epochs);
    Engine::new(&config).expect("settings that fit together")
}

/// The module with signals, and with explicit traps.
fn modules(engine: &Engine, interruption: Interruption, text: &str) -> [Module; 2] {
    let styles =
        [(TrapStyle::Signals, BoundsStyle::Guard), (TrapStyle::Explicit, BoundsStyle::Explicit)];
    styles.map(|(trap_style, bounds_style)| {
        let options = Options { trap_style, bounds_style, interruption, ..Options::default() };
        Module::from_bytes(engine, &compile(text, &options)).expect("a module")
    })
}

fn trap(error: &Error) -> Trap {
    *error.downcast_ref().unwrap_or_else(|| panic!("expected a trap, found: {error:#}"))
}

fn call(store: &mut Store<()>, instance: &Instance, name: &str) -> Result<()> {
    instance.get_typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

// Fuel.

/// The units that a call of `f` consumes in a module with these fields.
fn units(fields: &str) -> [u64; 2] {
    let engine = engine(FUEL);
    let text = format!("(module (memory 1) (table 300 funcref) {fields})");
    modules(&engine, FUEL, &text).map(|module| {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        store.set_fuel(1_000_000).expect("fuel is configured");
        call(&mut store, &instance, "f").expect("enough fuel");
        1_000_000 - store.get_fuel().expect("fuel is configured")
    })
}

#[test]
fn costs() {
    let costs = [
        // A function costs one unit, and so do operators.
        ("", 1),
        ("i32.const 1 drop", 2),
        ("nop block end", 1),
        ("return i32.const 1 drop", 1),
        ("i32.const 1 i32.const 2 i32.add drop", 4),
        // Both ways of an `if`.
        ("i32.const 1 if nop else i32.const 1 drop end", 3),
        ("i32.const 0 if nop else i32.const 1 drop end", 4),
        ("i32.const 0 if i32.const 1 drop end", 3),
        ("block i32.const 1 br_if 0 i32.const 1 drop end", 3),
        ("block i32.const 0 br_if 0 i32.const 1 drop end", 4),
        ("block br 0 end", 2),
        ("block i32.const 7 br_table 0 0 0 end", 3),
        // 10 rounds of 7 operators.
        (
            "(local i32) loop local.get 0 i32.const 1 i32.add local.tee 0 i32.const 10 i32.ne br_if 0 end",
            1 + 10 * 7,
        ),
        // Another function, directly and through a table.
        ("call $g", 3 + 1),
        ("i32.const 0 call_indirect", 4 + 1),
        // Ranges.
        ("i32.const 0 i32.const 0 i32.const 0 memory.fill", 5),
        ("i32.const 0 i32.const 0 i32.const 1000 memory.fill", 1005),
        ("i32.const 0 i32.const 0 global.get $n memory.fill", 1005),
        ("i32.const 0 i32.const 0 global.get $n memory.copy", 1005),
        ("i32.const 0 i32.const 0 i32.const 3 memory.init 0", 8),
        ("i32.const 0 i32.const 0 i32.const 100 table.copy", 105),
        ("i32.const 1 ref.null func i32.const 200 table.fill", 205),
        ("ref.null func i32.const 5 table.grow drop", 9),
        ("i32.const 0 i32.const 0 i32.const 1 table.init 0", 6),
        ("i32.const 5 memory.grow drop", 3),
    ];
    for (body, expected) in costs {
        let fields = format!(
            r#"(global $n (mut i32) (i32.const 1000)) (data "abc") (elem func $g)
               (elem (i32.const 0) func $g)
               (func $g i32.const 1 drop)
               (func (export "f") {body})"#
        );
        assert_eq!(units(&fields), [expected; 2], "{body}");
    }
}

const ENDLESS: &str = r#"(module
  (func (export "loop") (loop (br 0)))
  (func $recursion (export "recursion") (call $recursion))
  (func (export "fill") (param i32) (local i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "nothing"))
  (memory 1))"#;

#[test]
fn fuel_runs_out() {
    let engine = engine(FUEL);
    for module in modules(&engine, FUEL, ENDLESS) {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        // At first there is none.
        let error = call(&mut store, &instance, "nothing").expect_err("no fuel");
        assert_eq!(trap(&error), Trap::OutOfFuel);
        assert_eq!(trap(&error).to_string(), "wasm trap: all fuel consumed by WebAssembly");
        for name in ["loop", "recursion"] {
            store.set_fuel(1000).expect("fuel is configured");
            let error = call(&mut store, &instance, name).expect_err("no end");
            assert_eq!(trap(&error), Trap::OutOfFuel, "{name}");
            let backtrace: &WasmBacktrace = error.downcast_ref().expect("a backtrace");
            assert!(!backtrace.frames().is_empty(), "{name}");
            assert!(backtrace.frames()[0].func_offset().is_some(), "{name}");
            assert_eq!(store.get_fuel().expect("fuel is configured"), 0, "{name}");
        }
        // What would take too much is not begun.
        store.set_fuel(1000).expect("fuel is configured");
        let fill = instance.get_typed_func::<i32, ()>(&mut store, "fill").expect("a function");
        assert_eq!(trap(&fill.call(&mut store, 60_000).expect_err("much")), Trap::OutOfFuel);
        store.set_fuel(100_000).expect("fuel is configured");
        fill.call(&mut store, 60_000).expect("enough fuel");
        assert_eq!(store.get_fuel().expect("fuel is configured"), 100_000 - 60_005);
        // More than code can count down from.
        store.set_fuel(u64::MAX).expect("fuel is configured");
        call(&mut store, &instance, "nothing").expect("enough fuel");
        assert_eq!(store.get_fuel().expect("fuel is configured"), u64::MAX - 1);
    }
}

#[test]
fn the_last_unit_is_not_enough() {
    let engine = engine(FUEL);
    for module in modules(&engine, FUEL, ENDLESS) {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        store.set_fuel(1).expect("fuel is configured");
        assert_eq!(
            trap(&call(&mut store, &instance, "nothing").expect_err("one")),
            Trap::OutOfFuel
        );
        store.set_fuel(2).expect("fuel is configured");
        call(&mut store, &instance, "nothing").expect("one more than it consumes");
        assert_eq!(store.get_fuel().expect("fuel is configured"), 1);
    }
}

#[test]
fn a_start_function_needs_fuel() {
    let engine = engine(FUEL);
    for module in modules(&engine, FUEL, "(module (func $f (loop (br 0))) (start $f))") {
        let mut store = Store::new(&engine, ());
        store.set_fuel(1000).expect("fuel is configured");
        let error = Instance::new(&mut store, &module, &[]).expect_err("no end");
        assert_eq!(trap(&error), Trap::OutOfFuel);
    }
}

#[test]
fn writing_what_the_module_begins_with_needs_no_fuel() {
    let engine = engine(FUEL);
    let text = r#"(module
      (import "" "base" (global $base i32))
      (global (mut i32) (i32.add (global.get $base) (i32.const 1)))
      (memory 1)
      (table 8 funcref)
      (data (global.get $base) "bytes")
      (elem (table 0) (offset (global.get $base)) func $f $f)
      (elem func $f)
      (func $f)
      (start $f))"#;
    for module in modules(&engine, FUEL, text) {
        let mut store = Store::new(&engine, ());
        let base =
            Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(2));
        let base = base.expect("a global").into();
        store.set_fuel(1000).expect("fuel is configured");
        Instance::new(&mut store, &module, &[base]).expect("an instance");
        // The start function.
        assert_eq!(store.get_fuel().expect("fuel is configured"), 999);
    }
}

#[test]
fn host_functions_see_the_fuel() {
    let engine = engine(FUEL);
    let text = r#"(module
      (import "host" "refuel" (func $refuel))
      (func (export "f") (local i32)
        (loop
          (call $refuel)
          (br_if 0 (i32.ne (i32.const 1000)
            (local.tee 0 (i32.add (local.get 0) (i32.const 1))))))))"#;
    for module in modules(&engine, FUEL, text) {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let seen = Arc::new(AtomicU32::new(0));
        let seen_by_host = seen.clone();
        let refuel = move |mut caller: Caller<'_, ()>| {
            seen_by_host.fetch_max(caller.get_fuel()? as u32, Ordering::Relaxed);
            caller.set_fuel(50)
        };
        linker.func_wrap("host", "refuel", refuel).expect("a new name");
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        store.set_fuel(60).expect("fuel is configured");
        call(&mut store, &instance, "f").expect("fuel each round");
        // The function and the call, before the first.
        assert_eq!(seen.load(Ordering::Relaxed), 58);
        // Seven operators behind the last, for the body's end costs nothing.
        assert_eq!(store.get_fuel().expect("fuel is configured"), 43);
    }
}

#[test]
fn fuel_must_be_configured() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let text = "fuel is not configured in this store";
    assert_eq!(chain(store.get_fuel()), text);
    assert_eq!(chain(store.set_fuel(1)), text);
    #[cfg(feature = "async")]
    assert_eq!(chain(store.fuel_async_yield_interval(Some(1))), text);
}

// Compatibility.

#[test]
fn uninterruptible_code_is_refused() {
    let cases = [
        (
            FUEL,
            "artifact was compiled without --fuel, the engine has `Config::consume_fuel(true)`; compile the module with --fuel, or set `Config::consume_fuel(false)`",
        ),
        (
            EPOCHS,
            "artifact was compiled without --epochs, the engine has `Config::epoch_interruption(true)`; compile the module with --epochs, or set `Config::epoch_interruption(false)`",
        ),
    ];
    for (interruption, text) in cases {
        let image = compile(ENDLESS, &Options::default());
        let error = Module::from_bytes(&engine(interruption), &image).expect_err("another setting");
        assert!(matches!(error.downcast_ref(), Some(LoadError::Uninterruptible { .. })));
        assert_eq!(error.to_string(), text);
    }
    let options = Options { interruption: EPOCHS, ..Options::default() };
    let image = compile(ENDLESS, &options);
    assert!(chain(Module::from_bytes(&engine(BOTH), &image)).contains("--fuel"));
}

#[test]
fn interruptible_code_runs_where_nobody_interrupts_it() {
    let engine = Engine::default();
    let text = r#"(module (func (export "f") (param i32) (result i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))"#;
    for module in modules(&engine, BOTH, text) {
        let mut store = Store::new(&engine, ());
        // There is no deadline to be set.
        store.set_epoch_deadline(0);
        engine.increment_epoch();
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let f = instance.get_typed_func::<i32, i32>(&mut store, "f").expect("a function");
        assert_eq!(f.call(&mut store, 100_000).expect("an end"), 0);
    }
}

// Epochs.

#[test]
fn another_thread_interrupts() {
    let engine = engine(EPOCHS);
    for module in modules(&engine, EPOCHS, ENDLESS) {
        for name in ["loop", "recursion"] {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            store.set_epoch_deadline(2);
            let is_over = Arc::new(AtomicBool::new(false));
            let (weak, is_over_too) = (engine.weak(), is_over.clone());
            let ticker = std::thread::spawn(move || {
                while !is_over_too.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_micros(300));
                    weak.upgrade().expect("the test has it").increment_epoch();
                }
            });
            let error = call(&mut store, &instance, name).expect_err("no end");
            is_over.store(true, Ordering::Relaxed);
            ticker.join().expect("no panic");
            // Recursion may be faster than the other thread.
            if name == "loop" || trap(&error) != Trap::StackOverflow {
                assert_eq!(trap(&error), Trap::Interrupt);
                assert_eq!(trap(&error).to_string(), "wasm trap: interrupt");
                assert!(error.downcast_ref::<WasmBacktrace>().is_some());
            }
        }
    }
}

#[test]
fn recursion_is_interrupted() {
    let engine = engine(EPOCHS);
    let text = r#"(module
      (import "host" "tick" (func $tick))
      (func $f (export "f") (param i32)
        (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 100))) (then (call $tick)))
        (call $f (i32.add (local.get 0) (i32.const 1)))))"#;
    for module in modules(&engine, EPOCHS, text) {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let tick = |caller: Caller<'_, ()>| caller.engine().increment_epoch();
        linker.func_wrap("host", "tick", tick).expect("a new name");
        store.set_epoch_deadline(3);
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        let f = instance.get_typed_func::<i32, ()>(&mut store, "f").expect("a function");
        let error = f.call(&mut store, 0).expect_err("no end");
        assert_eq!(trap(&error), Trap::Interrupt);
        // Called with 201, just behind the third tick.
        let backtrace: &WasmBacktrace = error.downcast_ref().expect("a backtrace");
        assert!(backtrace.frames().len() <= 202);
    }
}

#[test]
fn a_callback_decides() {
    let engine = engine(EPOCHS);
    for module in modules(&engine, EPOCHS, ENDLESS) {
        let mut store = Store::new(&engine, 0u32);
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let endless = instance.get_typed_func::<(), ()>(&mut store, "loop").expect("a function");
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            store.engine().increment_epoch();
            Ok(if *store.data() == 5 {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        // The deadline is one epoch after the one that the callback began, so it is not reached by itself.
        let ticker = ticker(&engine);
        assert_eq!(trap(&endless.call(&mut store, ()).expect_err("no end")), Trap::Interrupt);
        assert_eq!(*store.data(), 5);
        // It is kept.
        *store.data_mut() = 3;
        assert_eq!(trap(&endless.call(&mut store, ()).expect_err("no end")), Trap::Interrupt);
        assert_eq!(*store.data(), 5);
        // Its error is the call's.
        store.epoch_deadline_callback(|_| bail!("enough"));
        let error = endless.call(&mut store, ()).expect_err("no end");
        assert_eq!(error.root_cause().to_string(), "enough");
        // Or there is none.
        store.epoch_deadline_trap();
        assert_eq!(trap(&endless.call(&mut store, ()).expect_err("no end")), Trap::Interrupt);
        assert_eq!(*store.data(), 5);
        drop(ticker);
    }
}

#[test]
#[cfg(feature = "async")]
fn a_synchronous_call_cannot_yield() {
    let engine = engine(EPOCHS);
    for module in modules(&engine, EPOCHS, ENDLESS) {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let error = call(&mut store, &instance, "loop").expect_err("no fiber");
        let text = "cannot use `UpdateDeadline::Yield` without using an async wasm entrypoint";
        assert_eq!(error.root_cause().to_string(), text);
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(std::future::ready(()))))
        });
        let error = call(&mut store, &instance, "loop").expect_err("no fiber");
        let text =
            "cannot use `UpdateDeadline::YieldCustom` without using an async wasm entrypoint";
        assert_eq!(error.root_cause().to_string(), text);
    }
}

#[test]
fn a_panic_of_the_callback_is_the_calls() {
    let engine = engine(EPOCHS);
    for module in modules(&engine, EPOCHS, ENDLESS) {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        store.epoch_deadline_callback(|_| panic!("at the deadline"));
        let text = crate::support::panic_text(|| {
            let _ = call(&mut store, &instance, "loop");
        });
        assert_eq!(text, "at the deadline");
    }
}

/// A host function moves the deadline while a loop runs that has looked at the old one: the loop looks again.
#[test]
fn the_deadline_is_moved_while_code_runs() {
    let engine = engine(EPOCHS);
    let text = r#"(module
      (import "host" "host" (func $host (param i32)))
      (func (export "f") (local i32)
        (loop
          (call $host (local.tee 0 (i32.add (local.get 0) (i32.const 1))))
          (br 0))))"#;
    for module in modules(&engine, EPOCHS, text) {
        let mut store = Store::new(&engine, 0);
        let mut linker = Linker::new(&engine);
        let host = |mut caller: Caller<'_, i32>, round: i32| {
            *caller.data_mut() = round;
            match round {
                // Further away than the ticks of ten rounds, then here.
                ..10 => caller.as_context_mut().set_epoch_deadline(2),
                10 => caller.as_context_mut().set_epoch_deadline(1),
                _ => panic!("round {round} is behind the deadline"),
            }
            caller.engine().increment_epoch();
        };
        linker.func_wrap("host", "host", host).expect("a new name");
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        store.set_epoch_deadline(1);
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").expect("a function");
        assert_eq!(trap(&f.call(&mut store, ()).expect_err("no end")), Trap::Interrupt);
        assert_eq!(*store.data(), 10);
    }
}

#[test]
fn what_is_soon_over_is_not_interrupted() {
    let engine = engine(EPOCHS);
    let text = r#"(module
      (func (export "leaf") (result i32) (i32.const 1))
      (func (export "short") (result i32) (local i32 i32)
        (loop
          (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (br_if 0 (i32.ne (i32.const 10) (local.tee 0 (i32.add (local.get 0) (i32.const 1))))))
        (local.get 1))
      (func (export "down") (result i32) (local i32 i32)
        (local.set 0 (i32.const 10))
        (loop
          (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (br_if 0 (local.tee 0 (i32.add (local.get 0) (i32.const -1)))))
        (local.get 1))
      (func (export "long") (result i32) (local i32)
        (loop
          (br_if 0
            (i32.ne (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000))))
        (local.get 0))
      (func $nothing)
      (func (export "calls") (result i32) (call $nothing) (i32.const 1)))"#;
    let expected =
        [("leaf", Some(1)), ("short", None), ("down", Some(55)), ("long", None), ("calls", None)];
    for module in modules(&engine, EPOCHS, text) {
        // The deadline has passed.
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        for (name, expected) in expected {
            let f = instance.get_typed_func::<(), i32>(&mut store, name).expect("a function");
            match (f.call(&mut store, ()), expected) {
                (found, Some(expected)) => assert_eq!(found.expect("no check"), expected, "{name}"),
                (found, None) => {
                    assert_eq!(trap(&found.expect_err(name)), Trap::Interrupt, "{name}")
                }
            }
        }
    }
}

/// A thread that begins epochs until it is dropped.
struct Ticker {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn ticker(engine: &Engine) -> Ticker {
    let is_over = Arc::new(AtomicBool::new(false));
    let (engine, is_over_too) = (engine.clone(), is_over.clone());
    let thread = std::thread::spawn(move || {
        while !is_over_too.load(Ordering::Relaxed) {
            engine.increment_epoch();
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    Ticker { is_over, thread: Some(thread) }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

#[test]
fn engines_can_be_known_without_being_kept() {
    let engine = Engine::default();
    let weak = engine.weak();
    assert!(Engine::same(&engine, &weak.upgrade().expect("it is there")));
    drop(engine);
    assert!(weak.upgrade().is_none());
}

// Yielding.

#[cfg(feature = "async")]
mod yielding {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ROUNDS: &str = r#"(module (func (export "f") (param i32) (result i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 7)))"#;

    /// Polls until it is ready; how often it was not.
    fn polls<R>(future: impl Future<Output = R>) -> (R, u32) {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        let mut pending = 0;
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => return (result, pending),
                Poll::Pending => pending += 1,
            }
        }
    }

    #[test]
    fn fuel_yields() {
        let engine = engine(FUEL);
        for module in modules(&engine, FUEL, ROUNDS) {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let f = instance.get_typed_func::<i32, i32>(&mut store, "f").expect("a function");
            store.set_fuel(1_000_000).expect("fuel is configured");
            assert_eq!(
                chain(store.fuel_async_yield_interval(Some(0))),
                "fuel_async_yield_interval must not be 0"
            );
            store.fuel_async_yield_interval(Some(1000)).expect("fuel is configured");
            // Five units a round.
            let (result, pending) = polls(f.call_async(&mut store, 20_000));
            assert_eq!(result.expect("enough fuel"), 7);
            // A loop's head is where it yields, up to four units later.
            assert_eq!(pending, 99);
            assert_eq!(store.get_fuel().expect("fuel is configured"), 1_000_000 - 100_002);
            // It ends all the same.
            let (result, pending) = polls(f.call_async(&mut store, i32::MAX));
            assert_eq!(trap(&result.expect_err("no fuel")), Trap::OutOfFuel);
            assert!(pending > 800, "{pending}");
            let text = "store configuration requires that `*_async` functions are used instead";
            assert_eq!(chain(f.call(&mut store, 1)), text);
        }
    }

    #[test]
    fn epochs_yield() {
        let engine = engine(EPOCHS);
        for module in modules(&engine, EPOCHS, ROUNDS) {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let f = instance.get_typed_func::<i32, i32>(&mut store, "f").expect("a function");
            store.epoch_deadline_async_yield_and_update(1);
            let (result, pending) = polls(f.call_async(&mut store, 1000));
            assert_eq!((result.expect("no trap"), pending), (7, 1));
            let text = "store configuration requires that `*_async` functions are used instead";
            assert_eq!(chain(f.call(&mut store, 1)), text);
            // A future of the host's, which begins epochs.
            let ticking = engine.clone();
            store.epoch_deadline_callback(move |_| {
                let (engine, mut rounds) = (ticking.clone(), 0);
                Ok(UpdateDeadline::YieldCustom(
                    1,
                    Box::pin(std::future::poll_fn(move |_| {
                        engine.increment_epoch();
                        rounds += 1;
                        if rounds == 3 { Poll::Ready(()) } else { Poll::Pending }
                    })),
                ))
            });
            engine.increment_epoch();
            let (result, pending) = polls(f.call_async(&mut store, 1000));
            assert_eq!((result.expect("no trap"), pending), (7, 2));
        }
    }

    #[test]
    fn a_call_is_dropped_while_it_yields() {
        let engine = engine(BOTH);
        for module in modules(&engine, BOTH, ENDLESS) {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let endless =
                instance.get_typed_func::<(), ()>(&mut store, "loop").expect("a function");
            store.set_fuel(1 << 40).expect("fuel is configured");
            store.fuel_async_yield_interval(Some(1000)).expect("fuel is configured");
            store.epoch_deadline_async_yield_and_update(1);
            let mut context = Context::from_waker(Waker::noop());
            {
                let mut future = pin!(endless.call_async(&mut store, ()));
                for _ in 0..10 {
                    assert!(future.as_mut().poll(&mut context).is_pending());
                }
            }
            // One of the ten was the deadline.
            let consumed = (1 << 40) - store.get_fuel().expect("fuel is configured");
            assert!((9_000..9_100).contains(&consumed), "{consumed}");
        }
    }
}
