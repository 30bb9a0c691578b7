//! Instances and their exports, modules matched once, and their misuse.

use std::collections::HashSet;

use anyhow::Result;
use aotc_loader::{
    Engine, ExternType, Instance, LinkError, Linker, Memory, MemoryType, Module, Store, Trap,
};

use crate::support::{chain, module, panic_text};

const ALL_KINDS: &str = r#"(module
  (func (export "func") (result i32) (i32.const 1))
  (table (export "table") 2 funcref)
  (memory (export "memory") 3)
  (global (export "global") i32 (i32.const 4))
  (func (export "other") (param f32)))"#;

#[test]
fn exports() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = module(&engine, ALL_KINDS);
    let instance = Instance::new(&mut store, &module, &[])?;
    assert!(Module::same(instance.module(&store), &module));
    let exports = instance.exports(&mut store);
    assert_eq!(exports.len(), 5);
    let exports: Vec<_> = exports.map(|export| (export.name().to_owned(), export)).collect();
    let names: Vec<&str> = exports.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["func", "table", "memory", "global", "other"]);
    let exports: Vec<_> = exports.into_iter().map(|(_, export)| export.into_extern()).collect();
    for (export, expected) in exports.iter().zip(module.exports()) {
        assert_eq!(export.ty(&store), expected.ty());
    }
    assert_eq!(instance.get_memory(&mut store, "memory").expect("a memory").size(&store), 3);
    assert_eq!(instance.get_table(&mut store, "table").expect("a table").size(&store), 2);
    let global = instance.get_global(&mut store, "global").expect("a global");
    assert_eq!(global.get(&mut store).unwrap_i32(), 4);
    // Another kind, or nothing.
    assert!(instance.get_memory(&mut store, "func").is_none());
    assert!(instance.get_table(&mut store, "memory").is_none());
    assert!(instance.get_global(&mut store, "table").is_none());
    assert!(instance.get_func(&mut store, "global").is_none());
    assert!(instance.get_export(&mut store, "nothing").is_none());
    for export in instance.exports(&mut store) {
        let is = [
            export.clone().into_func().is_some(),
            export.clone().into_table().is_some(),
            export.clone().into_memory().is_some(),
            export.into_global().is_some(),
        ];
        assert_eq!(is.iter().filter(|is| **is).count(), 1);
    }
    Ok(())
}

#[test]
fn typed_functions_fail_in_two_ways() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, ALL_KINDS), &[])?;
    let func = instance.get_typed_func::<(), i32>(&mut store, "func")?;
    assert_eq!(func.call(&mut store, ())?, 1);
    for name in ["nothing", "memory"] {
        let text = chain(instance.get_typed_func::<(), i32>(&mut store, name).map(|_| ()));
        assert_eq!(text, format!("failed to find function export `{name}`"));
    }
    assert_eq!(
        chain(instance.get_typed_func::<i32, i64>(&mut store, "func").map(|_| ())),
        "failed to convert function `func` to given type: type mismatch: expected (func (param i32) (result i64)), found (func (result i32))"
    );
    Ok(())
}

#[test]
fn handles_without_names() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let (ours, same_text) = (module(&engine, ALL_KINDS), module(&engine, ALL_KINDS));
    let instances =
        [Instance::new(&mut store, &ours, &[])?, Instance::new(&mut store, &ours.clone(), &[])?];
    assert!(ours.get_export_index("nothing").is_none());
    for export in ours.exports() {
        let index = ours.get_export_index(export.name()).expect("an export");
        for instance in instances {
            let found = instance.get_module_export(&mut store, &index).expect("of its module");
            assert_eq!(found.ty(&store), export.ty());
        }
        let other = Instance::new(&mut store, &same_text, &[])?;
        assert!(other.get_module_export(&mut store, &index).is_none());
    }
    let memory = ours.get_export_index("memory").expect("an export");
    let memories = instances.map(|instance| {
        let memory = instance.get_module_export(&mut store, &memory).and_then(|e| e.into_memory());
        memory.expect("a memory")
    });
    memories[0].write(&mut store, 0, b"a")?;
    assert_eq!((memories[0].data(&store)[0], memories[1].data(&store)[0]), (b'a', 0));
    Ok(())
}

#[test]
fn handles_are_values() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = module(&engine, ALL_KINDS);
    let a = Instance::new(&mut store, &module, &[])?;
    let b = Instance::new(&mut store, &module, &[])?;
    let copy = a;
    assert_eq!(a, copy);
    assert_ne!(a, b);
    assert_eq!(HashSet::from([a, b, copy]).len(), 2);
    let mut other = Store::new(&engine, ());
    assert_ne!(Instance::new(&mut other, &module, &[])?, a);
    assert_eq!(size_of::<Instance>(), 16);
    assert!(format!("{a:?}").starts_with("Instance {"));
    let wrong = "object used with the wrong store";
    let index = module.get_export_index("func").expect("an export");
    assert_eq!(panic_text(|| _ = a.module(&other)), wrong);
    assert_eq!(panic_text(|| _ = a.exports(&mut other).len()), wrong);
    assert_eq!(panic_text(|| _ = a.get_export(&mut other, "func")), wrong);
    assert_eq!(panic_text(|| _ = a.get_module_export(&mut other, &index)), wrong);
    assert_eq!(panic_text(|| _ = a.get_typed_func::<(), i32>(&mut other, "func")), wrong);
    Ok(())
}

#[test]
fn imports_are_counted_first() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let module = module(&engine, r#"(module (import "m" "a" (memory 1)) (import "m" "b" (func)))"#);
    let theirs = Memory::new(&mut other, MemoryType::new(1, None))?;
    let error = Instance::new(&mut store, &module, &[theirs.into()]).expect_err("an error");
    assert!(matches!(error.downcast_ref(), Some(LinkError::ImportCount { expected: 2, found: 1 })));
    assert_eq!(error.to_string(), "expected 2 imports, found 1");
    let error =
        Instance::new(&mut store, &module, &[theirs.into(), theirs.into()]).expect_err("an error");
    assert_eq!(
        error.to_string(),
        "cross-store instantiation is not supported: what is given to `m::a` belongs to another store"
    );
    let ours = Memory::new(&mut store, MemoryType::new(1, None))?;
    assert_eq!(
        chain(Instance::new(&mut store, &module, &[ours.into(), ours.into()])),
        "incompatible import type for `m::b`: expected func `(func)`, found memory `(memory 1)`"
    );
    Ok(())
}

#[test]
fn prepared_instances() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "one", || 1)?;
    let text = r#"(module (import "host" "one" (func $one (result i32)))
      (global $count (mut i32) (i32.const 0))
      (func (export "count") (result i32)
        (global.set $count (i32.add (global.get $count) (call $one))) (global.get $count)))"#;
    let module = module(&engine, text);
    let pre = linker.instantiate_pre(&module)?;
    assert!(Module::same(pre.module(), &module));
    drop(linker);
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        for _ in 0..3 {
            let instance = pre.clone().instantiate(&mut store)?;
            let count = instance.get_typed_func::<(), i32>(&mut store, "count")?;
            assert_eq!((count.call(&mut store, ())?, count.call(&mut store, ())?), (1, 2));
        }
    }
    Ok(())
}

#[test]
fn what_a_failed_start_did_stays() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    let text = r#"(module (import "m" "memory" (memory 1))
      (func $start (i32.store (i32.const 0) (i32.const 77)) unreachable) (start $start))"#;
    let error = Instance::new(&mut store, &module(&engine, text), &[memory.into()])
        .expect_err("the start function traps");
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(memory.data(&store)[0], 77);
    // The store is as good as before.
    Instance::new(&mut store, &module(&engine, ALL_KINDS), &[])?;
    Ok(())
}

#[test]
fn an_exported_start_is_not_the_start_function() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = module(&engine, r#"(module (func (export "_start") unreachable))"#);
    Instance::new(&mut store, &module, &[])?;
    assert!(matches!(module.get_export("_start"), Some(ExternType::Func(_))));
    Ok(())
}

/// Whoever makes instances on whatever thread, nothing is left when all handles are gone.
#[test]
fn an_engine_ends_with_its_handles() -> Result<()> {
    let engine = Engine::default();
    let weak = engine.weak();
    let text = r#"(module (import "host" "f" (func)) (memory 1) (func (export "f") (call 0)))"#;
    let module = module(&engine, text);
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "f", || {})?;
    let pre = linker.instantiate_pre(&module)?;
    let run = |engine: &Engine| -> Result<()> {
        let mut store = Store::new(engine, ());
        let instance = pre.instantiate(&mut store)?;
        instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())?;
        assert!(Module::same(instance.module(&store), &module));
        assert!(Engine::same(store.engine(), engine));
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..40).map(|_| scope.spawn(|| (0..10).try_for_each(|_| run(&engine)))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })?;
    let last = Store::new(&engine, ());
    drop((engine, module, linker, pre));
    assert!(weak.upgrade().is_some());
    drop(last);
    assert!(weak.upgrade().is_none());
    Ok(())
}
