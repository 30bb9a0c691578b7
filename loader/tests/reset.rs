//! Resetting instances in place.

use aotc_loader::{
    Caller, Engine, Instance, Linker, Memory, MemoryType, Module, Ref, Store, Trap, Val,
};

use crate::pool::{EVERYTHING, check_and_write, pooled};
use crate::support::{explicit_image, image};

#[test]
fn everything_is_as_at_first() {
    let pool = pooled(|pool| {
        pool.max_tables_per_module(2).table_elements(100_000);
    });
    for engine in [Engine::default(), pool] {
        for bytes in [image(EVERYTHING), explicit_image(EVERYTHING)] {
            let module = Module::from_bytes(&engine, &bytes).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let neighbour = Instance::new(&mut store, &module, &[]).unwrap();
            let neighbours = neighbour.get_memory(&mut store, "memory").unwrap();
            neighbours.write(&mut store, 5, b"mine").unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            let number = instance.get_global(&mut store, "number").unwrap();
            let large = instance.get_table(&mut store, "large").unwrap();
            let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
            for round in 0..5 {
                check_and_write(&mut store, instance, round + 1);
                assert_eq!((memory.size(&store), large.size(&store)), (5, 70_003));
                instance.reset(&mut store).unwrap();
                // Handles are what they were.
                assert_eq!((memory.size(&store), large.size(&store)), (2, 70_000));
                assert_eq!(number.get(&mut store).unwrap_i64(), 7);
                assert_eq!(&memory.data(&store)[99..106], b"\0first\0");
                f.call(&mut store, ()).unwrap();
            }
            instance.reset(&mut store).unwrap();
            instance.reset(&mut store).unwrap();
            let mut bytes = [0; 4];
            neighbours.read(&store, 5, &mut bytes).unwrap();
            assert_eq!(&bytes, b"mine");
        }
    }
}

#[test]
fn imports_stay_and_the_start_function_runs_again() {
    let text = r#"(module
      (import "host" "started" (func $started (param i32)))
      (import "host" "memory" (memory $imported 1))
      (import "host" "table" (table $table 2 funcref))
      (import "host" "global" (global $global (mut i32)))
      (memory $own (export "own") 1 3)
      (global $count (export "count") (mut i32) (i32.const 0))
      (elem declare func $start)
      (data $passive "passive")
      (func $start (export "again")
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (memory.init $own $passive (i32.const 8) (i32.const 0) (i32.const 7))
        (data.drop $passive)
        (i32.store $imported (i32.const 0) (i32.add (i32.load $imported (i32.const 0)) (i32.const 1)))
        (table.set $table (i32.const 0) (ref.func $start))
        (global.set $global (i32.add (global.get $global) (i32.const 10)))
        (call $started (global.get $count)))
      (start $start))"#;
    let engine = Engine::default();
    for bytes in [image(text), explicit_image(text)] {
        let module = Module::from_bytes(&engine, &bytes).unwrap();
        let mut store = Store::new(&engine, Vec::new());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let ty = aotc_loader::TableType::new(aotc_loader::RefType::FUNCREF, 2, None);
        let table = aotc_loader::Table::new(&mut store, ty, Ref::Func(None)).unwrap();
        let ty =
            aotc_loader::GlobalType::new(aotc_loader::ValType::I32, aotc_loader::Mutability::Var);
        let global = aotc_loader::Global::new(&mut store, ty, Val::I32(0)).unwrap();
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "started", |mut caller: Caller<'_, Vec<i32>>, count: i32| {
                caller.data_mut().push(count);
            })
            .unwrap();
        linker.define(&store, "host", "memory", memory).unwrap();
        linker.define(&store, "host", "table", table).unwrap();
        linker.define(&store, "host", "global", global).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let count = instance.get_global(&mut store, "count").unwrap();
        let own = instance.get_memory(&mut store, "own").unwrap();
        for round in 2..6 {
            own.grow(&mut store, 1).unwrap();
            own.data_mut(&mut store).fill(1);
            count.set(&mut store, Val::I32(100)).unwrap();
            instance.reset(&mut store).unwrap();
            assert_eq!(count.get(&mut store).unwrap_i32(), 1);
            assert_eq!(own.size(&store), 1);
            assert_eq!(&own.data(&store)[7..16], b"\0passive\0");
            // What is imported keeps what it has.
            assert_eq!(store.data()[..], vec![1; round as usize][..]);
            assert_eq!(memory.data(&store)[0], round);
            assert_eq!(global.get(&mut store).unwrap_i32(), 10 * i32::from(round));
        }
        // What the table got is still the function.
        let again = table.get(&mut store, 0).unwrap();
        let Ref::Func(Some(again)) = again else { panic!("{again:?}") };
        let error = again.call(&mut store, &[], &mut []).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    }
}

#[test]
fn running_instances_are_not_reset() {
    let text = r#"(module (import "host" "reset" (func $reset)) (memory (export "memory") 1)
      (func (export "run") (result i32)
        (i32.store (i32.const 0) (i32.const 5)) (call $reset) (i32.load (i32.const 0))))"#;
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(text)).unwrap();
    let mut linker = Linker::<Option<Instance>>::new(&engine);
    linker
        .func_wrap("host", "reset", |mut caller: Caller<'_, Option<Instance>>| {
            let instance = caller.data().unwrap();
            let error = instance.reset(&mut caller).unwrap_err();
            assert!(error.to_string().contains("on the stack"), "{error}");
        })
        .unwrap();
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    *store.data_mut() = Some(instance);
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 5);
    instance.reset(&mut store).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(memory.data(&store)[0], 0);
}

#[test]
fn instances_that_trapped_can_be_reset() {
    let text = r#"(module
      (import "host" "limit" (global $limit (mut i32)))
      (memory (export "memory") 1)
      (func $start (if (i32.eqz (global.get $limit)) (then unreachable)))
      (func (export "trap") (i32.store (i32.const 4) (i32.const 4)) unreachable)
      (start $start))"#;
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(text)).unwrap();
    let mut store = Store::new(&engine, ());
    let ty = aotc_loader::GlobalType::new(aotc_loader::ValType::I32, aotc_loader::Mutability::Var);
    let limit = aotc_loader::Global::new(&mut store, ty, Val::I32(1)).unwrap();
    let instance = Instance::new(&mut store, &module, &[limit.into()]).unwrap();
    let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    for _ in 0..3 {
        assert!(trap.call(&mut store, ()).is_err());
        assert_eq!(memory.data(&store)[4], 4);
        // The start function traps: the reset says so, and can be repeated.
        limit.set(&mut store, Val::I32(0)).unwrap();
        let error = instance.reset(&mut store).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        limit.set(&mut store, Val::I32(1)).unwrap();
        instance.reset(&mut store).unwrap();
        assert_eq!(memory.data(&store)[4], 0);
    }
}

#[test]
#[should_panic(expected = "wrong store")]
fn instances_of_other_stores_are_not_reset() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image("(module)")).unwrap();
    let instance = Instance::new(Store::new(&engine, ()), &module, &[]).unwrap();
    let _ = instance.reset(Store::new(&engine, ()));
}
