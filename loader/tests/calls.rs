//! Calls of functions of numbers: with every number of arguments, from wherever a store is used, and what remains of those that fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use aotc_loader::{
    CallHook, Caller, Engine, Func, Instance, Linker, Module, Store, Trap, TypedFunc, WasmBacktrace,
};

use crate::support::{module, panic_text};

/// A store with an instance of `text`, whose import `host.f` is `host`.
fn instance(
    text: &str,
    host: impl Fn(Caller<'_, u32>) -> Result<i32> + Send + Sync + 'static,
) -> Result<(Store<u32>, Instance)> {
    let engine = Engine::default();
    let module = module(&engine, text);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", host)?;
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &module)?;
    Ok((store, instance))
}

/// `f` calls the host and adds 1; `deep` calls itself as often as its argument says; `trap` calls the host and traps.
const CALLS_HOST: &str = r#"(module
    (import "host" "f" (func $host (result i32)))
    (func (export "f") (result i32) (i32.add (call $host) (i32.const 1)))
    (func (export "trap") (result i32) (drop (call $host)) unreachable)
    (func $deep (export "deep") (param i32) (result i32)
      (if (result i32) (i32.eqz (local.get 0))
        (then (i32.const 0))
        (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "host_and_deep") (param i32) (result i32)
      (drop (call $host)) (call $deep (local.get 0)))
    (func (export "seven") (result i32) (i32.const 7)))"#;

/// More calls of `deep` than there is stack for.
const TOO_DEEP: i32 = 100_000_000;

macro_rules! counts {
    ($($count:literal: $($name:ident)*;)*) => {$({
        for (ty, step) in [("i32", 0), ("i64", 1 << 33)] {
            let params = format!("{ty} ").repeat($count);
            let sum = (0..$count).fold(format!("({ty}.const 1)"), |sum, index| {
                format!("({ty}.add (local.get {index}) ({ty}.mul ({ty}.const 3) {sum}))")
            });
            let text = format!(r#"(module (func (export "f") (param {params}) (result {ty}) {sum}))"#);
            let engine = Engine::default();
            let module = module(&engine, &text);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            let mut next: i64 = step;
            $(next += 5; let $name = next;)*
            let expected = [$($name),*].iter().fold(1, |sum: i64, value| value + 3 * sum);
            for _ in 0..3 {
                let found = if ty == "i32" {
                    type Params = ($(counts!(@i32 $name),)*);
                    let f: TypedFunc<Params, i32> = instance.get_typed_func(&mut store, "f")?;
                    f.call(&mut store, ($($name as i32,)*))?.into()
                } else {
                    type Params = ($(counts!(@i64 $name),)*);
                    let f: TypedFunc<Params, i64> = instance.get_typed_func(&mut store, "f")?;
                    f.call(&mut store, ($($name,)*))?
                };
                assert_eq!(found, expected, "{} of {ty}", $count);
            }
        }
    })*};
    (@i32 $name:ident) => { i32 };
    (@i64 $name:ident) => { i64 };
}

#[test]
fn any_number_of_integers() -> Result<()> {
    counts! {
        1: a;
        2: a b;
        3: a b c;
        4: a b c d;
        5: a b c d e;
        6: a b c d e f;
        7: a b c d e f g;
        8: a b c d e f g h;
        12: a b c d e f g h i j k l;
        17: a b c d e f g h i j k l m n o p q;
    }
    Ok(())
}

#[test]
fn integers_and_floats() -> Result<()> {
    let text = r#"(module
        (func (export "f") (param i32 f64 i64 f32) (result f64)
          (f64.add (f64.convert_i32_s (local.get 0))
            (f64.add (local.get 1)
              (f64.add (f64.convert_i64_s (local.get 2)) (f64.promote_f32 (local.get 3))))))
        (func (export "g") (param f32) (result f32) (f32.neg (local.get 0)))
        (func (export "h") (param i64) (result i32) (i32.wrap_i64 (local.get 0))))"#;
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module(&engine, text), &[])?;
    let f = instance.get_typed_func::<(i32, f64, i64, f32), f64>(&mut store, "f")?;
    let g = instance.get_typed_func::<f32, f32>(&mut store, "g")?;
    let h = instance.get_typed_func::<i64, i32>(&mut store, "h")?;
    for _ in 0..3 {
        assert_eq!(f.call(&mut store, (-1, 0.5, 1 << 40, 0.25))?, (1_u64 << 40) as f64 - 0.25);
        assert_eq!(g.call(&mut store, 2.5)?, -2.5);
        assert_eq!(h.call(&mut store, i64::MIN | 5)?, 5);
    }
    Ok(())
}

#[test]
fn a_call_that_fails_leaves_the_next_as_it_was() -> Result<()> {
    let (mut store, instance) = instance(CALLS_HOST, |mut caller| {
        *caller.data_mut() += 1;
        match *caller.data() % 3 {
            0 => Err(anyhow!("the third time")),
            1 => Ok(40),
            _ => panic!("the second time"),
        }
    })?;
    let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
    let trap = instance.get_typed_func::<(), i32>(&mut store, "trap")?;
    let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep")?;
    for _ in 0..3 {
        assert_eq!(f.call(&mut store, ())?, 41);
        assert_eq!(panic_text(|| drop(f.call(&mut store, ()))), "the second time");
        let error = f.call(&mut store, ()).unwrap_err();
        assert_eq!(error.root_cause().to_string(), "the third time");
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        assert_eq!(
            trap.call(&mut store, ()).unwrap_err().downcast_ref(),
            Some(&Trap::UnreachableCodeReached)
        );
        *store.data_mut() -= 1;
        let error = deep.call(&mut store, TOO_DEEP).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
        assert_eq!(deep.call(&mut store, 10)?, 10);
    }
    Ok(())
}

#[test]
fn stores_take_turns_and_call_each_other() -> Result<()> {
    let (mut inner, inner_instance) = instance(CALLS_HOST, |_| Ok(1))?;
    let inner_f = inner_instance.get_typed_func::<(), i32>(&mut inner, "f")?;
    let inner_trap = inner_instance.get_typed_func::<(), i32>(&mut inner, "trap")?;
    let shared = std::sync::Mutex::new(inner);
    let (mut outer, outer_instance) = instance(CALLS_HOST, move |mut caller| {
        let inner = &mut *shared.lock().unwrap();
        assert!(inner_trap.call(&mut *inner, ()).is_err());
        let again = caller.get_export("seven").unwrap().into_func().unwrap();
        let again: TypedFunc<(), i32> = again.typed(&caller)?;
        Ok(inner_f.call(inner, ())? + again.call(&mut caller, ())?)
    })?;
    let f = outer_instance.get_typed_func::<(), i32>(&mut outer, "f")?;
    let trap = outer_instance.get_typed_func::<(), i32>(&mut outer, "trap")?;
    let (mut other, other_instance) = instance(CALLS_HOST, |_| Ok(5))?;
    let other_f = other_instance.get_typed_func::<(), i32>(&mut other, "f")?;
    for _ in 0..3 {
        assert_eq!(f.call(&mut outer, ())?, 10);
        assert_eq!(other_f.call(&mut other, ())?, 6);
        let error = trap.call(&mut outer, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
    }
    Ok(())
}

#[test]
fn a_store_goes_from_thread_to_thread() -> Result<()> {
    let (mut store, instance) = instance(CALLS_HOST, |_| Ok(2))?;
    let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
    let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep")?;
    for stack in [256 << 10, 8 << 20, 1 << 20] {
        assert_eq!(f.call(&mut store, ())?, 3);
        let store = &mut store;
        std::thread::scope(|scope| {
            let run = move || {
                for _ in 0..2 {
                    assert_eq!(f.call(&mut *store, ()).unwrap(), 3);
                    let error = deep.call(&mut *store, TOO_DEEP).unwrap_err();
                    assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
                }
            };
            std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, run).unwrap();
        });
    }
    Ok(())
}

/// What a host function does with its store on another thread is done when it goes on: stack and ways out are its own.
#[test]
fn a_host_function_calls_on_another_thread() -> Result<()> {
    let (mut store, instance) = instance(CALLS_HOST, |mut caller| {
        let [seven, deep, trap] = ["seven", "deep", "trap"]
            .map(|name| caller.get_export(name).unwrap().into_func().unwrap());
        let depth = *caller.data();
        *caller.data_mut() += 1;
        if depth == 2 {
            return Ok(1);
        }
        let seven: TypedFunc<(), i32> = seven.typed(&caller)?;
        let deep: TypedFunc<i32, i32> = deep.typed(&caller)?;
        let trap: TypedFunc<(), i32> = trap.typed(&caller)?;
        let result = std::thread::scope(|scope| {
            let run = || {
                let result = seven.call(&mut caller, ())?;
                let error = deep.call(&mut caller, TOO_DEEP).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
                // The host function calls on a third thread.
                let error = trap.call(&mut caller, ()).unwrap_err();
                assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
                Ok(result)
            };
            let thread = std::thread::Builder::new().stack_size(512 << 10);
            thread.spawn_scoped(scope, run).unwrap().join().unwrap()
        });
        caller.gc(None);
        *caller.data_mut() = depth;
        result
    })?;
    let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
    let trap = instance.get_typed_func::<(), i32>(&mut store, "trap")?;
    let host_and_deep = instance.get_typed_func::<i32, i32>(&mut store, "host_and_deep")?;
    for _ in 0..3 {
        assert_eq!(f.call(&mut store, ())?, 8);
        let error = trap.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        // As deep as this thread's stack allows, and no deeper.
        assert_eq!(host_and_deep.call(&mut store, 20_000)?, 20_000);
        let error = host_and_deep.call(&mut store, TOO_DEEP).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow));
    }
    Ok(())
}

/// What is asked for between two calls, or in one, holds from the next on.
#[test]
fn hooks_are_told_of_calls_from_when_they_are_set() -> Result<()> {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let (mut store, instance) = instance(CALLS_HOST, |_| Ok(1))?;
    let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
    assert_eq!(f.call(&mut store, ())?, 2);
    store.call_hook(|_, hook| {
        if matches!(hook, CallHook::CallingWasm) {
            TOLD.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    assert_eq!(f.call(&mut store, ())?, 2);
    assert_eq!(f.call(&mut store, ())?, 2);
    assert_eq!(TOLD.load(Ordering::Relaxed), 2);
    Ok(())
}

#[test]
fn a_function_of_the_host_is_called_like_others() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let f: TypedFunc<(i32, i32), i32> =
        Func::wrap(&mut store, |a: i32, b: i32| a - b).typed(&store)?;
    assert_eq!(f.call(&mut store, (5, 3))?, 2);
    let text =
        r#"(module (import "host" "f" (func (param i32 i32) (result i32))) (export "f" (func 0)))"#;
    let reexport: Module = module(&engine, text);
    let instance = Instance::new(&mut store, &reexport, &[(*f.func()).into()])?;
    let f = instance.get_typed_func::<(i32, i32), i32>(&mut store, "f")?;
    assert_eq!(f.call(&mut store, (5, 4))?, 1);
    Ok(())
}

/// A store that is called when its thread ends, by a destructor that runs behind the loader's own.
#[test]
fn a_destructor_of_a_thread_calls() -> Result<()> {
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    struct Calls {
        store: Store<u32>,
        f: TypedFunc<(), i32>,
        trap: TypedFunc<(), i32>,
    }
    struct AtEnd(Option<Calls>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let Calls { store, f, trap } = self.0.as_mut().unwrap();
            assert_eq!(f.call(&mut *store, ()).unwrap(), 2);
            assert!(trap.call(&mut *store, ()).is_err());
            assert_eq!(f.call(store, ()).unwrap(), 2);
            CALLED.fetch_add(1, Ordering::Relaxed);
        }
    }
    std::thread_local! {
        static AT_END: std::cell::RefCell<AtEnd> = const { std::cell::RefCell::new(AtEnd(None)) };
    }
    let run = || -> Result<()> {
        // Known to the thread before anything of the loader.
        AT_END.with(|_| ());
        let (mut store, instance) = instance(CALLS_HOST, |_| Ok(1))?;
        let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
        let trap = instance.get_typed_func::<(), i32>(&mut store, "trap")?;
        assert_eq!(f.call(&mut store, ())?, 2);
        AT_END.with_borrow_mut(|at_end| at_end.0 = Some(Calls { store, f, trap }));
        Ok(())
    };
    std::thread::spawn(run).join().unwrap()?;
    assert_eq!(CALLED.load(Ordering::Relaxed), 1);
    Ok(())
}
