//! Calls that are suspended: by hand, and by an executor that moves them between threads.

use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use aotc_loader::{
    Caller, Config, Engine, Func, FuncType, Instance, Linker, Module, StackCreator, StackMemory,
    Store, Trap, Val, ValType, WasmBacktrace,
};

use crate::support::{explicit_image, image};

/// Waits once, then goes on.
#[derive(Default)]
struct Once {
    waited: bool,
}

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls until it is ready; how often it was not.
fn drive<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for pending in 0.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return (output, pending);
        }
    }
    unreachable!("more polls than there are numbers")
}

const WAITS: &str = r#"(module
  (import "host" "wait" (func $wait (param i32) (result i32)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (type $none (func))
  (func (export "plain") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "once") (param i32) (result i32) (i32.add (call $wait (local.get 0)) (i32.const 1)))
  (func (export "sum") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (call $wait (local.get 0))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func $unreachable (export "unreachable") (drop (call $wait (i32.const 1))) (unreachable))
  (func (export "load") (param i32) (result i32)
    (drop (call $wait (i32.const 1)))
    (i32.load (local.get 0)))
  (func (export "divide") (param i32) (result i32)
    (i32.div_s (call $wait (i32.const 1)) (local.get 0)))
  (func $deep (export "deep") (param i64)
    (if (i64.eqz (local.get 0)) (then (drop (call $wait (i32.const 1)))))
    (call $deep (i64.add (local.get 0) (i64.const 1)))
    (call $deep (i64.const 1))))"#;

type Waiting<'a> = Box<dyn Future<Output = Result<i32>> + Send + 'a>;

/// A linker whose `host.wait` waits once and gives its parameter back.
fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "wait", |_: Caller<'_, ()>, (value,): (i32,)| -> Waiting<'_> {
            Box::new(async move {
                Once::default().await;
                Ok(value)
            })
        })
        .unwrap();
    linker
}

fn waits(bytes: &[u8]) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, bytes).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = drive(linker(&engine).instantiate_async(&mut store, &module)).0.unwrap();
    (store, instance)
}

#[test]
fn calls_wait() {
    for bytes in [image(WAITS), explicit_image(WAITS)] {
        let (mut store, instance) = waits(&bytes);
        for (name, parameter, expected, pending) in
            [("plain", 1, 2, 0), ("once", 5, 6, 1), ("sum", 10, 55, 10)]
        {
            let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            let (result, times) = drive(func.call_async(&mut store, parameter));
            assert_eq!((result.unwrap(), times), (expected, pending), "{name}");
            let mut results = [Val::I32(0)];
            let params = [Val::I32(parameter)];
            let (result, times) = drive(func.func().call_async(&mut store, &params, &mut results));
            result.unwrap();
            assert_eq!((results[0].unwrap_i32(), times), (expected, pending), "{name}");
        }
    }
}

#[test]
fn traps_after_a_wait() {
    for bytes in [image(WAITS), explicit_image(WAITS)] {
        let (mut store, instance) = waits(&bytes);
        let func = instance.get_typed_func::<(), ()>(&mut store, "unreachable").unwrap();
        for _ in 0..3 {
            let (result, times) = drive(func.call_async(&mut store, ()));
            let error = result.unwrap_err();
            assert_eq!((error.downcast_ref(), times), (Some(&Trap::UnreachableCodeReached), 1));
            let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
            let names: Vec<_> = backtrace.frames().iter().map(|frame| frame.func_name()).collect();
            assert_eq!(names, [Some("unreachable")]);
        }
        for (name, parameter, trap) in
            [("load", -1, Trap::MemoryOutOfBounds), ("divide", 0, Trap::IntegerDivisionByZero)]
        {
            let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            let error = drive(func.call_async(&mut store, parameter)).0.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&trap), "{name}");
        }
        let func = instance.get_typed_func::<i64, ()>(&mut store, "deep").unwrap();
        for _ in 0..3 {
            let error = drive(func.call_async(&mut store, 0)).0.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        }
    }
}

#[test]
fn fibers_move_between_threads() {
    for bytes in [image(WAITS), explicit_image(WAITS)] {
        let (mut store, instance) = waits(&bytes);
        let sum = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
        let unreachable = instance.get_typed_func::<(), ()>(&mut store, "unreachable").unwrap();
        let mut future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            assert_eq!(sum.call_async(&mut store, 20).await.unwrap(), 210);
            let error = unreachable.call_async(&mut store, ()).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
            assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        });
        // Every poll on a thread that has never run compiled code.
        for _ in 0..21 {
            future = thread::spawn(move || {
                let mut context = Context::from_waker(Waker::noop());
                assert!(future.as_mut().poll(&mut context).is_pending());
                future
            })
            .join()
            .unwrap();
        }
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

/// Counts how many of it there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

const NESTED: &str = r#"(module
  (import "host" "again" (func $again (param i32)))
  (func (export "run") (param i32) (call $again (local.get 0)))
  (func (export "start") (param i32) (call $again (local.get 0)) (unreachable)))"#;

/// An instance of [`NESTED`] whose host function calls `run` with one less, and waits at 0. Every level holds a
/// [`Counted`].
fn nested(counter: &Arc<AtomicUsize>) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(NESTED)).unwrap();
    let mut linker = Linker::new(&engine);
    let counter = counter.clone();
    linker
        .func_wrap_async("host", "again", move |mut caller: Caller<'_, ()>, (depth,): (i32,)| {
            let counted = Counted::new(&counter);
            Box::new(async move {
                let _counted = counted;
                Once::default().await;
                if depth == 0 {
                    return Ok(());
                }
                let run = caller.get_export("run").unwrap().into_func().unwrap();
                let run = run.typed::<i32, ()>(&caller)?;
                run.call_async(&mut caller, depth - 1).await?;
                Once::default().await;
                anyhow::Ok(())
            })
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = drive(linker.instantiate_async(&mut store, &module)).0.unwrap();
    (store, instance)
}

#[test]
fn a_call_can_be_dropped_wherever_it_waits() {
    let counter = Arc::new(AtomicUsize::new(0));
    let (mut store, instance) = nested(&counter);
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    let (result, times) = drive(run.call_async(&mut store, 3));
    result.unwrap();
    assert_eq!(times, 7);
    assert_eq!(counter.load(Ordering::Relaxed), 0);
    for polls in 0..=times {
        {
            let mut future = pin!(run.call_async(&mut store, 3));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                assert!(future.as_mut().poll(&mut context).is_pending());
            }
            assert_eq!(counter.load(Ordering::Relaxed), polls.min(4).min(8 - polls) as usize);
        }
        assert_eq!(counter.load(Ordering::Relaxed), 0, "after {polls} polls");
        // The store goes on.
        drive(run.call_async(&mut store, 1)).0.unwrap();
    }
}

#[test]
fn a_dropped_call_ends_on_another_thread() {
    let counter = Arc::new(AtomicUsize::new(0));
    let (mut store, instance) = nested(&counter);
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    let mut future: Pin<Box<dyn Future<Output = Result<()>> + Send>> =
        Box::pin(async move { run.call_async(&mut store, 3).await });
    for _ in 0..3 {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(counter.load(Ordering::Relaxed), 3);
    thread::spawn(move || drop(future)).join().unwrap();
    assert_eq!(counter.load(Ordering::Relaxed), 0);
}

#[test]
fn nested_calls_have_one_backtrace() {
    let counter = Arc::new(AtomicUsize::new(0));
    let (mut store, instance) = nested(&counter);
    let start = instance.get_typed_func::<i32, ()>(&mut store, "start").unwrap();
    let error = drive(start.call_async(&mut store, 2)).0.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
}

#[test]
fn panics_reach_whoever_polls() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap_async("host", "wait", |_: Caller<'_, ()>, (value,): (i32,)| -> Waiting<'_> {
            Box::new(async move {
                Once::default().await;
                assert_ne!(value, 7, "a panic after a wait");
                Ok(value)
            })
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = drive(linker.instantiate_async(&mut store, &module)).0.unwrap();
    let once = instance.get_typed_func::<i32, i32>(&mut store, "once").unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drive(once.call_async(&mut store, 7)).0
    }));
    assert!(panic.unwrap_err().downcast_ref::<String>().unwrap().contains("a panic after a wait"));
    assert_eq!(drive(once.call_async(&mut store, 8)).0.unwrap(), 9);
}

#[test]
fn start_functions_wait() {
    let engine = Engine::default();
    let text = r#"(module (import "host" "wait" (func $wait (param i32) (result i32)))
      (global $set (export "set") (mut i32) (i32.const 0))
      (func $start (global.set $set (call $wait (i32.const 5))))
      (start $start))"#;
    let module = Module::from_bytes(&engine, &image(text)).unwrap();
    let mut store = Store::new(&engine, ());
    let linker = linker(&engine);
    let (instance, times) = drive(linker.instantiate_async(&mut store, &module));
    let set = instance.unwrap().get_global(&mut store, "set").unwrap();
    assert_eq!((set.get(&mut store).unwrap_i32(), times), (5, 1));
    let pre = linker.instantiate_pre(&module).unwrap();
    assert_eq!(drive(pre.instantiate_async(&mut store)).1, 1);
    let wait = linker.get(&mut store, "host", "wait").unwrap();
    assert_eq!(drive(Instance::new_async(&mut store, &module, &[wait])).1, 1);
    // Dropped in the middle of the start function.
    {
        let mut future = pin!(pre.instantiate_async(&mut store));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drive(pre.instantiate_async(&mut store)).0.unwrap();
}

#[test]
fn commands_and_reactors_wait() {
    let engine = Engine::default();
    let mut linker = linker(&engine);
    let mut store = Store::new(&engine, ());
    let reactor = r#"(module (import "host" "wait" (func $wait (param i32) (result i32)))
      (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (call $wait (i32.const 4))))
      (func (export "ready") (result i32) (global.get $ready)))"#;
    let command = r#"(module (import "host" "wait" (func $wait (param i32) (result i32)))
      (func (export "_start") (drop (call $wait (i32.const 4)))))"#;
    let reactor = Module::from_bytes(&engine, &image(reactor)).unwrap();
    let command = Module::from_bytes(&engine, &image(command)).unwrap();
    let (defined, times) = drive(linker.module_async(&mut store, "reactor", &reactor));
    defined.unwrap();
    assert_eq!(times, 1);
    drive(linker.module_async(&mut store, "command", &command)).0.unwrap();
    let ready = linker.get(&mut store, "reactor", "ready").unwrap().into_func().unwrap();
    let ready = ready.typed::<(), i32>(&store).unwrap();
    assert_eq!(drive(ready.call_async(&mut store, ())).0.unwrap(), 4);
    let run = linker.get_default(&mut store, "command").unwrap();
    let (result, times) = drive(run.call_async(&mut store, &[], &mut []));
    result.unwrap();
    assert_eq!(times, 1);
}

#[test]
fn synchronous_calls_are_refused_where_something_may_wait() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let mut store = Store::new(&engine, ());
    let linker = linker(&engine);
    let refused = "store configuration requires that `*_async` functions are used instead";
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert_eq!(error.to_string(), refused);
    let mut store = Store::new(&engine, ());
    let pre = linker.instantiate_pre(&module).unwrap();
    assert_eq!(pre.instantiate(&mut store).unwrap_err().to_string(), refused);
    let instance = drive(pre.instantiate_async(&mut store)).0.unwrap();
    let plain = instance.get_typed_func::<i32, i32>(&mut store, "plain").unwrap();
    assert_eq!(plain.call(&mut store, 1).unwrap_err().to_string(), refused);
    let untyped = plain.func().call(&mut store, &[Val::I32(1)], &mut [Val::I32(0)]);
    assert_eq!(untyped.unwrap_err().to_string(), refused);
    assert_eq!(drive(plain.call_async(&mut store, 1)).0.unwrap(), 2);

    let mut store = Store::new(&engine, ());
    let wait = Func::wrap_async(&mut store, |_: Caller<'_, ()>, (value,): (i32,)| {
        Box::new(async move { value })
    });
    let error = Instance::new(&mut store, &module, &[wait.into()]).unwrap_err();
    assert_eq!(error.to_string(), refused);
}

#[test]
fn synchronous_calls_on_a_fiber_do_not_wait() {
    let engine = Engine::default();
    let text = r#"(module (import "host" "call" (func $call (param i32) (result i32)))
      (func (export "inner") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "outer") (param i32) (result i32) (call $call (local.get 0))))"#;
    let module = Module::from_bytes(&engine, &image(text)).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker
        .func_wrap("host", "call", |mut caller: Caller<'_, ()>, value: i32| -> Result<i32> {
            let inner = caller.get_export("inner").unwrap().into_func().unwrap();
            inner.typed::<i32, i32>(&caller)?.call(&mut caller, value)
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let outer = instance.get_typed_func::<i32, i32>(&mut store, "outer").unwrap();
    assert_eq!(outer.call(&mut store, 1).unwrap(), 2);
    assert_eq!(drive(outer.call_async(&mut store, 1)).0.unwrap(), 2);
}

#[test]
fn dynamic_host_functions_wait() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let ty = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
    let mut linker = Linker::<u32>::new(&engine);
    linker
        .func_new_async("host", "wait", ty.clone(), |mut caller, params, results| {
            Box::new(async move {
                Once::default().await;
                *caller.data_mut() += 1;
                if params[0].unwrap_i32() == 0 {
                    bail!("nothing to wait for");
                }
                results[0] = Val::I32(params[0].unwrap_i32() * 2);
                Ok(())
            })
        })
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = drive(linker.instantiate_async(&mut store, &module)).0.unwrap();
    let once = instance.get_typed_func::<i32, i32>(&mut store, "once").unwrap();
    assert_eq!(drive(once.call_async(&mut store, 4)).0.unwrap(), 9);
    let error = drive(once.call_async(&mut store, 0)).0.unwrap_err();
    assert!(format!("{error:?}").contains("nothing to wait for"));
    assert_eq!(*store.data(), 2);
    let func = Func::new_async(&mut store, ty, |_, params, results| {
        Box::new(async move {
            Once::default().await;
            results[0] = params[0];
            Ok(())
        })
    });
    let mut results = [Val::I32(0)];
    let (result, times) = drive(func.call_async(&mut store, &[Val::I32(3)], &mut results));
    result.unwrap();
    assert_eq!((results[0].unwrap_i32(), times), (3, 1));
}

/// Stacks in the program's own memory.
struct Boxes(AtomicU32);

struct BoxedStack {
    base: usize,
    bytes: usize,
}

const PAGE: usize = 4096;

// SAFETY: the memory is the stack's alone, with a page below that is not accessible.
unsafe impl StackCreator for Boxes {
    fn new_stack(&self, size: usize, _zeroed: bool) -> Result<Box<dyn StackMemory>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let bytes = PAGE + size;
        // SAFETY: a new mapping, whose first page is made inaccessible.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base, PAGE, libc::PROT_NONE), 0);
            Ok(Box::new(BoxedStack { base: base as usize, bytes }))
        }
    }
}

// SAFETY: as above.
unsafe impl StackMemory for BoxedStack {
    fn range(&self) -> Range<usize> {
        self.base + PAGE..self.base + self.bytes
    }

    fn guard_range(&self) -> Range<usize> {
        self.base..self.base + PAGE
    }
}

impl Drop for BoxedStack {
    fn drop(&mut self) {
        // SAFETY: mapped above.
        unsafe { libc::munmap(self.base as *mut _, self.bytes) };
    }
}

#[test]
fn the_embedder_makes_stacks() {
    let boxes = Arc::new(Boxes(AtomicU32::new(0)));
    let mut config = Config::new();
    config.with_host_stack(boxes.clone()).async_stack_size(512 << 10);
    let engine = Engine::new(&config).unwrap();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = drive(linker(&engine).instantiate_async(&mut store, &module)).0.unwrap();
    let once = instance.get_typed_func::<i32, i32>(&mut store, "once").unwrap();
    for _ in 0..10 {
        assert_eq!(drive(once.call_async(&mut store, 4)).0.unwrap(), 5);
    }
    let deep = instance.get_typed_func::<i64, ()>(&mut store, "deep").unwrap();
    let error = drive(deep.call_async(&mut store, 0)).0.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
    assert_eq!(boxes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn stacks_that_are_too_small_are_refused() {
    let error = Engine::new(Config::new().async_stack_size(4096)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`async_stack_size` is 4096 bytes, and at least 262144 are needed"
    );
}

#[test]
fn a_thousand_calls_wait_at_once() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let pre = linker(&engine).instantiate_pre(&module).unwrap();
    let mut futures: Vec<Pin<Box<dyn Future<Output = i32>>>> = (0..1000)
        .map(|number| {
            let (engine, pre) = (engine.clone(), pre.clone());
            let future = async move {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate_async(&mut store).await.unwrap();
                let sum = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
                sum.call_async(&mut store, 2 + number % 3).await.unwrap()
            };
            Box::pin(future) as _
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    for future in &mut futures {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    for (number, future) in (0..).zip(&mut futures) {
        let number = 2 + number % 3;
        let result = drive(future.as_mut());
        assert_eq!(result, (number * (number + 1) / 2, number as u32 - 1));
    }
}

#[test]
fn tasks_of_an_executor_with_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(WAITS)).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap_async("host", "wait", |_: Caller<'_, ()>, (value,): (i32,)| -> Waiting<'_> {
            Box::new(async move {
                match value % 3 {
                    0 => tokio::time::sleep(Duration::from_micros(200)).await,
                    1 => tokio::task::yield_now().await,
                    _ => {}
                }
                Ok(value)
            })
        })
        .unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    let task = |number: i32| {
        let (engine, pre) = (engine.clone(), pre.clone());
        async move {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate_async(&mut store).await.unwrap();
            let sum = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
            let count = 1 + number % 20;
            assert_eq!(sum.call_async(&mut store, count).await.unwrap(), count * (count + 1) / 2);
            let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
            let error = load.call_async(&mut store, -1).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
            // Given up while it waits.
            let wait = sum.call_async(&mut store, 1_000_000);
            assert!(tokio::time::timeout(Duration::from_millis(2), wait).await.is_err());
            let deep = instance.get_typed_func::<i64, ()>(&mut store, "deep").unwrap();
            let error = deep.call_async(&mut store, 0).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        }
    };
    runtime.block_on(async {
        let tasks: Vec<_> = (0..200).map(|number| tokio::spawn(task(number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let (mut store, instance) = waits(&image(WAITS));
    let once = instance.get_typed_func::<i32, i32>(&mut store, "once").unwrap();
    is_send(&once.call_async(&mut store, 1));
    let mut results = [Val::I32(0)];
    is_send(&once.func().call_async(&mut store, &[Val::I32(1)], &mut results));
}
