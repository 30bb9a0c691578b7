//! Settings of engines that other tests do not need: backtraces, stacks of pools, what engines tell.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use aotc_loader::{
    Config, Engine, ExternRef, Func, Instance, Store, Val, ValRaw, ValType, WasmBacktrace,
};

use crate::support::module;

const DEEP: &str = r#"(module
  (import "host" "call" (func $call))
  (func $trap (export "trap") (param i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (call $trap (i32.sub (local.get 0) (i32.const 1)))
    (drop (memory.size)))
  (memory 1)
  (func $host (export "host") (param i32)
    (if (local.get 0)
      (then (call $host (i32.sub (local.get 0) (i32.const 1))) (drop (memory.size)))
      (else (call $call) (drop (memory.size))))))"#;

/// The numbers of frames of a trap's backtrace 9 calls deep, of those left out, and of the frames that a host function sees
/// by `capture` and `force_capture`.
fn frames(config: &Config) -> (Option<(usize, usize)>, usize, usize) {
    let engine = Engine::new(config).unwrap();
    let module = module(&engine, DEEP);
    let mut store = Store::new(&engine, (0, 0));
    let call = Func::wrap(&mut store, |mut caller: aotc_loader::Caller<'_, (usize, usize)>| {
        let captured = WasmBacktrace::capture(&caller).frames().len();
        let forced = WasmBacktrace::force_capture(&caller).frames().len();
        *caller.data_mut() = (captured, forced);
    });
    let instance = Instance::new(&mut store, &module, &[call.into()]).unwrap();
    let host = instance.get_typed_func::<i32, ()>(&mut store, "host").unwrap();
    host.call(&mut store, 9).unwrap();
    let trap = instance.get_typed_func::<i32, ()>(&mut store, "trap").unwrap();
    let error = trap.call(&mut store, 9).unwrap_err();
    assert!(error.downcast_ref::<aotc_loader::Trap>().is_some());
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let counts = backtrace.map(|backtrace| (backtrace.frames().len(), backtrace.frames_left_out()));
    let (captured, forced) = *store.data();
    (counts, captured, forced)
}

#[test]
fn backtraces_have_as_many_frames_as_are_set() {
    let limited = |limit| {
        let mut config = Config::new();
        config.wasm_backtrace_max_frames(NonZeroUsize::new(limit));
        assert_eq!(config.get_wasm_backtrace_max_frames(), NonZeroUsize::new(limit));
        config
    };
    assert_eq!(frames(&Config::new()), (Some((10, 0)), 10, 10));
    assert_eq!(frames(&limited(3)), (Some((3, 7)), 3, 10));
    assert_eq!(frames(&limited(10)), (Some((10, 0)), 10, 10));
    assert_eq!(frames(&limited(0)), (None, 0, 10));
    let mut config = limited(0);
    assert_eq!(frames(config.wasm_backtrace(true)), (Some((10, 0)), 10, 10));
    assert_eq!(frames(config.wasm_backtrace(false)), (None, 0, 10));
    let mut config = limited(4);
    assert_eq!(frames(config.wasm_backtrace(true)), (Some((4, 6)), 4, 10));
}

#[test]
fn external_references_without_types() {
    let mut store = Store::new(&Engine::default(), ());
    let value = ExternRef::new(&mut store, 5u8).unwrap();
    let raw = value.to_raw(&mut store).unwrap();
    assert!(raw != 0);
    let slot = ValRaw::externref(raw);
    assert_eq!(slot.get_externref(), raw);
    let found = ExternRef::from_raw(&mut store, raw).unwrap();
    assert_eq!(found.data(&store).unwrap().unwrap().downcast_ref(), Some(&5u8));
    // SAFETY: what was given for an `externref` of this store.
    let found = unsafe { Val::from_raw(&mut store, slot, ValType::EXTERNREF) };
    assert!(matches!(found, Val::ExternRef(Some(_))));
    assert!(ExternRef::from_raw(&mut store, 0).is_none());
}

#[test]
fn engines_of_one_loader_take_the_same_artifacts() {
    let hash = |engine: &Engine| {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    };
    let other = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
    assert_eq!(hash(&Engine::default()), hash(&other));
}

#[test]
fn unused_places_tell_what_they_keep() {
    let engine = crate::pool::pooled(|_| ());
    let text = r#"(module (memory (export "memory") 4))"#;
    let module = module(&engine, text);
    let metrics = engine.pooling_allocator_metrics().unwrap();
    let Some(before) = metrics.unused_memory_bytes_resident() else {
        // An older kernel.
        return;
    };
    assert_eq!(before, 0);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    memory.data_mut(&mut store)[..3 << 16].fill(7);
    // It is in use.
    assert_eq!(metrics.unused_memory_bytes_resident(), Some(0));
    drop(store);
    let Some(kept) = metrics.unused_memory_bytes_resident() else {
        // An emulator, which cannot say what is resident.
        return;
    };
    assert!((3 << 16..4 << 16).contains(&kept), "{kept}");
    drop(module);
    assert_eq!(metrics.unused_memory_bytes_resident(), Some(0));
}

#[cfg(feature = "async")]
#[test]
fn pools_limit_stacks() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use aotc_loader::PoolConcurrencyLimitError;

    let engine = crate::pool::pooled(|pool| {
        pool.total_stacks(2);
        assert_eq!(pool.get_total_stacks(), 2);
    });
    let module = module(&engine, r#"(module (import "host" "wait" (func $f)) (start $f))"#);
    let mut linker = aotc_loader::Linker::<()>::new(&engine);
    linker.func_wrap_async("host", "wait", |_, ()| Box::new(std::future::pending::<()>())).unwrap();
    let mut stores = [(); 3].map(|()| Store::new(&engine, ()));
    let [first, second, third] = &mut stores;
    let mut context = Context::from_waker(Waker::noop());
    let metrics = engine.pooling_allocator_metrics().unwrap();
    {
        let mut first = pin!(linker.instantiate_async(first, &module));
        let mut second = pin!(linker.instantiate_async(second, &module));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!((metrics.stacks(), metrics.unused_warm_stacks()), (2, 0));
        let mut third = pin!(linker.instantiate_async(&mut *third, &module));
        let std::task::Poll::Ready(Err(error)) = third.as_mut().poll(&mut context) else {
            panic!("there is a third stack");
        };
        assert!(error.downcast_ref::<PoolConcurrencyLimitError>().is_some(), "{error:?}");
    }
    assert_eq!((metrics.stacks(), metrics.unused_warm_stacks()), (0, 2));
    let mut third = pin!(linker.instantiate_async(third, &module));
    assert!(third.as_mut().poll(&mut context).is_pending());
    assert_eq!((metrics.stacks(), metrics.unused_warm_stacks()), (1, 1));
}
