//! Memories that the embedder makes.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use aotc_loader::{
    Config, Engine, Instance, LinearMemory, Memory, MemoryCreator, MemoryType, Module, Store, Trap,
};

use crate::support::{explicit_image, image};

/// Memories on the heap, counted. It has none with reserved addresses.
#[derive(Default)]
struct Heap {
    made: AtomicUsize,
    alive: Arc<AtomicUsize>,
    /// Makes memories of another size than was asked for.
    wrong: bool,
}

struct HeapMemory {
    pointer: *mut u8,
    bytes: usize,
    alive: Arc<AtomicUsize>,
}

// SAFETY: the pointer is its own.
unsafe impl Send for HeapMemory {}
// SAFETY: as above.
unsafe impl Sync for HeapMemory {}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes.max(16), 16).unwrap()
}

impl HeapMemory {
    fn new(bytes: usize, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        // SAFETY: not empty.
        let pointer = unsafe { alloc_zeroed(layout(bytes)) };
        Self { pointer, bytes, alive: alive.clone() }
    }
}

impl Drop for HeapMemory {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.pointer, layout(self.bytes)) };
    }
}

// SAFETY: the memories' own bytes, on the heap.
unsafe impl MemoryCreator for Heap {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        _guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        assert_eq!(ty.minimum() << 16, minimum as u64);
        assert_eq!(ty.maximum().map(|pages| (pages << 16) as usize), maximum);
        if reserved_size_in_bytes.is_some() {
            return Err("no addresses are reserved here".to_owned());
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        let bytes = if self.wrong { minimum / 2 } else { minimum };
        Ok(Box::new(HeapMemory::new(bytes, &self.alive)))
    }
}

// SAFETY: as above.
unsafe impl LinearMemory for HeapMemory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        self.bytes
    }

    fn grow_to(&mut self, new_size: usize) -> Result<()> {
        anyhow::ensure!(new_size <= 10 << 16, "the heap is full");
        let grown = Self::new(new_size, &self.alive);
        // SAFETY: both have so many bytes.
        unsafe { grown.pointer.copy_from_nonoverlapping(self.pointer, self.bytes) };
        *self = grown;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.pointer
    }
}

const TEXT: &str = r#"(module
  (memory (export "memory") 1 20)
  (data (i32.const 8) "\07")
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

#[test]
fn memories_of_modules_with_explicit_bounds() {
    let heap = Arc::new(Heap::default());
    let engine = Engine::new(Config::new().with_host_memory(heap.clone())).unwrap();
    let module = Module::from_bytes(&engine, &explicit_image(TEXT)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    assert_eq!(heap.made.load(Ordering::Relaxed), 1);
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
    let write = instance.get_typed_func::<(i32, i32), ()>(&mut store, "store").unwrap();
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
    assert_eq!(load.call(&mut store, 8).unwrap(), 7);
    write.call(&mut store, (65_535, 9)).unwrap();
    let error = load.call(&mut store, 65_536).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    assert_eq!(grow.call(&mut store, 4).unwrap(), 1);
    assert_eq!(load.call(&mut store, 65_535).unwrap(), 9);
    assert_eq!(load.call(&mut store, 5 * 65_536 - 1).unwrap(), 0);
    // What the embedder refuses.
    assert_eq!(grow.call(&mut store, 6).unwrap(), -1);
    assert_eq!(instance.get_memory(&mut store, "memory").unwrap().size(&store), 5);
    instance.reset(&mut store).unwrap();
    assert_eq!(load.call(&mut store, 8).unwrap(), 7);
    assert!(load.call(&mut store, 65_536).is_err());
    assert_eq!(heap.alive.load(Ordering::Relaxed), 1);
    drop(store);
    assert_eq!(heap.alive.load(Ordering::Relaxed), 0);
}

#[test]
fn memories_of_the_host() {
    let heap = Arc::new(Heap::default());
    let engine = Engine::new(Config::new().with_host_memory(heap.clone())).unwrap();
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(2, None)).unwrap();
    memory.write(&mut store, 100, &[1, 2, 3]).unwrap();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 2);
    assert_eq!(memory.data(&store)[100..103], [1, 2, 3]);
    assert_eq!(heap.made.load(Ordering::Relaxed), 1);
    // Code that relies on a guard does not get one that has none.
    let text = r#"(module (import "host" "memory" (memory 1)))"#;
    let module = Module::from_bytes(&engine, &image(text)).unwrap();
    let error = Instance::new(&mut store, &module, &[memory.into()]).unwrap_err().to_string();
    assert!(error.contains("incompatible import type"), "{error}");
}

#[test]
fn memories_that_are_not_as_asked_for_are_refused() {
    let heap = Arc::new(Heap { wrong: true, ..Heap::default() });
    let engine = Engine::new(Config::new().with_host_memory(heap.clone())).unwrap();
    let mut store = Store::new(&engine, ());
    let error = Memory::new(&mut store, MemoryType::new(2, None)).unwrap_err().to_string();
    assert!(error.starts_with("the embedder made a memory of 65536 bytes"), "{error}");
    let module = Module::from_bytes(&engine, &explicit_image(TEXT)).unwrap();
    assert!(Instance::new(&mut store, &module, &[]).is_err());
    assert_eq!(heap.alive.load(Ordering::Relaxed), 0);
}

#[test]
fn the_first_memory_of_guarded_modules_is_the_engines() {
    let heap = Arc::new(Heap::default());
    let engine = Engine::new(Config::new().with_host_memory(heap.clone())).unwrap();
    let module = Module::from_bytes(&engine, &image(TEXT)).unwrap();
    let mut store = Store::new(&engine, ());
    Instance::new(&mut store, &module, &[]).unwrap();
    assert_eq!(heap.made.load(Ordering::Relaxed), 0);
    let two = r#"(module (memory 1) (memory 1) (func (drop (i32.load 1 (i32.const 0)))))"#;
    let module = Module::from_bytes(&engine, &image(two)).unwrap();
    let error = Instance::new(&mut store, &module, &[]).unwrap_err().to_string();
    assert_eq!(error, "failed to create a memory: no addresses are reserved here");
}
