//! Functions: every arity, values without types, callers, and their misuse.

use std::mem::MaybeUninit;
use std::ptr;

use anyhow::{Result, anyhow};
use aotc_loader::{
    Caller, Engine, ExternRef, Func, FuncType, Instance, Linker, Module, Store, StoreContextMut,
    TypedFunc, V128, Val, ValRaw, ValType,
};

use crate::support::{chain, module, panic_text};

/// Passes its arguments on to the host and the host's results back, for `count` values of `i64`.
fn relay(engine: &Engine, count: usize) -> Module {
    let types = "i64 ".repeat(count);
    let gets: String = (0..count).map(|index| format!("(local.get {index})")).collect();
    let text = format!(
        r#"(module
          (import "host" "f" (func $f (param {types}) (result {types})))
          (func (export "f") (param {types}) (result {types}) {gets} (call $f)))"#
    );
    module(engine, &text)
}

macro_rules! i64s {
    ($($name:ident)*) => { ($(i64s!(@ $name),)*) };
    (@ $name:ident) => { i64 };
}

/// For each arity: a closure with and without the caller, called by wasm, typed.
macro_rules! arities {
    ($($count:literal: $($name:ident)*;)*) => {$({
        let engine = Engine::default();
        let module = relay(&engine, $count);
        let plain = |$($name: i64),*| ($($name + 1,)*);
        let with_caller = |mut caller: Caller<'_, i64>, $($name: i64),*| -> Result<_> {
            *caller.data_mut() += $count;
            Ok(($($name + 1,)*))
        };
        let mut store = Store::new(&engine, 0);
        let funcs = [Func::wrap(&mut store, plain), Func::wrap(&mut store, with_caller)];
        for func in funcs {
            let instance = Instance::new(&mut store, &module, &[func.into()])?;
            type Values = i64s!($($name)*);
            let func: TypedFunc<Values, Values> = instance.get_typed_func(&mut store, "f")?;
            let mut next = 0;
            $(next += 10; let $name = next;)*
            let ($($name,)*) = func.call(&mut store, ($($name,)*))?;
            let found: Vec<i64> = vec![$($name),*];
            let expected: Vec<i64> = (1..=$count).map(|number| number * 10 + 1).collect();
            assert_eq!((found, next), (expected, $count * 10));
        }
        assert_eq!(*store.data(), $count);
    })*};
}

#[test]
#[allow(
    unused_mut,
    unused_assignments,
    clippy::unused_unit,
    clippy::reversed_empty_ranges,
    reason = "there may be no values"
)]
fn every_arity() -> Result<()> {
    arities! {
        0: ;
        1: a;
        2: a b;
        3: a b c;
        4: a b c d;
        5: a b c d e;
        6: a b c d e f;
        7: a b c d e f g;
        8: a b c d e f g h;
        9: a b c d e f g h i;
        10: a b c d e f g h i j;
        11: a b c d e f g h i j k;
        12: a b c d e f g h i j k l;
        13: a b c d e f g h i j k l m;
        14: a b c d e f g h i j k l m n;
        15: a b c d e f g h i j k l m n o;
        16: a b c d e f g h i j k l m n o p;
        17: a b c d e f g h i j k l m n o p q;
    }
    Ok(())
}

#[test]
fn what_closures_return() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let types = [
        (Func::wrap(&mut store, || {}), "(func)"),
        (Func::wrap(&mut store, || -> Result<()> { Ok(()) }), "(func)"),
        (Func::wrap(&mut store, || 1u32), "(func (result i32))"),
        (Func::wrap(&mut store, || -> Result<u64> { Ok(1) }), "(func (result i64))"),
        (Func::wrap(&mut store, || (1f32,)), "(func (result f32))"),
        (Func::wrap(&mut store, || (1i32, 1f64)), "(func (result i32 f64))"),
        (
            Func::wrap(&mut store, |func: Option<Func>| -> Result<_> { Ok((func, V128::from(0))) }),
            "(func (param funcref) (result funcref v128))",
        ),
        (
            Func::wrap(&mut store, |value: Option<ExternRef>, bits: u128| (value, bits)),
            "(func (param externref v128) (result externref v128))",
        ),
    ];
    for (func, expected) in types {
        assert_eq!(func.ty(&store).to_string(), expected);
        assert!(func.matches_ty(&store, &func.ty(&store)));
    }
    let none = FuncType::new(&engine, [], []);
    assert!(types[0].0.matches_ty(&store, &none) && !types[2].0.matches_ty(&store, &none));
    let failing = Func::wrap(&mut store, || -> Result<i32> { Err(anyhow!("on purpose")) });
    assert_eq!(chain(failing.typed::<(), i32>(&store)?.call(&mut store, ())), "on purpose");
    let tried = Func::try_wrap(&mut store, || 9)?.typed::<(), i32>(&store)?;
    assert_eq!(tried.call(&mut store, ())?, 9);
    let ty = FuncType::try_new(&engine, [], [ValType::I32])?;
    let tried = Func::try_new(&mut store, ty, |_, _, _| Ok(()))?.typed::<(), i32>(&store)?;
    assert_eq!(tried.call(&mut store, ())?, 0);
    Ok(())
}

#[test]
fn raw_values() {
    assert_eq!(ValRaw::i32(-2).get_u32(), u32::MAX - 1);
    assert_eq!(ValRaw::u32(7).get_i32(), 7);
    assert_eq!(ValRaw::i64(i64::MIN).get_u64(), 1 << 63);
    assert_eq!(ValRaw::u64(u64::MAX).get_i64(), -1);
    assert_eq!(f32::from_bits(ValRaw::f32(1.5f32.to_bits()).get_f32()), 1.5);
    assert_eq!(f64::from_bits(ValRaw::f64(2.5f64.to_bits()).get_f64()), 2.5);
    assert_eq!(ValRaw::v128(3 << 100).get_v128(), 3 << 100);
    assert!(ValRaw::null().get_funcref().is_null());
    assert_eq!(format!("{:?}", ValRaw::i32(1)), format!("ValRaw({:#034x})", 1));
    assert_eq!(size_of::<ValRaw>(), 16);
}

/// Adds two `i32`s to an `i64`; both must be initialised.
fn sum(caller: &Caller<'_, i64>, values: &mut [MaybeUninit<ValRaw>]) -> Result<()> {
    // SAFETY: the slots of the parameters hold values.
    let (a, b) = unsafe { (values[0].assume_init().get_i32(), values[1].assume_init().get_i32()) };
    values[0].write(ValRaw::i64(i64::from(a) + i64::from(b) + caller.data()));
    Ok(())
}

#[test]
fn calls_without_types() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 100);
    let ty = FuncType::new(&engine, [ValType::I32, ValType::I32], [ValType::I64]);
    // SAFETY: `sum` does what the type says.
    let host = unsafe { Func::new_unchecked(&mut store, ty.clone(), |c, v| sum(&c, v)) };
    let mut linker = Linker::new(&engine);
    // SAFETY: as above.
    unsafe { linker.func_new_unchecked("host", "sum", ty, |c, v| sum(&c, v))? };
    let text = r#"(module (import "host" "sum" (func $sum (param i32 i32) (result i64)))
      (func (export "sum") (param i32 i32) (result i64) (call $sum (local.get 0) (local.get 1)))
      (func (export "nothing")) (func (export "trap") unreachable))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, text))?;
    let wasm = instance.get_func(&mut store, "sum").expect("an export");
    for func in [host, wasm] {
        let mut values = [ValRaw::i32(-1), ValRaw::i32(5)];
        // SAFETY: two arguments of the right types, and room for one result.
        unsafe { func.call_unchecked(&mut store, &raw mut values)? };
        assert_eq!(values[0].get_i64(), 104);
        assert_eq!(func.typed::<(i32, i32), i64>(&store)?.call(&mut store, (1, 2))?, 103);
        // SAFETY: the types are these.
        let typed = unsafe { TypedFunc::<(i32, i32), i64>::new_unchecked(&store, func) };
        assert_eq!(typed.call(&mut store, (1, 3))?, 104);
    }
    let empty = ptr::slice_from_raw_parts_mut(ptr::null_mut::<ValRaw>(), 0);
    let nothing = instance.get_func(&mut store, "nothing").expect("an export");
    let trap = instance.get_func(&mut store, "trap").expect("an export");
    // SAFETY: there are no arguments and results.
    let (nothing, trap) = unsafe {
        (nothing.call_unchecked(&mut store, empty), trap.call_unchecked(&mut store, empty))
    };
    nothing?;
    assert_eq!(
        trap.expect_err("a trap").downcast_ref(),
        Some(&aotc_loader::Trap::UnreachableCodeReached)
    );
    Ok(())
}

#[test]
fn references_without_types() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (func (export "same") (param funcref externref) (result funcref externref)
      (local.get 0) (local.get 1)))"#;
    let instance = Instance::new(&mut store, &module(&engine, text), &[])?;
    let same = instance.get_func(&mut store, "same").expect("an export");
    let seven = Func::wrap(&mut store, || 7);
    let value = ExternRef::new(&mut store, 8i32)?;
    let mut values = [
        ValRaw::funcref(seven.to_raw(&mut store)),
        Val::ExternRef(Some(value)).to_raw(&mut store)?,
    ];
    // SAFETY: two references of the store.
    unsafe { same.call_unchecked(&mut store, &raw mut values)? };
    // SAFETY: the results are references of the store.
    let (func, value) = unsafe {
        (
            Func::from_raw(&mut store, values[0].get_funcref()).expect("a function"),
            Val::from_raw(&mut store, values[1], ValType::EXTERNREF).unwrap_extern_ref(),
        )
    };
    assert_eq!(func.typed::<(), i32>(&store)?.call(&mut store, ())?, 7);
    let data = value.expect("a value").data(&store)?.and_then(|data| data.downcast_ref::<i32>());
    assert_eq!(data, Some(&8));
    // SAFETY: null.
    assert!(unsafe { Func::from_raw(&mut store, ptr::null_mut()) }.is_none());
    for value in [Val::I32(-3), Val::F64(5), Val::V128(V128::from(u128::MAX)), Val::FuncRef(None)] {
        let ty = value.ty(&store)?;
        let raw = value.to_raw(&mut store)?;
        // SAFETY: the value is of this type.
        let back = unsafe { Val::from_raw(&mut store, raw, ty) };
        assert_eq!(format!("{back:?}"), format!("{value:?}"));
    }
    Ok(())
}

#[test]
fn callers() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
      (import "host" "look" (func $look (result i32)))
      (func (export "look") (result i32) (call $look))
      (func (export "three") (result i32) (i32.const 3)))"#;
    let (ours, other) = (module(&engine, text), module(&engine, text));
    let three = ours.get_export_index("three").expect("an export");
    let stranger = other.get_export_index("three").expect("an export");
    let mut store = Store::new(&engine, 10);
    let look = move |mut caller: Caller<'_, i32>| -> Result<i32> {
        assert!(caller.get_module_export(&stranger).is_none());
        assert!(caller.get_export("four").is_none());
        let Some(export) = caller.get_module_export(&three) else { return Ok(-1) };
        let func = export.into_func().expect("a function").typed::<(), i32>(&caller)?;
        let three = func.call(&mut caller, ())?;
        assert!(Engine::same(caller.engine(), caller.as_context().engine()));
        let mut context: StoreContextMut<'_, i32> = caller.into();
        *context.data_mut() += three;
        Ok(*context.data())
    };
    let look = Func::wrap(&mut store, look);
    let instance = Instance::new(&mut store, &ours, &[look.into()])?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "look")?;
    assert_eq!(run.call(&mut store, ())?, 13);
    // Nobody imported it: there is no calling instance.
    assert_eq!(look.typed::<(), i32>(&store)?.call(&mut store, ())?, -1);
    Ok(())
}

#[test]
fn misuse() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |value: i32| value);
    let call = |store: &mut Store<()>, params: &[Val], results: &mut [Val]| {
        func.call(store, params, results)
    };
    let mut one = [Val::I32(0)];
    assert_eq!(chain(call(&mut store, &[], &mut one)), "expected 1 arguments, got 0");
    assert_eq!(chain(call(&mut store, &[Val::I32(1)], &mut [])), "expected 1 results, got 0");
    assert_eq!(
        chain(call(&mut store, &[Val::I64(1)], &mut one)),
        "argument 0: type mismatch: expected i32, found i64"
    );
    assert_eq!(
        chain(func.typed::<i64, i32>(&store).map(|_| ())),
        "type mismatch: expected (func (param i64) (result i32)), found (func (param i32) (result i32))"
    );
    let wrong = "object used with the wrong store";
    let ty = FuncType::new(&engine, [], []);
    assert_eq!(panic_text(|| drop(func.ty(&other))), wrong);
    assert_eq!(panic_text(|| _ = func.matches_ty(&other, &ty)), wrong);
    assert_eq!(panic_text(|| drop(func.typed::<i32, i32>(&other).map(|_| ()))), wrong);
    assert_eq!(panic_text(|| drop(call(&mut other, &[], &mut []))), wrong);
    assert_eq!(panic_text(|| _ = func.to_raw(&mut other)), wrong);
    assert_eq!(panic_text(|| drop(Val::from(func).to_raw(&mut other))), wrong);
    let typed = func.typed::<i32, i32>(&store)?;
    assert_eq!(panic_text(|| drop(typed.call(&mut other, 1))), wrong);
    // A host function's panic goes through the call.
    let panics = Func::wrap(&mut store, || -> () { panic!("on purpose") });
    assert_eq!(panic_text(|| drop(panics.call(&mut store, &[], &mut []))), "on purpose");
    Ok(())
}

/// References that are not null among the parameters of typed calls.
#[test]
fn references_as_parameters() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let text = r#"(module
      (table $table 1 funcref)
      (func (export "call") (param funcref) (result i32)
        (table.set $table (i32.const 0) (local.get 0))
        (call_indirect (result i32) (i32.const 0)))
      (func (export "second") (param i32 externref) (result externref) (local.get 1)))"#;
    let instance = Instance::new(&mut store, &module(&engine, text), &[])?;
    let call = instance.get_typed_func::<Func, i32>(&mut store, "call")?;
    let seven = Func::wrap(&mut store, || 7);
    assert_eq!(call.call(&mut store, seven)?, 7);
    let second =
        instance.get_typed_func::<(i32, ExternRef), Option<ExternRef>>(&mut store, "second")?;
    let value = ExternRef::new(&mut store, 8i32)?;
    let found = second.call(&mut store, (1, value))?.expect("a reference");
    let data = found.data(&store)?.and_then(|data| data.downcast_ref::<i32>());
    assert_eq!(data, Some(&8));
    let mut other = Store::new(&engine, ());
    let theirs = Func::wrap(&mut other, || 7);
    let text = panic_text(|| drop(call.call(&mut store, theirs)));
    assert_eq!(text, "object used with the wrong store");
    Ok(())
}
