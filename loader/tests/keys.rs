//! Pools with protection keys: neighbours cannot be touched, and the host can touch all.
//!
//! Where the processor has no keys the tests say so and pass; `.ci/keys-vm` runs them on an emulated processor that has.

use std::io::Write;
use std::sync::mpsc;

use anyhow::Result;
use aotc_loader::{
    Caller, Config, Enabled, Engine, Instance, Linker, Module, PoolConcurrencyLimitError,
    PoolingAllocationConfig, Store, StoreLimits, Trap, UpdateDeadline,
};

use crate::pool::{EVERYTHING, check_and_write};
use crate::support::{chain, compile, image};

/// Size of memories in these pools, in bytes.
const MEMORY_BYTES: usize = 16 << 20;

/// Whether there are keys; if not, says that a test is skipped.
fn has_keys() -> bool {
    let available = PoolingAllocationConfig::are_memory_protection_keys_available();
    if !available {
        println!("skipped: the processor has no protection keys (`.ci/keys-vm` emulates one)");
    }
    available
}

fn config(change: impl FnOnce(&mut PoolingAllocationConfig)) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(64).max_memory_size(MEMORY_BYTES);
    pool.max_tables_per_module(2).table_elements(80_000);
    pool.memory_protection_keys(Enabled::Yes);
    change(&mut pool);
    let mut config = Config::new();
    config.allocation_strategy(pool);
    config
}

fn engine() -> Engine {
    Engine::new(&config(|_| ())).unwrap()
}

const TEXT: &str = r#"(module
  (import "host" "call" (func $call))
  (memory (export "memory") 1)
  (data (i32.const 0) "mine")
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "far") (param i32) (result i32) (i32.load offset=0x7fffffff (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "through") (param i32) (result i32) (call $call) (i32.load (local.get 0)))
  (func (export "spin") (param i32) (result i32) (local $left i32)
    (local.set $left (i32.const 100000))
    (loop $next (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.load (local.get 0))))"#;

const MINE: i32 = i32::from_le_bytes(*b"mine");

fn load(engine: &Engine) -> Module {
    Module::from_bytes(engine, &image(TEXT)).unwrap()
}

/// A store with an instance of [`TEXT`], whose host function does nothing.
fn instantiate(module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(module.engine(), ());
    let call = aotc_loader::Func::wrap(&mut store, || ());
    let instance = Instance::new(&mut store, module, &[call.into()]).unwrap();
    (store, instance)
}

fn base(store: &mut Store<()>, instance: Instance) -> usize {
    instance.get_memory(&mut *store, "memory").unwrap().data_ptr(&*store) as usize
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, at: usize) -> Result<i32> {
    let at = u32::try_from(at).expect("an index") as i32;
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(&mut *store, at)
}

#[track_caller]
fn assert_outside<T>(result: Result<T>) {
    let error = result.err().expect("a trap");
    assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{error:?}");
}

#[test]
fn without_keys_there_is_an_error_or_there_are_guards() {
    let engine = Engine::new(&config(|_| ()));
    if PoolingAllocationConfig::are_memory_protection_keys_available() {
        engine.unwrap();
    } else {
        let text = "memory protection keys are not available: this system gave 0, and 2 are needed";
        assert_eq!(chain(engine), text);
    }
    let auto = config(|pool| {
        pool.memory_protection_keys(Enabled::Auto);
    });
    let module = load(&Engine::new(&auto).unwrap());
    let (mut store, instance) = instantiate(&module);
    assert_eq!(call(&mut store, instance, "load", 0).unwrap(), MINE);
    assert_outside(call(&mut store, instance, "load", 1 << 16));
}

#[test]
fn embedders_images_are_refused() {
    struct Images;
    // SAFETY: there are none.
    unsafe impl aotc_loader::ImageCreator for Images {
        fn new_image(&self, _: &[u8]) -> Result<Option<Box<dyn aotc_loader::InstanceImage>>> {
            Ok(None)
        }
    }
    let mut config = config(|_| ());
    config.with_host_image(std::sync::Arc::new(Images));
    let text = "`with_host_image` and `memory_protection_keys` exclude each other";
    assert_eq!(chain(Engine::new(&config)), text);
}

#[test]
fn neighbours_are_near_and_cannot_be_touched() {
    if !has_keys() {
        return;
    }
    let module = load(&engine());
    let mut live: Vec<_> = (0..40).map(|_| instantiate(&module)).collect();
    // All are full, so that there is something to touch.
    for (store, instance) in &mut live {
        assert_eq!(call(store, *instance, "grow", 255).unwrap(), 1);
    }
    let bases: Vec<usize> =
        live.iter_mut().map(|(store, instance)| base(store, *instance)).collect();
    let near = |a: usize| {
        let others = bases.iter().filter(move |&&b| b > a && b - a < 4 << 30);
        others.map(move |&b| b - a)
    };
    assert!(near(*bases.iter().min().unwrap()).count() >= 5, "{bases:#x?}");
    for (place, &from) in bases.iter().enumerate() {
        let (store, instance) = &mut live[place];
        let write = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "store").unwrap();
        for offset in near(from) {
            for at in [offset, offset + 4096, offset + MEMORY_BYTES - 4] {
                if u32::try_from(at).is_err() {
                    continue;
                }
                assert_outside(call(store, *instance, "load", at));
                assert_outside(write.call(&mut *store, (at as u32 as i32, 7)));
            }
        }
        assert_outside(call(store, *instance, "far", u32::MAX as usize));
        assert_outside(call(store, *instance, "load", MEMORY_BYTES));
        assert_eq!(call(store, *instance, "load", 0).unwrap(), MINE);
    }
    for (store, instance) in &mut live {
        let memory = instance.get_memory(&mut *store, "memory").unwrap();
        assert!(memory.data(&*store).starts_with(b"mine\0"));
    }
}

#[test]
fn instances_of_a_store_share_their_memories() {
    if !has_keys() {
        return;
    }
    let module = load(&engine());
    let (mut store, owner) = instantiate(&module);
    let text = r#"(module (import "m" "memory" (memory 1))
      (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let user = Module::from_bytes(module.engine(), &image(text)).unwrap();
    let memory = owner.get_memory(&mut store, "memory").unwrap();
    let user = Instance::new(&mut store, &user, &[memory.into()]).unwrap();
    assert_eq!(call(&mut store, user, "load", 0).unwrap(), MINE);
    assert_outside(call(&mut store, user, "load", 1 << 16));
}

/// The host's data: another store, which it uses while WebAssembly of its own is on the stack.
#[derive(Default)]
struct Host {
    other: Option<(Store<()>, Instance)>,
    limits: StoreLimits,
    events: usize,
}

impl Host {
    /// Touches the other store, from the host and by its code.
    fn use_other(&mut self) {
        let (other, instance) = self.other.as_mut().expect("set at first");
        let memory = instance.get_memory(&mut *other, "memory").unwrap();
        assert!(memory.data(&*other).starts_with(b"mine"));
        memory.write(&mut *other, 100, b"theirs").unwrap();
        assert_eq!(call(other, *instance, "load", 0).unwrap(), MINE);
        assert_outside(call(other, *instance, "load", 1 << 16));
    }
}

impl aotc_loader::ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.use_other();
        self.limits.memory_growing(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }
}

/// Which code the instances have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Plain,
    /// Looks at the epoch.
    Epochs,
}

/// A store with an instance of [`TEXT`], and one in its host's data, which lies where the first can reach. Gives the offset
/// from the one to the other as well.
fn two(code: Code) -> (Store<Host>, Instance, usize) {
    let mut config = config(|_| ());
    config.epoch_interruption(code == Code::Epochs);
    let engine = Engine::new(&config).unwrap();
    let mut options = aotc::Options::default();
    options.interruption.epochs = code == Code::Epochs;
    let module = Module::from_bytes(&engine, &compile(TEXT, &options)).unwrap();
    let mut linker = Linker::new(&engine);
    let use_other = |mut caller: Caller<'_, Host>| caller.data_mut().use_other();
    linker.func_wrap("host", "call", use_other).unwrap();
    loop {
        let mut store = Store::new(&engine, Host::default());
        store.set_epoch_deadline(1_000_000);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let here = instance.get_memory(&mut store, "memory").unwrap().data_ptr(&store) as usize;
        let mut other = Store::new(&engine, ());
        other.set_epoch_deadline(1_000_000);
        let nothing = aotc_loader::Func::wrap(&mut other, || ());
        let other_instance = Instance::new(&mut other, &module, &[nothing.into()]).unwrap();
        let there = base(&mut other, other_instance);
        // If not, the next ones have other keys.
        if there > here && there - here < 4 << 30 {
            store.data_mut().other = Some((other, other_instance));
            return (store, instance, there - here);
        }
    }
}

/// Calls `name` of the instance in a host's store.
fn call_in(store: &mut Store<Host>, instance: Instance, name: &str, at: usize) -> Result<i32> {
    let at = u32::try_from(at).expect("an index") as i32;
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(&mut *store, at)
}

#[test]
fn host_functions_touch_all_and_their_callers_do_not() {
    if !has_keys() {
        return;
    }
    let (mut store, instance, offset) = two(Code::Plain);
    store.call_hook(|mut store, _| {
        store.data_mut().events += 1;
        Ok(())
    });
    assert_eq!(call_in(&mut store, instance, "through", 0).unwrap(), MINE);
    assert_eq!(store.data().events, 4);
    assert_outside(call_in(&mut store, instance, "through", offset));
    store.data_mut().use_other();
    // A host function that the host calls leaves it as it is, in WebAssembly's calls and outside.
    let nothing = aotc_loader::Func::wrap(&mut store, || ());
    nothing.call(&mut store, &[], &mut []).unwrap();
    store.data_mut().use_other();
    let calls = move |mut caller: Caller<'_, Host>| {
        nothing.call(&mut caller, &[], &mut []).unwrap();
        caller.data_mut().use_other();
    };
    let calls = aotc_loader::Func::wrap(&mut store, calls);
    let module = instance.module(&store).clone();
    let caller = Instance::new(&mut store, &module, &[calls.into()]).unwrap();
    assert_eq!(call_in(&mut store, caller, "through", 0).unwrap(), MINE);
    // A hook that fails leaves the host as it is.
    store.call_hook(|_, _| anyhow::bail!("refused"));
    assert_eq!(chain(call_in(&mut store, instance, "load", 0)), "refused");
    store.data_mut().use_other();
}

#[test]
fn limiters_and_callbacks_touch_all_and_their_causes_do_not() {
    if !has_keys() {
        return;
    }
    let (mut store, instance, offset) = two(Code::Epochs);
    store.limiter(|host| host);
    assert_eq!(call_in(&mut store, instance, "grow", 1).unwrap(), 1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().use_other();
        store.data_mut().events += 1;
        Ok(UpdateDeadline::Continue(1_000_000))
    });
    store.set_epoch_deadline(0);
    assert_outside(call_in(&mut store, instance, "spin", offset));
    assert_eq!(store.data().events, 1);
    assert_eq!(call_in(&mut store, instance, "spin", 0).unwrap(), MINE);
    store.data_mut().use_other();
}

#[test]
fn threads_that_are_older_than_the_engine_are_let_in() {
    if !has_keys() {
        return;
    }
    let (to_thread, from_main) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let older = std::thread::spawn(move || from_main.into_iter().for_each(|task| task()));
    let module = load(&engine());
    let run = |task: Box<dyn FnOnce() + Send>| to_thread.send(task).unwrap();
    let (to_main, from_thread) = mpsc::channel();
    // A memory of its own, from beginning to end.
    run(Box::new({
        let (module, to_main) = (module.clone(), to_main.clone());
        move || {
            let (mut store, instance) = instantiate(&module);
            assert_outside(call(&mut store, instance, "load", 1 << 16));
            to_main.send(call(&mut store, instance, "load", 0).unwrap()).unwrap();
        }
    }));
    assert_eq!(from_thread.recv().unwrap(), MINE);
    drop(to_thread);
    older.join().unwrap();
}

#[test]
fn older_threads_read_and_lend_memories_of_others() {
    if !has_keys() {
        return;
    }
    let (to_thread, from_main) = mpsc::channel::<(Store<()>, Instance)>();
    let older = std::thread::spawn(move || {
        let (mut store, instance) = from_main.recv().unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        // The kernel reads it for this thread.
        let mut file = tempfile();
        file.write_all(memory.data(&store)).unwrap();
        let global = instance.get_export(&mut store, "load").unwrap();
        assert!(global.into_func().is_some());
        drop(store);
        instance
    });
    let module = load(&engine());
    to_thread.send(instantiate(&module)).unwrap();
    older.join().unwrap();
}

fn tempfile() -> std::fs::File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    std::fs::File::from(rustix::fs::memfd_create("written", flags).unwrap())
}

#[test]
fn places_of_a_key_can_run_out() {
    if !has_keys() {
        return;
    }
    let config = config(|pool| {
        pool.total_core_instances(20).max_memory_protection_keys(2);
    });
    let module = load(&Engine::new(&config).unwrap());
    let (mut store, _) = instantiate(&module);
    let more = |store: &mut Store<()>| {
        let call = aotc_loader::Func::wrap(&mut *store, || ());
        Instance::new(&mut *store, &module, &[call.into()])
    };
    for _ in 0..9 {
        more(&mut store).unwrap();
    }
    let error = more(&mut store).unwrap_err();
    assert!(error.downcast_ref::<PoolConcurrencyLimitError>().is_some());
    let text = "maximum concurrent limit of 10 for core instances with one protection key reached";
    assert_eq!(error.to_string(), text);
    // The other key's are free.
    let (mut other, _) = instantiate(&module);
    for _ in 0..9 {
        more(&mut other).unwrap();
    }
    let metrics = module.engine().pooling_allocator_metrics().unwrap();
    assert_eq!(metrics.core_instances(), 20);
    drop((store, other));
    assert_eq!(metrics.core_instances(), 0);
}

#[test]
fn places_are_reset_and_keep_their_keys() {
    if !has_keys() {
        return;
    }
    for scan in [Enabled::Auto, Enabled::No] {
        let config = config(|pool| {
            pool.total_core_instances(20).pagemap_scan(scan);
        });
        let engine = Engine::new(&config).unwrap();
        let modules = [EVERYTHING, &EVERYTHING.replace("i64 (i64.const 7)", "i64 (i64.const 7)  ")];
        let modules = modules.map(|text| Module::from_bytes(&engine, &image(text)).unwrap());
        for round in 0..60 {
            let mut store = Store::new(&engine, ());
            let module = &modules[round % 2];
            let instance = Instance::new(&mut store, module, &[]).unwrap();
            check_and_write(&mut store, instance, round as i32);
            instance.reset(&mut store).unwrap();
            check_and_write(&mut store, instance, round as i32);
        }
        // With the others' places in use, what one can reach is still outside.
        let module = load(&engine);
        let mut live: Vec<_> = (0..10).map(|_| instantiate(&module)).collect();
        let bases: Vec<_> =
            live.iter_mut().map(|(store, instance)| base(store, *instance)).collect();
        for (place, (store, instance)) in live.iter_mut().enumerate() {
            let reached = bases.iter().filter(|&&b| b > bases[place] && b - bases[place] < 4 << 30);
            for &there in reached {
                assert_outside(call(store, *instance, "load", there - bases[place]));
            }
        }
    }
}

#[cfg(feature = "async")]
#[test]
fn calls_that_wait_go_on_with_their_key() {
    if !has_keys() {
        return;
    }
    let module = load(&engine());
    let mut linker = Linker::new(module.engine());
    linker
        .func_wrap_async("host", "call", |mut caller: Caller<'_, ()>, (): ()| {
            Box::new(async move {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                let memory = caller.get_export("memory").unwrap().into_memory().unwrap();
                assert!(memory.data(&caller).starts_with(b"mine"));
            })
        })
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let (module, linker) = (module.clone(), linker.clone());
            runtime.spawn(async move {
                let mut store = Store::new(module.engine(), ());
                let instance = linker.instantiate_async(&mut store, &module).await.unwrap();
                let here = base(&mut store, instance);
                let through = instance.get_typed_func::<i32, i32>(&mut store, "through").unwrap();
                assert_eq!(through.call_async(&mut store, 0).await.unwrap(), MINE);
                for offset in (1..40).map(|places| places << 24) {
                    assert_outside(through.call_async(&mut store, offset).await);
                }
                here
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}
