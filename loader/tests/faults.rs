//! Which faults of compiled code are traps, and which are somebody else's.

use std::os::unix::process::ExitStatusExt;

use aotc_loader::{Engine, Instance, Memory, MemoryType, Module, Store, Trap, WasmBacktrace};

use crate::support::{child, explicit_image, image, in_child};

const MEMORIES: &str = r#"(module
  (import "host" "memory" (memory $imported 1))
  (memory $second 1)
  (func (export "imported") (param i32) (result i32) (i32.load $imported (local.get 0)))
  (func (export "imported far") (param i32) (result i32)
    (i32.load $imported offset=0x7fff0000 (local.get 0)))
  (func (export "second") (param i32) (result i32) (i32.load $second (local.get 0))))"#;

const OWN: &str = r#"(module
  (memory (export "memory") 4)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

const DEEP: &str = r#"(module
  (import "host" "capture" (func $capture))
  (func $down (export "down") (param i32)
    (if (i32.eqz (local.get 0)) (then (call $capture) (unreachable)))
    (call $down (i32.sub (local.get 0) (i32.const 1)))
    (drop (i32.const 0)))
  (func $ping (param i64) (call $pong (local.get 0)) (call $pong (i64.const 1)))
  (func $pong (param i64) (call $ping (local.get 0)) (call $ping (i64.const 1)))
  (func (export "endless") (call $ping (i64.const 0))))"#;

#[test]
fn accesses_behind_memories_trap() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(MEMORIES)).unwrap();
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let instance = Instance::new(&mut store, &module, &[memory.into()]).unwrap();
    for name in ["imported", "imported far", "second"] {
        let load = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        for index in [65533, 65536, 1 << 20, i32::MAX, i32::MIN, -1] {
            let error = load.call(&mut store, index).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{name}");
        }
    }
    let load = instance.get_typed_func::<i32, i32>(&mut store, "imported").unwrap();
    assert_eq!(load.call(&mut store, 65532).unwrap(), 0);
}

/// Loads from a page inside the memory that someone made inaccessible.
fn load_from_lost_page() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(OWN)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
    assert!(load.call(&mut store, 4 << 16).is_err());
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let page = memory.data_ptr(&store).wrapping_add(1 << 16);
    // SAFETY: pages of the memory, to which there is no reference.
    assert_eq!(unsafe { libc::mprotect(page.cast(), 4096, libc::PROT_NONE) }, 0);
    load.call(&mut store, 1 << 16).unwrap();
}

#[test]
fn fault_inside_memory_goes_to_previous_handler() {
    extern "C" fn handler(_signal: libc::c_int) {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(42) }
    }
    let output = child("faults::fault_inside_memory_goes_to_previous_handler", || {
        let handler: extern "C" fn(libc::c_int) = handler;
        // SAFETY: a handler that only ends the process.
        unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
        load_from_lost_page();
    });
    assert_eq!(output.and_then(|output| output.status.code()), Some(42));
}

#[test]
fn fault_inside_memory_ends_the_process() {
    let output = child("faults::fault_inside_memory_ends_the_process", || {
        // SAFETY: the default action.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        load_from_lost_page();
    });
    assert_eq!(output.and_then(|output| output.status.signal()), Some(libc::SIGSEGV));
}

/// Installs the loader's handlers over `previous`, and sends this process a fault's signal.
fn send_signal(previous: libc::sighandler_t) {
    // SAFETY: one of the two standard actions.
    unsafe { libc::signal(libc::SIGSEGV, previous) };
    let (mut store, instance) = {
        let engine = Engine::default();
        let module = Module::from_bytes(&engine, &image(OWN)).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        (store, instance)
    };
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
    assert_eq!(load.call(&mut store, 0).unwrap(), 0);
    // SAFETY: to this process itself.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGSEGV) }, 0);
}

#[test]
fn sent_signal_ends_the_process() {
    let output = child("faults::sent_signal_ends_the_process", || send_signal(libc::SIG_DFL));
    assert_eq!(output.and_then(|output| output.status.signal()), Some(libc::SIGSEGV));
}

#[test]
fn sent_signal_can_be_ignored() {
    in_child("faults::sent_signal_can_be_ignored", || send_signal(libc::SIG_IGN));
}

/// An instance of [`DEEP`], with a host function that keeps a backtrace.
fn deep(bytes: &[u8]) -> (Store<Option<WasmBacktrace>>, Instance) {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, bytes).unwrap();
    let mut linker = aotc_loader::Linker::new(&engine);
    linker
        .func_wrap(
            "host",
            "capture",
            |mut caller: aotc_loader::Caller<'_, Option<WasmBacktrace>>| {
                let backtrace = WasmBacktrace::capture(&caller);
                *caller.data_mut() = Some(backtrace);
            },
        )
        .unwrap();
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

#[test]
fn deep_backtraces_keep_the_youngest_frames() {
    for bytes in [image(DEEP), explicit_image(DEEP)] {
        let (mut store, instance) = deep(&bytes);
        let down = instance.get_typed_func::<i32, ()>(&mut store, "down").unwrap();
        for (depth, left_out) in [(10, 0), (63, 0), (64, 1), (1000, 937)] {
            let error = down.call(&mut store, depth).unwrap_err();
            let trap = error.downcast_ref::<WasmBacktrace>().unwrap();
            for backtrace in [trap, store.data().as_ref().unwrap()] {
                assert_eq!(backtrace.frames_left_out(), left_out, "depth {depth}");
                assert_eq!(backtrace.frames().len() + left_out, depth as usize + 1);
                assert!(backtrace.frames().iter().all(|frame| frame.func_name() == Some("down")));
                let said = backtrace.to_string().contains(&format!("{left_out} older frames"));
                assert_eq!(said, left_out > 0);
            }
        }
    }
}

#[test]
fn overflow_in_a_prologue_shows_the_caller() {
    for bytes in [image(DEEP), explicit_image(DEEP)] {
        let (mut store, instance) = deep(&bytes);
        let endless = instance.get_typed_func::<(), ()>(&mut store, "endless").unwrap();
        // Stacks of different sizes, so that they end at different instructions.
        for bytes in (0..24).map(|step| (1 << 20) + step * 4096) {
            let run = || {
                let error = endless.call(&mut store, ()).unwrap_err();
                assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
                let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
                assert!(backtrace.frames_left_out() > 100);
                let names: Vec<_> =
                    backtrace.frames().iter().map(|frame| frame.func_name().unwrap()).collect();
                // A function that calls another is never its own caller.
                assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
            };
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(bytes);
                thread.spawn_scoped(scope, run).unwrap().join().unwrap();
            });
        }
    }
}
