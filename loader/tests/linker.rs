//! Linkers: definitions, what is missing, commands and reactors, and their misuse.

use anyhow::{Result, bail};
use aotc_loader::{
    Caller, Engine, Extern, ExternType, Func, FuncType, Global, GlobalType, Instance, LinkError,
    Linker, Memory, MemoryType, Mutability, RefType, Store, Table, TableType, UnknownImportError,
    Val, ValType,
};

use crate::support::{chain, module, panic_text};

const EMPTY: &str = "(module)";

#[test]
fn definitions_by_two_names() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 7);
    let mut linker = Linker::new(&engine);
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3)))?;
    linker.define(&store, "host", "memory", memory)?;
    linker.func_wrap("host", "data", |caller: Caller<'_, i32>| *caller.data())?;
    linker.alias("host", "data", "other", "number")?;
    linker.alias_module("host", "copy")?;
    let names: Vec<String> =
        linker.iter(&mut store).map(|(module, name, _)| format!("{module}::{name}")).collect();
    assert_eq!(
        names,
        ["copy::data", "copy::memory", "host::data", "host::memory", "other::number"]
    );
    for name in ["host", "copy"] {
        let data = linker.get(&mut store, name, "data")?.into_func().expect("a function");
        assert_eq!(data.typed::<(), i32>(&store)?.call(&mut store, ())?, 7);
        let found = linker.get(&mut store, name, "memory")?.into_memory().expect("a memory");
        assert_eq!(found.size(&store), 1);
    }
    let text = linker.get(&mut store, "host", "nothing");
    assert_eq!(chain(text), "missing definition for `host::nothing`");
    let text = linker.alias("a", "b", "c", "d").map(|_| ());
    assert_eq!(chain(text), "no item named `a::b` defined");
    assert!(format!("{linker:?}").contains("\"host::data\": Func"), "{linker:?}");
    Ok(())
}

#[test]
fn imports_are_found() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "one", || 1)?;
    let module = module(
        &engine,
        r#"(module (import "host" "one" (func (result i32))) (import "host" "two" (func)))"#,
    );
    let found: Vec<bool> = module
        .imports()
        .map(|import| linker.get_by_import(&mut store, &import).is_some())
        .collect();
    assert_eq!(found, [true, false]);
    for import in module.imports() {
        let found = linker.try_get_by_import(&mut store, &import)?;
        assert_eq!(found.is_some(), import.name() == "one");
    }
    Ok(())
}

#[test]
fn shadowing_is_a_switch() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "number", || 1)?;
    let error = linker.func_wrap("host", "number", || 2).map(drop).expect_err("an error");
    assert_eq!(error.to_string(), "import of `host::number` defined twice");
    assert!(matches!(error.downcast_ref(), Some(LinkError::DuplicateDefinition { .. })));
    assert!(linker.alias("host", "number", "host", "number").is_err());
    linker.allow_shadowing(true).func_wrap("host", "number", || 2)?;
    let number = linker.get(&mut store, "host", "number")?.into_func().expect("a function");
    assert_eq!(number.typed::<(), i32>(&store)?.call(&mut store, ())?, 2);
    linker.allow_shadowing(false);
    assert!(linker.func_wrap("host", "number", || 3).is_err());
    Ok(())
}

#[test]
fn missing_imports_name_what_there_is() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let missing = |linker: &Linker<()>, store: &mut Store<()>, module_name: &str, name: &str| {
        let text = format!(r#"(module (import "{module_name}" "{name}" (func (param i32))))"#);
        let module = module(store.engine(), &text);
        let error = linker.instantiate(&mut *store, &module).expect_err("an error");
        assert_eq!(error.to_string(), chain(linker.instantiate_pre(&module)));
        let unknown: &UnknownImportError = error.downcast_ref().expect("an unknown import");
        assert_eq!((unknown.module(), unknown.name()), (module_name, name));
        assert!(matches!(unknown.ty(), ExternType::Func(_)));
        let prefix = format!("unknown import: `{module_name}::{name}` has not been defined; ");
        let text = error.to_string();
        (
            text.strip_prefix(&prefix).expect("the prefix").to_owned(),
            unknown.similar().map(|(module, name)| format!("{module}::{name}")).collect::<Vec<_>>(),
        )
    };
    let (text, similar) = missing(&linker, &mut store, "host", "log");
    assert_eq!((&*text, similar.len()), ("nothing is defined", 0));
    for name in ["write", "read", "seek", "close"] {
        linker.func_wrap("wasi", name, || {})?;
    }
    linker.func_wrap("host", "write", || {})?;
    let (text, similar) = missing(&linker, &mut store, "wasi", "raed");
    assert_eq!(
        (&*text, &similar[..]),
        ("did you mean `wasi::read`?", &["wasi::read".to_owned()][..])
    );
    let (text, _) = missing(&linker, &mut store, "wsai", "seek");
    assert_eq!(text, "did you mean `wasi::seek`?");
    let (text, similar) = missing(&linker, &mut store, "env", "write");
    assert_eq!(text, "did you mean `host::write` or `wasi::write`?");
    assert_eq!(similar, ["host::write", "wasi::write"]);
    let (text, _) = missing(&linker, &mut store, "wasi", "path_open");
    assert_eq!(text, "module `wasi` has: `close`, `read`, `seek`, `write`");
    let (text, _) = missing(&linker, &mut store, "nowhere", "path_open");
    assert_eq!(text, "there is no module `nowhere`, but these: `host`, `wasi`");
    for number in 0..20 {
        linker.func_wrap("many", &format!("function{number:02}"), || {})?;
    }
    let (text, _) = missing(&linker, &mut store, "many", "x");
    assert!(text.ends_with("`function07`, 12 more"), "{text}");
    Ok(())
}

#[test]
fn mistyped_imports_say_both_types() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "func", |_: i32| 0i64)?;
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3)))?;
    let table = TableType::new(RefType::FUNCREF, 2, None);
    let table = table.default_value(&mut store)?;
    let global = GlobalType::new(ValType::I32, Mutability::Const).default_value(&mut store)?;
    linker
        .define(&store, "host", "memory", memory)?
        .define(&store, "host", "table", table)?
        .define(&store, "host", "global", global)?;
    let cases = [
        (
            "func",
            "(func (param i64) (result i64))",
            "types incompatible: expected type `(func (param i64) (result i64))`, found type `(func (param i32) (result i64))`",
        ),
        (
            "func",
            "(memory 1)",
            "expected memory `(memory 1)`, found func `(func (param i32) (result i64))`",
        ),
        ("memory", "(func)", "expected func `(func)`, found memory `(memory 1 3)`"),
        (
            "memory",
            "(memory 2)",
            "memory types incompatible: expected memory limits (min: 2, max: none), found memory limits (min: 1, max: 3)",
        ),
        (
            "memory",
            "(memory 1 2)",
            "memory types incompatible: expected memory limits (min: 1, max: 2), found memory limits (min: 1, max: 3)",
        ),
        (
            "table",
            "(table 1 5 funcref)",
            "table types incompatible: expected table limits (min: 1, max: 5), found table limits (min: 2, max: none)",
        ),
        (
            "table",
            "(table 1 externref)",
            "table types incompatible: expected table of type `externref`, found table of type `funcref`",
        ),
        (
            "global",
            "(global i64)",
            "global types incompatible: expected global of type `i64`, found global of type `i32`",
        ),
        (
            "global",
            "(global (mut i32))",
            "global types incompatible: expected mutable global, found immutable global",
        ),
        (
            "global",
            "(table 0 funcref)",
            "expected table `(table 0 funcref)`, found global `(global i32)`",
        ),
    ];
    for (name, ty, expected) in cases {
        let module = module(&engine, &format!(r#"(module (import "host" "{name}" {ty}))"#));
        let expected = format!("incompatible import type for `host::{name}`: {expected}");
        assert_eq!(chain(linker.instantiate(&mut store, &module)), expected);
        assert_eq!(chain(linker.instantiate_pre(&module)), expected);
        let item = linker.get(&mut store, "host", name)?;
        let error = Instance::new(&mut store, &module, &[item]).expect_err("an error");
        assert!(matches!(error.downcast_ref(), Some(LinkError::IncompatibleImport { .. })));
        assert_eq!(chain::<()>(Err(error)), expected);
    }
    Ok(())
}

#[test]
fn current_size_is_the_minimum() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    let func = Func::wrap(&mut store, || {});
    let table = TableType::new(RefType::FUNCREF, 1, None);
    let table = Table::new(&mut store, table, func.into())?;
    linker.define(&store, "host", "memory", memory)?.define(&store, "host", "table", table)?;
    let large = module(
        &engine,
        r#"(module (import "host" "memory" (memory 2)) (import "host" "table" (table 4 funcref)))"#,
    );
    assert!(linker.instantiate(&mut store, &large).is_err());
    memory.grow(&mut store, 1)?;
    assert!(chain(linker.instantiate(&mut store, &large)).contains("(min: 1, max: none)"));
    table.grow(&mut store, 3, aotc_loader::Ref::Func(None))?;
    linker.instantiate(&mut store, &large)?;
    Ok(())
}

#[test]
fn unknown_imports_as_traps() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "known", || 5)?;
    let module = module(
        &engine,
        r#"(module
          (import "host" "known" (func $known (result i32)))
          (import "host" "unknown" (func $unknown (param i32) (result i64)))
          (func (export "known") (result i32) (call $known))
          (func (export "unknown") (drop (call $unknown (i32.const 1)))))"#,
    );
    linker.define_unknown_imports_as_traps(&module)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let known = instance.get_typed_func::<(), i32>(&mut store, "known")?;
    assert_eq!(known.call(&mut store, ())?, 5);
    let unknown = instance.get_typed_func::<(), ()>(&mut store, "unknown")?;
    let error = unknown.call(&mut store, ()).expect_err("an error");
    let unknown: &UnknownImportError = error.downcast_ref().expect("the unknown import");
    assert_eq!((unknown.module(), unknown.name()), ("host", "unknown"));
    assert_eq!(unknown.ty().to_string(), "(func (param i32) (result i64))");
    Ok(())
}

#[test]
fn unknown_imports_that_are_not_functions_stay_unknown() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let module = module(
        &engine,
        r#"(module (import "host" "memory" (memory 1)) (import "host" "f" (func)))"#,
    );
    linker.define_unknown_imports_as_traps(&module)?;
    assert!(linker.get(&mut store, "host", "f").is_ok());
    let error = linker.instantiate(&mut store, &module).expect_err("an error");
    let unknown: &UnknownImportError = error.downcast_ref().expect("the unknown import");
    assert_eq!((unknown.name(), unknown.ty().to_string()), ("memory", "(memory 1)".to_owned()));
    Ok(())
}

#[test]
fn unknown_imports_as_default_values() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let module = module(
        &engine,
        r#"(module
          (import "host" "func" (func $func (param i32) (result i64 funcref f32)))
          (import "host" "memory" (memory 2 3))
          (import "host" "table" (table 4 externref))
          (import "host" "global" (global (mut i64)))
          (func (export "func") (result i64 funcref f32) (call $func (i32.const 1)))
          (func (export "sizes") (result i32 i32) (memory.size) (table.size 0)))"#,
    );
    linker.define_unknown_imports_as_default_values(&mut store, &module)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let func = instance.get_typed_func::<(), (i64, Option<Func>, f32)>(&mut store, "func")?;
    assert!(matches!(func.call(&mut store, ())?, (0, None, 0.0)));
    let sizes = instance.get_typed_func::<(), (i32, i32)>(&mut store, "sizes")?;
    assert_eq!(sizes.call(&mut store, ())?, (2, 4));
    let global = linker.get(&mut store, "host", "global")?.into_global().expect("a global");
    assert_eq!(global.get(&mut store).unwrap_i64(), 0);
    Ok(())
}

const COUNTER: &str = r#"(module
  (import "host" "count" (func $count (result i32)))
  (global $own (mut i32) (i32.const 0))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $count)) (global.set $own (i32.const 1)))
  (func (export "own") (result i32) (global.get $own)))"#;

#[test]
fn commands_are_instantiated_for_each_call() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "count", |mut caller: Caller<'_, i32>| {
        *caller.data_mut() += 1;
        *caller.data()
    })?;
    linker.module(&mut store, "command", &module(&engine, COUNTER))?;
    let start = linker.get_default(&mut store, "command")?.typed::<(), ()>(&store)?;
    start.call(&mut store, ())?;
    start.call(&mut store, ())?;
    assert_eq!(*store.data(), 2);
    let own = linker.get(&mut store, "command", "own")?.into_func().expect("a function");
    assert_eq!(own.typed::<(), i32>(&store)?.call(&mut store, ())?, 0);
    // Commands belong to no store.
    let mut other = Store::new(&engine, 10);
    linker.get_default(&mut other, "command")?.call(&mut other, &[], &mut [])?;
    assert_eq!(*other.data(), 11);
    Ok(())
}

#[test]
fn reactors_are_instantiated_once() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let reactor = module(
        &engine,
        r#"(module
          (global $count (mut i32) (i32.const 0))
          (func (export "_initialize") (global.set $count (i32.const 40)))
          (func (export "count") (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))"#,
    );
    linker.module(&mut store, "reactor", &reactor)?;
    let count = linker.get(&mut store, "reactor", "count")?.into_func().expect("a function");
    let count = count.typed::<(), i32>(&store)?;
    assert_eq!((count.call(&mut store, ())?, count.call(&mut store, ())?), (41, 42));
    // Nothing is called, nothing is done.
    linker.get_default(&mut store, "reactor")?.call(&mut store, &[], &mut [])?;
    Ok(())
}

#[test]
fn modules_that_are_no_programs() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let cases = [
        (
            r#"(module (func (export "_start")) (func (export "_initialize")))"#,
            "a program cannot be both a command and a reactor",
        ),
        (r#"(module (memory (export "_start") 1))"#, "`_start` must be a function"),
        (r#"(module (memory (export "_initialize") 1))"#, "`_initialize` must be a function"),
        (
            r#"(module (func (export "_start")) (memory (export "extra") 1))"#,
            "command export `extra` is not a function",
        ),
        (
            r#"(module (func (export "_initialize") (param i32)))"#,
            "calling the reactor's initialization function: type mismatch: expected (func), found (func (param i32))",
        ),
    ];
    for (text, expected) in cases {
        let mut linker = Linker::new(&engine);
        let result = linker.module(&mut store, "m", &module(&engine, text)).map(|_| ());
        assert_eq!(chain(result), expected);
    }
    let mut linker = Linker::new(&engine);
    linker.allow_unknown_exports(true).module(&mut store, "m", &module(&engine, cases[3].0))?;
    assert!(linker.get(&mut store, "m", "extra").is_err());
    let known = r#"(module (func (export "_start")) (memory (export "memory") 1)
      (table (export "table") 1 funcref) (global (export "__heap_base") i32 (i32.const 1)))"#;
    Linker::new(&engine).module(&mut store, "m", &module(&engine, known))?;
    Ok(())
}

#[test]
fn default_exports_are_functions() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    linker.define(&store, "a", "", memory)?.define(&store, "b", "_start", memory)?;
    let text = chain(linker.get_default(&mut store, "a"));
    assert_eq!(text, "default export in `a` is not a function");
    let text = chain(linker.get_default(&mut store, "b"));
    assert_eq!(text, "`_start` in `b` is not a function");
    linker.get_default(&mut store, "c")?.call(&mut store, &[], &mut [])?;
    Ok(())
}

#[test]
fn instances_under_a_name() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let text = r#"(module (func (export "f") (result i32) (i32.const 3)) (memory (export "m") 1)
      (global (export "g") i32 (i32.const 4)) (table (export "t") 1 funcref))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, text))?;
    linker.instance(&mut store, "instance", instance)?;
    let kinds: Vec<&str> = linker
        .iter(&mut store)
        .map(|(_, _, item)| match item {
            Extern::Func(_) => "func",
            Extern::Memory(_) => "memory",
            Extern::Global(_) => "global",
            Extern::Table(_) => "table",
        })
        .collect();
    assert_eq!(kinds, ["func", "global", "memory", "table"]);
    let importer = r#"(module (import "instance" "f" (func $f (result i32)))
      (import "instance" "g" (global i32)) (import "instance" "m" (memory 1)) (import "instance" "t" (table 1 funcref))
      (func (export "sum") (result i32) (i32.add (call $f) (global.get 0))))"#;
    let importer = linker.instantiate(&mut store, &module(&engine, importer))?;
    let sum = importer.get_typed_func::<(), i32>(&mut store, "sum")?;
    assert_eq!(sum.call(&mut store, ())?, 7);
    assert!(linker.instance(&mut store, "instance", instance).is_err());
    Ok(())
}

#[test]
fn engines_and_stores_are_kept_apart() -> Result<()> {
    let (engine, other_engine) = (Engine::default(), Engine::default());
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", || {})?;
    let text = r#"(module (import "host" "f" (func)) (import "host" "g" (global i32)))"#;
    let ours = module(&engine, text);
    let theirs = module(&other_engine, text);
    let global =
        Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Const), Val::I32(1))?;
    linker.define(&store, "host", "g", global)?;
    let other_engine_text = "cross-engine instantiation is not supported: module and store, or linker, belong to different engines";
    assert_eq!(chain(linker.instantiate(&mut store, &theirs)), other_engine_text);
    assert_eq!(chain(linker.instantiate_pre(&theirs).map(|_| ())), other_engine_text);
    let mut foreign = Store::new(&other_engine, ());
    let pre = linker.instantiate_pre(&ours)?;
    let foreign_engine = pre.instantiate(&mut foreign).expect_err("an error");
    assert!(matches!(foreign_engine.downcast_ref(), Some(LinkError::OtherEngine)));
    let mut second = Store::new(&engine, ());
    let other_store_text = "cross-store instantiation is not supported: what is given to `host::g` belongs to another store";
    let error = pre.instantiate(&mut second).expect_err("an error");
    assert!(matches!(error.downcast_ref(), Some(LinkError::OtherStore { .. })));
    assert_eq!(error.to_string(), other_store_text);
    assert_eq!(chain(linker.instantiate(&mut second, &ours)), other_store_text);
    pre.instantiate(&mut store)?;
    // Cloning asks nothing of the data.
    struct NotClone;
    let other = Linker::<NotClone>::new(&engine);
    let pre = other.instantiate_pre(&module(&engine, EMPTY))?;
    pre.clone().instantiate(Store::new(&engine, NotClone))?;
    let text = "different engines for this linker and the store provided";
    assert_eq!(panic_text(|| drop(linker.get(&mut foreign, "host", "f"))), text);
    let loaded = module(&engine, EMPTY);
    assert_eq!(panic_text(|| drop(linker.clone().module(&mut foreign, "m", &loaded))), text);
    assert_eq!(panic_text(|| _ = linker.iter(&mut foreign).next()), text);
    let text = panic_text(|| drop(linker.get(&mut second, "host", "g")));
    assert_eq!(text, "object used with the wrong store");
    assert_eq!(panic_text(|| drop(linker.define(&second, "a", "b", global).map(|_| ()))), text);
    Ok(())
}

#[test]
fn functions_of_values() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 5);
    let mut linker = Linker::new(&engine);
    let ty = FuncType::new(&engine, [ValType::I32, ValType::I64], [ValType::F64, ValType::I32]);
    linker.func_new("host", "good", ty.clone(), |caller, params, results| {
        assert_eq!(results[0].unwrap_f64(), 0.0);
        results[0] = Val::from(params[1].unwrap_i64() as f64);
        results[1] = Val::I32(params[0].unwrap_i32() + caller.data());
        Ok(())
    })?;
    linker.func_new("host", "wrong", ty.clone(), |_, _, results| {
        results[0] = Val::I32(1);
        Ok(())
    })?;
    linker.func_new("host", "fails", ty, |_, _, _| bail!("on purpose"))?;
    let params = [Val::I32(1), Val::I64(2)];
    let mut results = [Val::I32(0), Val::I32(0)];
    let mut call = |linker: &Linker<i32>, name: &str, results: &mut [Val]| {
        let func = linker.get(&mut store, "host", name)?.into_func().expect("a function");
        func.call(&mut store, &params, results)
    };
    call(&linker, "good", &mut results)?;
    assert_eq!((results[0].unwrap_f64(), results[1].unwrap_i32()), (2.0, 6));
    let text = chain(call(&linker, "wrong", &mut results));
    assert_eq!(text, "function attempted to return an incompatible value: expected f64, found i32");
    assert_eq!(chain(call(&linker, "fails", &mut results)), "on purpose");
    Ok(())
}

#[test]
fn a_linker_of_its_own_engine() -> Result<()> {
    let linker = Linker::<()>::default();
    let module = module(linker.engine(), EMPTY);
    linker.instantiate(Store::new(linker.engine(), ()), &module)?;
    Ok(())
}
