//! Slots that are used again: nothing of an instance is left for the next.

use aotc_loader::{Engine, Instance, Module, Store, Val};

use crate::support::{image, in_child};

/// Bytes of memory, and what is in it at first.
const MEMORY_BYTES: usize = 40 << 16;
const PAGE_BYTES: usize = 4096;

/// `elements` is the size of a table, which is part of the context.
fn module(engine: &Engine, elements: u32) -> Module {
    let text = format!(
        r#"(module
  (memory (export "memory") 40 100)
  (data (i32.const 0) "first") (data (i32.const 4090) "over a boundary") (data (i32.const 20000) "last")
  (global (export "number") (mut i64) (i64.const 7))
  (table (export "table") {elements} funcref) (elem (i32.const 0) $f)
  (func $f (export "f")))"#
    );
    Module::from_bytes(engine, &image(&text)).unwrap()
}

fn expected() -> Vec<u8> {
    let mut bytes = vec![0; MEMORY_BYTES];
    for (at, text) in [(0, "first"), (4090, "over a boundary"), (20000, "last")] {
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    bytes
}

/// Checks that an instance is as new, writes to the pages of its memory for which `writes` holds, and to all else
/// that can be written. Gives its address.
fn use_instance(module: &Module, grown: u64, writes: impl Fn(usize) -> bool) -> *mut u8 {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(memory.data(&store) == expected(), "memory differs");
    let number = instance.get_global(&mut store, "number").unwrap();
    assert_eq!(number.get(&mut store).unwrap_i64(), 7);
    let table = instance.get_table(&mut store, "table").unwrap();
    let first = table.get(&mut store, 0).unwrap();
    for index in 1..table.size(&store) {
        assert!(table.get(&mut store, index).unwrap().is_null(), "element {index}");
    }

    memory.grow(&mut store, grown).unwrap();
    for (page, bytes) in memory.data_mut(&mut store).chunks_mut(PAGE_BYTES).enumerate() {
        if writes(page) {
            bytes.fill(0xa5);
        }
    }
    number.set(&mut store, Val::I64(-1)).unwrap();
    let size = table.size(&store);
    table.fill(&mut store, 0, first, size).unwrap();
    memory.data_ptr(&store)
}

/// Which pages are written.
type Pattern = fn(usize) -> bool;

fn use_in_all_ways(elements: u32) {
    let engine = Engine::default();
    let module = module(&engine, elements);
    let address = use_instance(&module, 0, |_| false);
    let patterns: [(u64, Pattern); 12] = [
        (0, |page| page == 0),
        (0, |page| page < 2),
        (0, |_| false),
        (1, |_| false),
        (60, |_| true),
        (0, |page| page == 4 || page == 5 || page == 639),
        // More runs than the kernel is asked for, fewer pages than are kept.
        (0, |page| page < 200 && page % 2 == 0),
        // As many pages as are kept, and more.
        (0, |page| page < 256),
        (0, |page| page < 257),
        (3, |page| page > 600),
        (0, |_| true),
        (0, |page| page % 100 == 3),
    ];
    for (grown, writes) in patterns.into_iter().chain(patterns) {
        // It is the same slot each time.
        assert_eq!(use_instance(&module, grown, writes), address);
    }
    assert_eq!(use_instance(&module, 0, |_| false), address);
}

#[test]
fn nothing_is_left_in_small_contexts() {
    use_in_all_ways(3);
}

#[test]
fn nothing_is_left_in_large_contexts() {
    use_in_all_ways(60_000);
}

#[test]
fn nothing_is_left_after_a_fork() {
    in_child("slots::nothing_is_left_after_a_fork", || {
        let engine = Engine::default();
        let module = module(&engine, 3);
        use_instance(&module, 0, |page| page == 0);
        // SAFETY: the new process uses the loader, allocates, and ends; no other thread holds a lock of theirs.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        // Different pages on both sides: asking about the wrong process would leave some.
        let odd = usize::from(child == 0);
        let run = || {
            for round in 0..10 {
                use_instance(&module, 0, |page| page % 20 == 2 * round + odd);
            }
            use_instance(&module, 0, |_| false);
        };
        let passed = std::panic::catch_unwind(run).is_ok();
        if child == 0 {
            // SAFETY: ends the new process, without what the old one's test harness would do.
            unsafe { libc::_exit(if passed { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the process that was made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert!(passed);
        assert_eq!(status, 0);
    });
}
