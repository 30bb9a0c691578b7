//! What embedders are asked and told: limiters and call hooks.

use anyhow::{Error, Result, bail};
use aotc_loader::{
    CallHook, Engine, Instance, Linker, Memory, MemoryType, Module, Ref, RefType, ResourceLimiter,
    Store, StoreLimits, StoreLimitsBuilder, Table, TableType, Trap, WasmBacktrace,
};

use crate::support::{explicit_image, image};

const GROWS: &str = r#"(module
  (memory (export "memory") 2 10)
  (table (export "table") 5 20 funcref)
  (func (export "memory.grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "table.grow") (param i32) (result i32)
    (table.grow (ref.null func) (local.get 0))))"#;

/// Answers as it was told, and writes down what it was asked.
#[derive(Default)]
struct Log {
    events: Vec<String>,
    refuse: bool,
    fail: bool,
    fail_when_failed: bool,
}

impl Log {
    fn growing(&mut self, what: &str, from: usize, to: usize, max: Option<usize>) -> Result<bool> {
        self.events.push(format!("{what} {from} {to} {max:?}"));
        if self.fail {
            bail!("no more {what}");
        }
        Ok(!self.refuse)
    }

    fn failed(&mut self, what: &str, error: Error) -> Result<()> {
        self.events.push(format!("{what}: {error}"));
        if self.fail_when_failed { Err(error.context("it matters")) } else { Ok(()) }
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }
}

impl ResourceLimiter for Log {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.growing("memory", current >> 16, desired >> 16, maximum.map(|maximum| maximum >> 16))
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("memory", error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.growing("table", current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed("table", error)
    }
}

fn logging(engine: &Engine) -> Store<Log> {
    let mut store = Store::new(engine, Log::default());
    store.limiter(|log| log);
    store
}

fn modules(engine: &Engine, text: &str) -> [Module; 2] {
    [image(text), explicit_image(text)].map(|bytes| Module::from_bytes(engine, &bytes).unwrap())
}

#[test]
fn limiters_are_asked_for_all_growth() {
    let engine = Engine::default();
    for module in modules(&engine, GROWS) {
        let mut store = logging(&engine);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        assert_eq!(store.data_mut().take(), ["memory 0 2 Some(10)", "table 0 5 Some(20)"]);
        let memory_grow = instance.get_typed_func::<i32, i32>(&mut store, "memory.grow").unwrap();
        let table_grow = instance.get_typed_func::<i32, i32>(&mut store, "table.grow").unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let table = instance.get_table(&mut store, "table").unwrap();
        assert_eq!(memory_grow.call(&mut store, 1).unwrap(), 2);
        assert_eq!(table_grow.call(&mut store, 2).unwrap(), 5);
        assert_eq!(memory.grow(&mut store, 1).unwrap(), 3);
        assert_eq!(table.grow(&mut store, 1, Ref::Func(None)).unwrap(), 7);
        // Nothing grows, so nothing is asked.
        assert_eq!(memory_grow.call(&mut store, 0).unwrap(), 4);
        assert_eq!(table_grow.call(&mut store, 0).unwrap(), 8);
        assert_eq!(
            store.data_mut().take(),
            [
                "memory 2 3 Some(10)",
                "table 5 7 Some(20)",
                "memory 3 4 Some(10)",
                "table 7 8 Some(20)"
            ]
        );
        // Above the maximum.
        assert_eq!(memory_grow.call(&mut store, 7).unwrap(), -1);
        assert_eq!(table_grow.call(&mut store, 13).unwrap(), -1);
        assert_eq!(
            memory.grow(&mut store, 7).unwrap_err().to_string(),
            "failed to grow memory by `7`"
        );
        assert_eq!(
            store.data_mut().take(),
            [
                "memory 4 11 Some(10)",
                "memory: Memory maximum size exceeded",
                "table 8 21 Some(20)",
                "table: Table maximum size exceeded",
                "memory 4 11 Some(10)",
                "memory: Memory maximum size exceeded"
            ]
        );
        store.data_mut().refuse = true;
        assert_eq!(memory_grow.call(&mut store, 1).unwrap(), -1);
        assert_eq!(table_grow.call(&mut store, 1).unwrap(), -1);
        assert!(memory.grow(&mut store, 1).is_err());
        assert!(table.grow(&mut store, 1, Ref::Func(None)).is_err());
        assert_eq!((memory.size(&store), table.size(&store)), (4, 8));
        store.data_mut().fail = true;
        for (grow, what) in [(memory_grow, "memory"), (table_grow, "table")] {
            let error = grow.call(&mut store, 1).unwrap_err();
            assert_eq!(error.root_cause().to_string(), format!("no more {what}"));
            assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        }
        let error = memory.grow(&mut store, 1).unwrap_err();
        assert_eq!(error.to_string(), "no more memory");
        *store.data_mut() = Log { fail_when_failed: true, ..Log::default() };
        let error = memory_grow.call(&mut store, 100).unwrap_err();
        assert!(format!("{error:?}").contains("it matters"), "{error:?}");
    }
}

#[test]
fn limiters_refuse_instances() {
    let engine = Engine::default();
    for module in modules(&engine, GROWS) {
        let mut store = logging(&engine);
        store.data_mut().refuse = true;
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.to_string(), "memory minimum size of 2 pages exceeds memory limits");
        let error = Memory::new(&mut store, MemoryType::new(3, None)).unwrap_err();
        assert_eq!(error.to_string(), "memory minimum size of 3 pages exceeds memory limits");
        let ty = TableType::new(RefType::FUNCREF, 4, None);
        let error = Table::new(&mut store, ty, Ref::Func(None)).unwrap_err();
        assert_eq!(error.to_string(), "table minimum size of 4 elements exceeds table limits");
        store.data_mut().fail = true;
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.to_string(), "no more memory");
        *store.data_mut() = Log::default();
        Instance::new(&mut store, &module, &[]).unwrap();
    }
}

#[test]
fn fixed_limits() {
    let engine = Engine::default();
    let limited = |limits: StoreLimits| {
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        store
    };
    for module in modules(&engine, GROWS) {
        let new = StoreLimitsBuilder::new;
        let mut store = limited(new().memory_size(3 << 16).table_elements(6).build());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for (name, delta, expected) in [
            ("memory.grow", 2, -1),
            ("memory.grow", 1, 2),
            ("memory.grow", 1, -1),
            ("table.grow", 2, -1),
            ("table.grow", 1, 5),
            ("table.grow", 1, -1),
        ] {
            let grow = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            assert_eq!(grow.call(&mut store, delta).unwrap(), expected, "{name} {delta}");
        }
        let error = Instance::new(&mut limited(new().memory_size(1).build()), &module, &[]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "memory minimum size of 2 pages exceeds memory limits"
        );
        for (limits, message) in [
            (new().instances(2), "resource limit exceeded: instance count too high at 3"),
            (new().memories(2), "resource limit exceeded: memory count too high at 3"),
            (new().tables(2), "resource limit exceeded: table count too high at 3"),
        ] {
            let mut store = limited(limits.build());
            Instance::new(&mut store, &module, &[]).unwrap();
            Instance::new(&mut store, &module, &[]).unwrap();
            for _ in 0..2 {
                let error = Instance::new(&mut store, &module, &[]).unwrap_err();
                assert_eq!(error.to_string(), message);
            }
        }
        let limits = new().memory_size(3 << 16).table_elements(6).trap_on_grow_failure(true);
        let mut store = limited(limits.build());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for (name, delta, message) in [
            ("memory.grow", 2, "forcing trap when growing memory to 262144 bytes"),
            ("table.grow", 20, "forcing trap when growing table to 25 elements"),
        ] {
            let grow = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            let error = grow.call(&mut store, delta).unwrap_err();
            assert_eq!(error.root_cause().to_string(), message);
        }
    }
}

const CALLS: &str = r#"(module
  (import "host" "f" (func $f (param i32)))
  (func (export "twice") (param i32) (call $f (local.get 0)) (call $f (local.get 0)))
  (func (export "again") (param i32) (call $f (local.get 0)))
  (func (export "trap") unreachable))"#;

#[derive(Default)]
struct Hooked {
    events: Vec<CallHook>,
    /// Which event is an error, counted from here.
    fail_at: Option<usize>,
    called: usize,
}

fn hooked(engine: &Engine, module: &Module) -> (Store<Hooked>, Instance) {
    let mut linker = Linker::<Hooked>::new(engine);
    linker
        .func_wrap(
            "host",
            "f",
            |mut caller: aotc_loader::Caller<'_, Hooked>, depth: i32| -> Result<()> {
                caller.data_mut().called += 1;
                if depth > 0 {
                    let again = caller.get_export("again").unwrap().into_func().unwrap();
                    again.typed::<i32, ()>(&caller)?.call(&mut caller, depth - 1)?;
                }
                Ok(())
            },
        )
        .unwrap();
    let mut store = Store::new(engine, Hooked::default());
    store.call_hook(|mut store, event| {
        let hooked = store.data_mut();
        hooked.events.push(event);
        if hooked.fail_at == Some(hooked.events.len() - 1) {
            bail!("hook failed");
        }
        Ok(())
    });
    let instance = linker.instantiate(&mut store, module).unwrap();
    (store, instance)
}

#[test]
fn call_hooks_are_told_of_every_crossing() {
    use CallHook::{CallingHost, CallingWasm, ReturningFromHost, ReturningFromWasm};
    let engine = Engine::default();
    for module in modules(&engine, CALLS) {
        let (mut store, instance) = hooked(&engine, &module);
        // No start function, no call.
        assert_eq!(store.data().events, []);
        let twice = instance.get_typed_func::<i32, ()>(&mut store, "twice").unwrap();
        twice.call(&mut store, 0).unwrap();
        let host = [CallingHost, ReturningFromHost];
        let wasm = |inside: &[CallHook]| [&[CallingWasm], inside, &[ReturningFromWasm]].concat();
        assert_eq!(store.data().events, wasm(&[host, host].concat()));
        store.data_mut().events.clear();
        let params = [aotc_loader::Val::I32(1)];
        twice.func().call(&mut store, &params, &mut []).unwrap();
        let nested = [&[CallingHost][..], &wasm(&host), &[ReturningFromHost]].concat();
        assert_eq!(store.data().events, wasm(&[nested.clone(), nested].concat()));
        assert!(CallingHost.entering_host() && !CallingHost.exiting_host());
        assert!(CallingWasm.exiting_host() && ReturningFromWasm.entering_host());
        store.data_mut().events.clear();
        let trap = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap();
        let error = trap.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        assert_eq!(store.data().events, wasm(&[]));
    }
}

#[test]
fn call_hooks_end_calls() {
    let engine = Engine::default();
    for module in modules(&engine, CALLS) {
        // How often the host function runs if the n-th event is an error.
        for (event, called) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let (mut store, instance) = hooked(&engine, &module);
            let twice = instance.get_typed_func::<i32, ()>(&mut store, "twice").unwrap();
            store.data_mut().fail_at = Some(event);
            let error = twice.call(&mut store, 0).unwrap_err();
            assert_eq!(error.root_cause().to_string(), "hook failed", "event {event}");
            assert_eq!(store.data().called, called, "event {event}");
            *store.data_mut() = Hooked::default();
            twice.call(&mut store, 0).unwrap();
        }
    }
}

#[cfg(feature = "async")]
mod waiting {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use aotc_loader::{CallHookHandler, ResourceLimiterAsync, StoreContextMut};

    use super::*;

    async fn wait() {
        let mut waited = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Polls until it is ready; how often it was not.
    fn drive<F: Future>(future: F) -> (F::Output, u32) {
        let mut future = pin!(future);
        for pending in 0.. {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return (output, pending);
            }
        }
        unreachable!("more polls than there are numbers")
    }

    type Answer<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

    impl ResourceLimiterAsync for Log {
        fn memory_growing<'life0, 'async_trait>(
            &'life0 mut self,
            current: usize,
            desired: usize,
            maximum: Option<usize>,
        ) -> Answer<'async_trait, bool>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                wait().await;
                ResourceLimiter::memory_growing(self, current, desired, maximum)
            })
        }

        fn table_growing<'life0, 'async_trait>(
            &'life0 mut self,
            current: usize,
            desired: usize,
            maximum: Option<usize>,
        ) -> Answer<'async_trait, bool>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                wait().await;
                ResourceLimiter::table_growing(self, current, desired, maximum)
            })
        }
    }

    #[test]
    fn limiters_wait() {
        let engine = Engine::default();
        for module in modules(&engine, GROWS) {
            let mut store = Store::new(&engine, Log::default());
            store.limiter_async(|log| log);
            let refused = "store configuration requires that `*_async` functions are used instead";
            let error = Instance::new(&mut store, &module, &[]).unwrap_err();
            assert_eq!(error.to_string(), refused);
            let (instance, times) = drive(Instance::new_async(&mut store, &module, &[]));
            let instance = instance.unwrap();
            assert_eq!(times, 2);
            let grow = instance.get_typed_func::<i32, i32>(&mut store, "memory.grow").unwrap();
            let (old, times) = drive(grow.call_async(&mut store, 1));
            assert_eq!((old.unwrap(), times), (2, 1));
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            let table = instance.get_table(&mut store, "table").unwrap();
            assert_eq!(memory.grow(&mut store, 1).unwrap_err().to_string(), refused);
            let error = table.grow(&mut store, 1, Ref::Func(None)).unwrap_err();
            assert_eq!(error.to_string(), refused);
            let (old, times) = drive(memory.grow_async(&mut store, 1));
            assert_eq!((old.unwrap(), times), (3, 1));
            let (old, times) = drive(table.grow_async(&mut store, 1, Ref::Func(None)));
            assert_eq!((old.unwrap(), times), (5, 1));
            let ty = MemoryType::new(1, None);
            assert_eq!(Memory::new(&mut store, ty.clone()).unwrap_err().to_string(), refused);
            assert_eq!(drive(Memory::new_async(&mut store, ty)).1, 1);
            let ty = TableType::new(RefType::FUNCREF, 1, None);
            let error = Table::new(&mut store, ty.clone(), Ref::Func(None)).unwrap_err();
            assert_eq!(error.to_string(), refused);
            assert_eq!(drive(Table::new_async(&mut store, ty, Ref::Func(None))).1, 1);
            store.data_mut().refuse = true;
            assert!(drive(memory.grow_async(&mut store, 1)).0.is_err());
        }
    }

    struct Waits;

    impl CallHookHandler<Hooked> for Waits {
        fn handle_call_event<'life0, 'life1, 'async_trait>(
            &'life0 self,
            mut store: StoreContextMut<'life1, Hooked>,
            event: CallHook,
        ) -> Answer<'async_trait, ()>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                wait().await;
                store.data_mut().events.push(event);
                Ok(())
            })
        }
    }

    #[test]
    fn call_hooks_wait() {
        let engine = Engine::default();
        for module in modules(&engine, CALLS) {
            let (mut store, instance) = hooked(&engine, &module);
            store.call_hook_async(Waits);
            let twice = instance.get_typed_func::<i32, ()>(&mut store, "twice").unwrap();
            assert!(twice.call(&mut store, 0).is_err());
            let (result, times) = drive(twice.call_async(&mut store, 0));
            result.unwrap();
            assert_eq!((times, store.data().events.len()), (6, 6));
        }
    }
}
