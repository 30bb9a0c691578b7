//! What embedders do first, one program for each, as a new user would write it. Each compiles its module, as a build
//! would, and uses the loader's public API alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;
use aotc_loader::{
    AsContextMut, Caller, Config, Engine, ExternRef, Func, FuncType, Instance,
    InstanceAllocationStrategy, Linker, Memory, MemoryType, Module, PoolingAllocationConfig, Store,
    Table, TableType, Trap, Val, ValType, WasmCoreDump,
};

use crate::support::{compile, image};

fn module(engine: &Engine, text: &str) -> Result<Module> {
    Module::from_bytes(engine, &image(text))
}

#[test]
fn hello() -> Result<()> {
    struct Host {
        greeted: u32,
    }
    let engine = Engine::default();
    let text = r#"(module
      (import "" "hello" (func $hello))
      (func (export "run") (call $hello)))"#;
    let module = module(&engine, text)?;
    let mut store = Store::new(&engine, Host { greeted: 0 });
    let hello = Func::wrap(&mut store, |mut caller: Caller<'_, Host>| {
        caller.data_mut().greeted += 1;
    });
    let instance = Instance::new(&mut store, &module, &[hello.into()])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    run.call(&mut store, ())?;
    assert_eq!(store.data().greeted, 1);
    Ok(())
}

#[test]
fn gcd() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (func (export "gcd") (param i32 i32) (result i32) (local i32)
        (loop $next
          (if (i32.eqz (local.get 1)) (then (return (local.get 0))))
          (local.set 2 (i32.rem_u (local.get 0) (local.get 1)))
          (local.set 0 (local.get 1))
          (local.set 1 (local.get 2))
          (br $next))
        (unreachable)))"#;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, text)?, &[])?;
    let gcd = instance.get_typed_func::<(i32, i32), i32>(&mut store, "gcd")?;
    assert_eq!(gcd.call(&mut store, (6, 27))?, 3);
    assert_eq!(gcd.call(&mut store, (1071, 462))?, 21);
    Ok(())
}

#[test]
fn linking() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = said.clone();
    linker.func_wrap("host", "say", move |mut caller: Caller<'_, ()>, at: u32, bytes: u32| {
        let memory = caller.get_export("memory").and_then(|item| item.into_memory());
        let memory = memory.expect("the caller exports its memory");
        let text = memory.data(&caller)[at as usize..][..bytes as usize].to_vec();
        log.lock().unwrap().push(String::from_utf8(text).unwrap());
    })?;
    let mut store = Store::new(&engine, ());
    let library = module(
        &engine,
        r#"(module
          (import "host" "say" (func $say (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 8) "doubled")
          (func (export "double") (param i32) (result i32)
            (call $say (i32.const 8) (i32.const 7))
            (i32.mul (local.get 0) (i32.const 2))))"#,
    )?;
    let program = module(
        &engine,
        r#"(module
          (import "library" "double" (func $double (param i32) (result i32)))
          (import "library" "memory" (memory 1))
          (func (export "run") (result i32)
            (i32.store8 (i32.const 8) (i32.const 68))
            (call $double (i32.const 21))))"#,
    )?;
    let library = linker.instantiate(&mut store, &library)?;
    linker.instance(&mut store, "library", library)?;
    let program = linker.instantiate(&mut store, &program)?;
    let run = program.get_typed_func::<(), i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, ())?, 42);
    assert_eq!(*said.lock().unwrap(), ["Doubled"]);
    Ok(())
}

#[test]
fn memory() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (memory (export "memory") 2 3)
      (func (export "size") (result i32) (memory.size))
      (func (export "load") (param i32) (result i32) (i32.load8_s (local.get 0)))
      (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
      (data (i32.const 0x1000) "\01\02\03\04"))"#;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, text)?, &[])?;
    let memory = instance.get_memory(&mut store, "memory").expect("an exported memory");
    let size = instance.get_typed_func::<(), i32>(&mut store, "size")?;
    let load = instance.get_typed_func::<i32, i32>(&mut store, "load")?;
    let write = instance.get_typed_func::<(i32, i32), ()>(&mut store, "store")?;

    assert_eq!((memory.size(&store), memory.data_size(&store)), (2, 0x20000));
    assert_eq!(memory.data(&store)[0x1000..0x1004], [1, 2, 3, 4]);
    memory.data_mut(&mut store)[0x1003] = 5;
    write.call(&mut store, (0x1002, 6))?;
    let mut buffer = [0; 4];
    memory.read(&store, 0x1000, &mut buffer)?;
    assert_eq!(buffer, [1, 2, 6, 5]);
    assert_eq!(load.call(&mut store, 0x1ffff)?, 0);
    let error = load.call(&mut store, 0x20000).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds));
    assert!(memory.read(&store, 0x1ffff, &mut buffer).is_err());

    assert_eq!(memory.grow(&mut store, 1)?, 2);
    assert_eq!(size.call(&mut store, ())?, 3);
    assert!(memory.grow(&mut store, 1).is_err());
    assert_eq!(memory.grow(&mut store, 0)?, 3);

    let own = Memory::new(&mut store, MemoryType::new(5, Some(5)))?;
    assert_eq!(own.size(&store), 5);
    assert!(own.grow(&mut store, 1).is_err());
    Ok(())
}

#[test]
fn multi_value() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (import "host" "swap" (func $swap (param i32 i64) (result i64 i32)))
      (func (export "twice") (param i32 i64) (result i64 i32)
        (call $swap (local.get 0) (local.get 1)))
      (func (export "many") (param i64 i64 i64) (result i64 i64 i64)
        (local.get 2) (local.get 0) (local.get 1)))"#;
    let module = module(&engine, text)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "swap", |a: i32, b: i64| (b + 1, a + 1))?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let twice = instance.get_typed_func::<(i32, i64), (i64, i32)>(&mut store, "twice")?;
    assert_eq!(twice.call(&mut store, (1, 3))?, (4, 2));
    let many = instance.get_func(&mut store, "many").expect("an exported function");
    let mut results = [Val::I64(0), Val::I64(0), Val::I64(0)];
    many.call(&mut store, &[Val::I64(1), Val::I64(2), Val::I64(3)], &mut results)?;
    assert_eq!(results.map(|value| value.unwrap_i64()), [3, 1, 2]);
    Ok(())
}

#[test]
fn externref() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (table $table (export "table") 10 externref)
      (global (export "global") (mut externref) (ref.null extern))
      (func (export "same") (param externref) (result externref) (local.get 0)))"#;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, text)?, &[])?;
    let hello = ExternRef::new(&mut store, String::from("hello"))?;
    let text = hello.data(&store)?.expect("not null").downcast_ref::<String>();
    assert_eq!(text.map(String::as_str), Some("hello"));
    let table = instance.get_table(&mut store, "table").expect("an exported table");
    table.set(&mut store, 3, hello.into())?;
    let element = table.get(&mut store, 3).expect("inside the table");
    let element = *element.as_extern().expect("an external reference").expect("not null");
    assert!(element.data(&store)?.expect("not null").is::<String>());
    let same = instance.get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&mut store, "same");
    let same = same?.call(&mut store, Some(hello))?.expect("not null");
    assert!(same.data(&store)?.expect("not null").is::<String>());
    Ok(())
}

#[test]
fn threads() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (import "global" "hello" (func $hello (param i32)))
      (func (export "run") (param i32)
        (loop $again
          (call $hello (local.get 0))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let module = module(&engine, text)?;
    let total = Arc::new(AtomicU32::new(0));
    let mut linker = Linker::new(&engine);
    let counter = total.clone();
    linker.func_wrap("global", "hello", move |value: i32| {
        counter.fetch_add(value as u32, Ordering::Relaxed);
    })?;
    let pre = Arc::new(linker.instantiate_pre(&module)?);
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let (engine, pre) = (engine.clone(), pre.clone());
            thread::spawn(move || -> Result<()> {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate(&mut store)?;
                // A store can go on in another thread.
                thread::spawn(move || {
                    let run = instance.get_typed_func::<i32, ()>(&mut store, "run")?;
                    run.call(&mut store, 100)
                })
                .join()
                .expect("no panic")
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic")?;
    }
    assert_eq!(total.load(Ordering::Relaxed), 10 * 5050);
    Ok(())
}

#[test]
fn core_dump() -> Result<()> {
    let engine = Engine::new(Config::new().coredump_on_trap(true))?;
    let text = r#"(module $crash
      (memory 1)
      (func $inner (i32.store (i32.const 4) (i32.const 42)) (unreachable))
      (func (export "run") (call $inner)))"#;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, text)?, &[])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    let error = run.call(&mut store, ()).unwrap_err();
    let dump = error.downcast_ref::<WasmCoreDump>().expect("a core dump");
    assert_eq!(dump.frames().len(), 2);
    let bytes = dump.serialize(&mut store, "crash.wasm");
    assert_eq!(&bytes[..8], b"\0asm\x01\0\0\0");
    Ok(())
}

#[test]
fn tables_and_dynamic_functions() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (import "host" "table" (table 2 funcref))
      (type $ty (func (param i32) (result i32)))
      (func (export "call") (param i32 i32) (result i32)
        (call_indirect (type $ty) (local.get 1) (local.get 0))))"#;
    let mut store = Store::new(&engine, 10);
    let ty = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
    let add = Func::new(&mut store, ty, |caller: Caller<'_, i32>, params, results| {
        results[0] = Val::I32(params[0].unwrap_i32() + caller.data());
        Ok(())
    });
    let ty = TableType::new(aotc_loader::RefType::FUNCREF, 2, None);
    let table = Table::new(&mut store, ty, add.into())?;
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "table", table)?;
    let instance = linker.instantiate(store.as_context_mut(), &module(&engine, text)?)?;
    let call = instance.get_typed_func::<(i32, i32), i32>(&mut store, "call")?;
    assert_eq!(call.call(&mut store, (1, 5))?, 15);
    let error = call.call(&mut store, (2, 5)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UndefinedElement));
    Ok(())
}

const FIBONACCI: &str = r#"(module
  (func $fibonacci (export "fibonacci") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add
        (call $fibonacci (i32.sub (local.get 0) (i32.const 1)))
        (call $fibonacci (i32.sub (local.get 0) (i32.const 2))))))))"#;

#[test]
fn fuel() -> Result<()> {
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let options = aotc::Options {
        interruption: aotc_abi::target::Interruption { fuel: true, epochs: false },
        ..aotc::Options::default()
    };
    let module = Module::from_bytes(&engine, &compile(FIBONACCI, &options))?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(10_000)?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let fibonacci = instance.get_typed_func::<i32, i32>(&mut store, "fibonacci")?;
    let mut before = store.get_fuel()?;
    for number in 1.. {
        match fibonacci.call(&mut store, number) {
            Ok(_) => {
                let left = store.get_fuel()?;
                assert!(left < before, "{number} took nothing");
                before = left;
            }
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
                assert!(number > 5, "{number} took it all");
                break;
            }
        }
    }
    store.set_fuel(100_000)?;
    assert_eq!(fibonacci.call(&mut store, 10)?, 55);
    Ok(())
}

#[test]
fn epoch_interruption() -> Result<()> {
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let options = aotc::Options {
        interruption: aotc_abi::target::Interruption { fuel: false, epochs: true },
        ..aotc::Options::default()
    };
    let text = r#"(module (func (export "run") (loop (br 0))))"#;
    let module = Module::from_bytes(&engine, &compile(text, &options))?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    let clock = engine.clone();
    let timer = thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(20));
        clock.increment_epoch();
    });
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
    timer.join().expect("no panic");
    Ok(())
}

#[test]
fn pooling() -> Result<()> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(4).max_memory_size(1 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let text = r#"(module
      (memory (export "memory") 1)
      (func (export "next") (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.load (i32.const 0))))"#;
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module(&engine, text)?)?;
    for _ in 0..100 {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store)?;
        let next = instance.get_typed_func::<(), i32>(&mut store, "next")?;
        assert_eq!((next.call(&mut store, ())?, next.call(&mut store, ())?), (1, 2));
        instance.reset(&mut store)?;
        assert_eq!(next.call(&mut store, ())?, 1);
    }
    let mut stores: Vec<_> = (0..5).map(|_| Store::new(&engine, ())).collect();
    for (number, store) in stores.iter_mut().enumerate() {
        assert_eq!(pre.instantiate(store).is_ok(), number < 4);
    }
    Ok(())
}

#[cfg(feature = "async")]
#[test]
fn asynchronous() -> Result<()> {
    use std::time::Duration;

    let engine = Engine::default();
    let text = r#"(module
      (import "host" "sleep" (func $sleep (param i32) (result i32)))
      (func (export "run") (param i32) (result i32)
        (i32.add (call $sleep (local.get 0)) (i32.const 1))))"#;
    let module = module(&engine, text)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap_async("host", "sleep", |_: Caller<'_, ()>, (millis,): (i32,)| {
        Box::new(async move {
            tokio::time::sleep(Duration::from_millis(millis as u64)).await;
            millis
        })
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate_async(&mut store, &module).await?;
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
        assert_eq!(run.call_async(&mut store, 5).await?, 6);
        // Given up: what runs in the store ends, and the store can be used again.
        let long = run.call_async(&mut store, 1_000_000);
        assert!(tokio::time::timeout(Duration::from_millis(5), long).await.is_err());
        assert_eq!(run.call_async(&mut store, 1).await?, 2);
        Ok(())
    })
}
