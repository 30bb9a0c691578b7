//! Pools: limits, who gets which place, and that nothing of an instance is left for the next.

use std::sync::Barrier;

use aotc_loader::{
    Config, Enabled, Engine, Instance, InstanceAllocationStrategy, LoadError, Module,
    PoolConcurrencyLimitError, PoolingAllocationConfig, Store, Trap, Val,
};

use crate::support::{
    address_space_bytes, explicit_image, image, in_child, limit_address_space, resident_bytes,
};

/// Everything that an instance can write: memory, a global, a table that is kept below the context and one that is
/// not, and what grew. `check` traps unless all is as it was at first; `write` writes to all.
pub(crate) const EVERYTHING: &str = r#"(module
  (memory (export "memory") 2 10)
  (data (i32.const 100) "first")
  (global $number (export "number") (mut i64) (i64.const 7))
  (table $small (export "small") 5 50 funcref) (elem (table $small) (i32.const 0) func $f)
  (table $large (export "large") 70000 80000 externref)
  (elem $passive func $f)
  (func $f (export "f"))
  (func (export "check")
    (local $at i32)
    (if (i32.ne (memory.size) (i32.const 2)) (then unreachable))
    (if (i32.ne (table.size $small) (i32.const 5)) (then unreachable))
    (if (i32.ne (table.size $large) (i32.const 70000)) (then unreachable))
    (if (i64.ne (global.get $number) (i64.const 7)) (then unreachable))
    (if (ref.is_null (table.get $small (i32.const 0))) (then unreachable))
    (if (i32.eqz (ref.is_null (table.get $small (i32.const 4)))) (then unreachable))
    (if (i32.eqz (ref.is_null (table.get $large (i32.const 69999)))) (then unreachable))
    (if (i64.ne (i64.load (i32.const 100)) (i64.const 0x7473726966)) (then unreachable))
    (local.set $at (i32.const 112))
    (loop $next
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 131072))))
    ;; Not dropped yet.
    (table.init $small $passive (i32.const 1) (i32.const 0) (i32.const 1)))
  (func (export "write") (param $byte i32) (param $r externref)
    (drop (memory.grow (i32.const 3)))
    (drop (table.grow $small (ref.func $f) (i32.const 3)))
    (drop (table.grow $large (local.get $r) (i32.const 3)))
    (memory.fill (i32.const 0) (local.get $byte) (i32.const 327680))
    (table.fill $small (i32.const 0) (ref.func $f) (i32.const 8))
    (table.fill $large (i32.const 0) (local.get $r) (i32.const 70003))
    (elem.drop $passive)
    (global.set $number (i64.const -1))))"#;

/// Calls `check` and `write` of an instance of [`EVERYTHING`].
pub(crate) fn check_and_write(store: &mut Store<()>, instance: Instance, byte: i32) {
    let check = instance.get_typed_func::<(), ()>(&mut *store, "check").unwrap();
    check.call(&mut *store, ()).unwrap();
    let text = aotc_loader::ExternRef::new(&mut *store, "text").unwrap();
    let write = instance.get_func(&mut *store, "write").unwrap();
    write.call(&mut *store, &[Val::I32(byte), Val::ExternRef(Some(text))], &mut []).unwrap();
    let error = check.call(&mut *store, ()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
}

pub(crate) fn pooled(change: impl FnOnce(&mut PoolingAllocationConfig)) -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(10);
    change(&mut pool);
    Engine::new(Config::new().allocation_strategy(pool)).unwrap()
}

fn load(engine: &Engine, text: &str) -> Module {
    Module::from_bytes(engine, &image(text)).unwrap()
}

fn instantiate(module: &Module) -> anyhow::Result<(Store<()>, Instance)> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[])?;
    Ok((store, instance))
}

fn address(store: &mut Store<()>, instance: Instance) -> usize {
    instance.get_memory(&mut *store, "memory").unwrap().data_ptr(&*store) as usize
}

const MEMORY: &str = r#"(module (memory (export "memory") 1) (func (export "f")))"#;
const OTHER: &str = r#"(module (memory (export "memory") 1) (data (i32.const 5) "other"))"#;

#[test]
fn exhausted_pool_says_so() {
    let engine = pooled(|pool| {
        pool.total_core_instances(3);
    });
    let module = load(&engine, MEMORY);
    let mut live: Vec<_> = (0..3).map(|_| instantiate(&module).unwrap()).collect();
    for _ in 0..3 {
        let error = instantiate(&module).err().unwrap();
        assert!(error.downcast_ref::<PoolConcurrencyLimitError>().is_some(), "{error:?}");
        let text = "maximum concurrent limit of 3 for core instances reached";
        assert_eq!(error.to_string(), text);
    }
    let metrics = engine.pooling_allocator_metrics().unwrap();
    assert_eq!((metrics.core_instances(), metrics.memories(), metrics.tables()), (3, 3, 0));
    live.pop();
    assert_eq!((metrics.core_instances(), metrics.unused_warm_memories()), (2, 1));
    live.push(instantiate(&module).unwrap());
    assert!(instantiate(&module).is_err());
    // In one store as well; what was there stays.
    let (store, _) = &mut live[0];
    assert!(Instance::new(&mut *store, &module, &[]).is_err());
    drop(live);
    assert_eq!((metrics.core_instances(), metrics.memories()), (0, 0));
    assert!(Engine::default().pooling_allocator_metrics().is_none());
}

#[test]
fn memories_and_tables_are_limited() {
    let engine = pooled(|pool| {
        pool.total_memories(2).total_tables(1);
    });
    let memory = load(&engine, MEMORY);
    let table = load(&engine, r#"(module (table (export "t") 1 funcref))"#);
    let neither = load(&engine, "(module)");
    let live: Vec<_> = (0..2).map(|_| instantiate(&memory).unwrap()).collect();
    let kept = instantiate(&table).unwrap();
    for (module, text) in [(&memory, "2 for memories"), (&table, "1 for tables")] {
        let error = instantiate(module).err().unwrap();
        assert!(error.downcast_ref::<PoolConcurrencyLimitError>().is_some());
        assert!(error.to_string().contains(text), "{error}");
    }
    let rest: Vec<_> = (0..7).map(|_| instantiate(&neither).unwrap()).collect();
    let error = instantiate(&neither).err().unwrap();
    assert!(error.to_string().contains("10 for core instances"), "{error}");
    drop((live, kept));
    instantiate(&memory).unwrap();
    instantiate(&table).unwrap();
    drop(rest);
}

#[test]
fn modules_that_do_not_fit_are_refused() {
    let refused = |change: fn(&mut PoolingAllocationConfig), text: &str, expected: &str| {
        let engine = pooled(change);
        let error = Module::from_bytes(&engine, &image(text)).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(LoadError::Pool { .. })), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        // Others still can be loaded.
        instantiate(&load(&engine, "(module)")).unwrap();
    };
    refused(|_| (), "(module (memory 1) (memory 1))", "memories count of 2 exceeds");
    let two_tables = r#"(module (table (export "a") 1 funcref) (table (export "b") 1 funcref))"#;
    refused(|_| (), two_tables, "tables count of 2 exceeds the per-instance limit of 1");
    let large = r#"(module (table (export "a") 20001 funcref))"#;
    refused(|_| (), large, "minimum element size of 20001 which exceeds the limit of 20000");
    let pages = |pool: &mut PoolingAllocationConfig| {
        pool.max_memory_size(2 << 16);
    };
    refused(pages, "(module (memory 3))", "minimum byte size of 196608");
    let small = |pool: &mut PoolingAllocationConfig| {
        pool.max_core_instance_size(1 << 16).max_tables_per_module(0);
    };
    let globals = "(global (export \"g\") (mut i64) (i64.const 1))".replace("\"g\"", "\"{}\"");
    let globals: String =
        (0..9000).map(|index| globals.replace("{}", &index.to_string())).collect();
    refused(small, &format!("(module {globals})"), "max_core_instance_size");
}

#[test]
fn growth_is_limited() {
    let engine = pooled(|pool| {
        pool.max_memory_size(3 << 16).table_elements(6);
    });
    let text = r#"(module (memory (export "memory") 1) (table (export "t") 5 funcref)
      (func (export "grow") (result i32 i32 i32 i32)
        (memory.grow (i32.const 2)) (memory.grow (i32.const 1))
        (table.grow (ref.null func) (i32.const 1)) (table.grow (ref.null func) (i32.const 1))))"#;
    let (mut store, instance) = instantiate(&load(&engine, text)).unwrap();
    let grow = instance.get_typed_func::<(), (i32, i32, i32, i32)>(&mut store, "grow").unwrap();
    assert_eq!(grow.call(&mut store, ()).unwrap(), (1, -1, 5, -1));
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(memory.grow(&mut store, 1).is_err());
    assert_eq!(memory.ty(&store).maximum(), None);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size((1 << 32) + 1);
    let error = Engine::new(Config::new().allocation_strategy(pool.clone())).unwrap_err();
    assert!(error.to_string().contains("exceeds 4 GiB"), "{error}");
    pool.max_memory_size(1 << 32).max_core_instance_size(usize::MAX);
    let error = Engine::new(Config::new().allocation_strategy(pool.clone())).unwrap_err();
    assert!(error.to_string().contains("64 bits"), "{error}");
    // 128 TiB and more.
    pool.max_core_instance_size(1 << 20).total_core_instances(100_000);
    let error = Engine::new(Config::new().allocation_strategy(pool)).unwrap_err();
    assert!(error.to_string().contains("total_core_instances"), "{error:#}");
    let strategy = InstanceAllocationStrategy::pooling();
    assert!(Engine::new(Config::new().allocation_strategy(strategy)).is_ok());
}

#[test]
fn places_stay_with_their_module() {
    // With one processor's shard, places are those of the whole pool.
    let engine = pooled(|pool| {
        pool.max_unused_warm_slots(1000);
    });
    let (one, two) = (load(&engine, MEMORY), load(&engine, OTHER));
    let place = |module: &Module| {
        let (mut store, instance) = instantiate(module).unwrap();
        address(&mut store, instance)
    };
    let (first, second) = (place(&one), place(&two));
    assert_ne!(first, second);
    for _ in 0..3 {
        assert_eq!((place(&one), place(&two)), (first, second));
    }
    let metrics = engine.pooling_allocator_metrics().unwrap();
    assert_eq!(metrics.unused_warm_memories(), 2);
    drop(one);
    assert_eq!(metrics.unused_warm_memories(), 1);

    // Where none may lie idle, the other module's place is taken.
    let engine = pooled(|pool| {
        pool.max_unused_warm_slots(0);
    });
    let (one, two) = (load(&engine, MEMORY), load(&engine, OTHER));
    assert_eq!(place(&one), place(&two));
    let (mut store, instance) = instantiate(&two).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[..12], b"\0\0\0\0\0other\0\0");
}

#[test]
fn nothing_is_left_in_a_place() {
    for scan in [Enabled::Auto, Enabled::No] {
        for keep_bytes in [0, 4096, 100 << 10, 1 << 20] {
            let engine = pooled(|pool| {
                pool.total_core_instances(1).max_tables_per_module(2).table_elements(100_000);
                pool.pagemap_scan(scan).linear_memory_keep_resident(keep_bytes);
            });
            let (module, other) = (load(&engine, EVERYTHING), load(&engine, OTHER));
            for round in 0..4 {
                let (mut store, instance) = instantiate(&module).unwrap();
                check_and_write(&mut store, instance, 0xa5);
                drop(store);
                if round == 2 {
                    let (mut store, instance) = instantiate(&other).unwrap();
                    let memory = instance.get_memory(&mut store, "memory").unwrap();
                    let data = memory.data_mut(&mut store);
                    assert!(data[..5] == [0; 5] && &data[5..10] == b"other");
                    assert!(data[10..].iter().all(|&byte| byte == 0));
                    data.fill(0x5a);
                }
            }
        }
    }
}

#[test]
fn nothing_is_left_that_the_host_wrote() {
    // No code runs here, so only the host's handles say that anything was written.
    let engine = pooled(|pool| {
        pool.total_core_instances(1);
    });
    let text = r#"(module (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 3))
      (table (export "t") 2 funcref) (func $f (export "f")) (elem (i32.const 0) $f))"#;
    let module = load(&engine, text);
    for round in 0..5 {
        let (mut store, instance) = instantiate(&module).unwrap();
        if round % 2 == 1 {
            continue;
        }
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert!(memory.data(&store).iter().all(|&byte| byte == 0));
        memory.data_mut(&mut store).fill(1);
        let global = instance.get_global(&mut store, "g").unwrap();
        assert_eq!(global.get(&mut store).unwrap_i32(), 3);
        global.set(&mut store, Val::I32(4)).unwrap();
        let table = instance.get_table(&mut store, "t").unwrap();
        let first = table.get(&mut store, 0).unwrap();
        assert!(!first.is_null() && table.get(&mut store, 1).unwrap().is_null());
        table.set(&mut store, 1, first).unwrap();
    }
}

#[test]
fn explicit_modules_use_the_pool() {
    let engine = pooled(|pool| {
        pool.total_core_instances(2).max_tables_per_module(2).table_elements(100_000);
    });
    let module = Module::from_bytes(&engine, &explicit_image(EVERYTHING)).unwrap();
    for _ in 0..5 {
        let (mut store, instance) = instantiate(&module).unwrap();
        check_and_write(&mut store, instance, 1);
    }
    let metrics = engine.pooling_allocator_metrics().unwrap();
    let live = (instantiate(&module).unwrap(), instantiate(&module).unwrap());
    assert_eq!((metrics.memories(), metrics.tables()), (2, 4));
    assert!(instantiate(&module).is_err());
    drop(live);
    assert_eq!((metrics.core_instances(), metrics.memories()), (0, 0));
}

#[test]
fn threads_share_a_pool() {
    const THREADS: usize = 16;
    for threads in [2, THREADS] {
        // As many places as threads: whoever needs one finds one.
        let engine = pooled(|pool| {
            pool.total_core_instances(threads as u32);
            pool.max_tables_per_module(2).table_elements(100_000);
        });
        let module = load(&engine, EVERYTHING);
        let other = load(&engine, OTHER);
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (module, other, barrier) = (&module, &other, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for round in 0..30 {
                        let (mut store, instance) = instantiate(module).unwrap();
                        check_and_write(&mut store, instance, (thread + round) as i32 + 1);
                        drop(store);
                        let (mut store, instance) = instantiate(other).unwrap();
                        let memory = instance.get_memory(&mut store, "memory").unwrap();
                        let data = memory.data_mut(&mut store);
                        let sum: u64 = data.iter().map(|&byte| u64::from(byte)).sum();
                        assert_eq!(sum, b"other".iter().map(|&byte| u64::from(byte)).sum::<u64>());
                        data.fill(thread as u8 + 1);
                    }
                });
            }
        });
        let metrics = engine.pooling_allocator_metrics().unwrap();
        assert_eq!((metrics.core_instances(), metrics.memories(), metrics.tables()), (0, 0, 0));
    }
}

#[test]
fn instances_are_dropped_by_other_threads() {
    let engine = pooled(|pool| {
        pool.total_core_instances(4);
    });
    let module = load(&engine, MEMORY);
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for live in receiver {
                drop::<(Store<()>, Instance)>(live);
            }
        });
        for _ in 0..1000 {
            // At most three others exist: one waits, one is being dropped, one was just sent.
            sender.send(instantiate(&module).unwrap()).unwrap();
        }
        drop(sender);
    });
}

#[test]
fn places_survive_failure() {
    in_child("pool::places_survive_failure", || {
        let engine = pooled(|pool| {
            pool.total_core_instances(2).max_memories_per_module(3);
        });
        // Two memories lie outside the pool: 6 GiB each.
        let three = load(&engine, "(module (memory 1) (memory 1) (memory 1))");
        let one = load(&engine, MEMORY);
        drop(instantiate(&one));
        limit_address_space(7 << 30);
        let mut failed_bytes = None;
        for _ in 0..20 {
            let error = instantiate(&three).err().unwrap();
            assert!(matches!(error.downcast_ref(), Some(LoadError::Os { .. })), "{error:?}");
            let before = *failed_bytes.get_or_insert_with(address_space_bytes);
            assert_eq!(address_space_bytes(), before);
        }
        let metrics = engine.pooling_allocator_metrics().unwrap();
        assert_eq!((metrics.core_instances(), metrics.memories()), (0, 0));
        let mut live: Vec<_> = (0..2).map(|_| instantiate(&one).unwrap()).collect();
        for (store, instance) in &mut live {
            let f = instance.get_typed_func::<(), ()>(&mut *store, "f").unwrap();
            f.call(&mut *store, ()).unwrap();
        }
        // And there is no room for another pool.
        assert!(Engine::new(engine.config()).is_err());
    });
}

fn many_live_instances(engine: &Engine, count: usize) {
    let text = r#"(module (memory (export "memory") 2) (data (i32.const 70000) "data")
      (func (export "add") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get 0)))
        (i32.load (i32.const 0))))"#;
    let module = load(engine, text);
    let mut live: Vec<_> = (0..count).map(|_| instantiate(&module).unwrap()).collect();
    for _ in 0..2 {
        for (number, (store, instance)) in live.iter_mut().enumerate() {
            let add = instance.get_typed_func::<i32, i32>(&mut *store, "add").unwrap();
            add.call(&mut *store, number as i32).unwrap();
        }
    }
    for (number, (store, instance)) in live.iter_mut().enumerate() {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        let mut bytes = [0; 4];
        memory.read(&*store, 0, &mut bytes).unwrap();
        assert_eq!(i32::from_le_bytes(bytes), 2 * number as i32);
    }
}

#[test]
fn ten_thousand_live_instances_on_demand() {
    in_child("pool::ten_thousand_live_instances_on_demand", || {
        many_live_instances(&Engine::default(), 10_000);
    });
}

#[test]
fn ten_thousand_live_instances_in_a_pool() {
    in_child("pool::ten_thousand_live_instances_in_a_pool", || {
        let engine = pooled(|pool| {
            pool.total_core_instances(10_000).total_memories(10_000).total_tables(10_000);
        });
        many_live_instances(&engine, 10_000);
    });
}

#[test]
fn a_million_instances_leave_nothing_behind() {
    in_child("pool::a_million_instances_leave_nothing_behind", || {
        let mut pooling = Config::new();
        pooling.allocation_strategy(InstanceAllocationStrategy::pooling());
        for config in [Config::new(), pooling] {
            let engine = Engine::new(&config).unwrap();
            let text = r#"(module (memory (export "memory") 1) (data (i32.const 9) "data")
              (func (export "f") (i32.store (i32.const 0) (i32.const 1))))"#;
            let module = load(&engine, text);
            let pre = aotc_loader::Linker::new(&engine).instantiate_pre(&module).unwrap();
            let run = |count: u32| {
                for index in 0..count {
                    let mut store = Store::new(&engine, ());
                    let instance = pre.instantiate(&mut store).unwrap();
                    if index % 4 == 0 {
                        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
                        f.call(&mut store, ()).unwrap();
                    }
                }
            };
            run(1000);
            let before = resident_bytes();
            run(1_000_000);
            let grown = resident_bytes().saturating_sub(before);
            assert!(grown < 1 << 20, "{grown} bytes more");
        }
    });
}
