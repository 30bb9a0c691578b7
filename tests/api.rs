//! The loader's interface: values of every type both ways, items that instances share, misuse, and that
//! nothing is left behind.

use std::fs;

use anyhow::{Result, anyhow, ensure};
use aotc_abi::target::TrapStyle;
use aotc_loader::{
    Caller, Engine, Extern, ExternRef, Func, FuncType, Global, GlobalType, Instance, LinkError,
    Linker, Memory, MemoryType, Module, Mutability, Ref, RefType, Store, Table, TableType, Trap,
    UnknownImportError, V128, Val, ValType,
};
use libtest_mimic::Trial;

use crate::guest::{self, Test};

const TESTS: [Test; 15] = [
    ("every_type_through_typed_functions", every_type_typed),
    ("every_type_through_untyped_functions", every_type_untyped),
    ("references_through_host_functions", references),
    ("host_function_as_reference", host_function_as_reference),
    ("twenty_results", twenty_results),
    ("sixteen_parameters", sixteen_parameters),
    ("caller_get_export", caller_get_export),
    ("shared_memory", shared_memory),
    ("shared_table", shared_table),
    ("shared_global", shared_global),
    ("missing_import", missing_import),
    ("mistyped_imports", mistyped_imports),
    ("wrong_store", wrong_store),
    ("wrong_types", wrong_types),
    ("nothing_is_left_behind", nothing_is_left_behind),
];

pub(crate) fn trials() -> Vec<Trial> {
    guest::trials("api", &TESTS)
}

const ALL_TYPES: &str = r#"(module
  (import "host" "all" (func $all (param i32 i64 f32 f64 v128 funcref externref)
    (result externref funcref v128 f64 f32 i64 i32)))
  (func (export "all") (param i32 i64 f32 f64 v128 funcref externref)
    (result externref funcref v128 f64 f32 i64 i32)
    (call $all (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
      (local.get 5) (local.get 6)))
  (func (export "seven") (result i32) (i32.const 7)))"#;

type AllParams = (i32, i64, f32, f64, V128, Option<Func>, Option<ExternRef>);
type AllResults = (Option<ExternRef>, Option<Func>, V128, f64, f32, i64, i32);

const BITS: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;

fn every_type_typed(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let module = guest::module(store.engine(), ALL_TYPES, style)?;
    let all = |a: i32, b: i64, c: f32, d: f64, e: V128, f: Option<Func>, g: Option<ExternRef>| {
        (g, f, V128::from(!e.as_u128()), d * 2.0, c * 2.0, b + 1, a + 1)
    };
    linker.func_wrap("host", "all", all)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let function = instance.get_typed_func::<AllParams, AllResults>(&mut store, "all")?;
    let seven = instance.get_func(&mut store, "seven");
    let text = ExternRef::new(&mut store, "text".to_owned())?;
    let params = (i32::MIN, i64::MAX - 1, 1.5, -2.5, V128::from(BITS), seven, Some(text));
    let (g, f, e, d, c, b, a) = function.call(&mut store, params)?;
    ensure!((a, b, c, d, e.as_u128()) == (i32::MIN + 1, i64::MAX, 3.0, -5.0, !BITS));
    check_references(&mut store, f, g)?;
    let (g, f, ..) = function.call(&mut store, (0, 0, 0.0, 0.0, V128::from(0), None, None))?;
    ensure!(g.is_none() && f.is_none());
    Ok(())
}

fn every_type_untyped(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let engine = store.engine().clone();
    let module = guest::module(&engine, ALL_TYPES, style)?;
    let types = [
        ValType::I32,
        ValType::I64,
        ValType::F32,
        ValType::F64,
        ValType::V128,
        ValType::FUNCREF,
        ValType::EXTERNREF,
    ];
    let mut reversed = types;
    reversed.reverse();
    let ty = FuncType::new(&engine, types, reversed);
    linker.func_new("host", "all", ty.clone(), |_, params, results| {
        for (result, param) in results.iter_mut().zip(params.iter().rev()) {
            *result = *param;
        }
        Ok(())
    })?;
    let instance = linker.instantiate(&mut store, &module)?;
    let function = instance.get_func(&mut store, "all").ok_or_else(|| anyhow!("exported"))?;
    ensure!(function.ty(&store) == ty, "{}", function.ty(&store));
    let seven = instance.get_func(&mut store, "seven");
    let text = ExternRef::new(&mut store, "text".to_owned())?;
    // A signalling NaN keeps its bits.
    let (single, double) = (0x7fa0_0001, 0x7ff4_0000_0000_0001);
    let params = [
        Val::I32(-1),
        Val::I64(i64::MIN),
        Val::F32(single),
        Val::F64(double),
        Val::V128(BITS.into()),
        Val::FuncRef(seven),
        Val::ExternRef(Some(text)),
    ];
    let mut results = [Val::I32(0); 7];
    function.call(&mut store, &params, &mut results)?;
    let [g, f, e, d, c, b, a] = results;
    ensure!((a.unwrap_i32(), b.unwrap_i64()) == (-1, i64::MIN));
    ensure!(matches!(c, Val::F32(bits) if bits == single), "{c:?}");
    ensure!(matches!(d, Val::F64(bits) if bits == double), "{d:?}");
    ensure!(e.unwrap_v128().as_u128() == BITS);
    check_references(&mut store, f.unwrap_func_ref(), g.unwrap_extern_ref())
}

/// They are the function `seven` and the host's `text`.
fn check_references(
    store: &mut Store<()>,
    function: Option<Func>,
    value: Option<ExternRef>,
) -> Result<()> {
    let function = function.ok_or_else(|| anyhow!("null"))?.typed::<(), i32>(&*store)?;
    ensure!(function.call(&mut *store, ())? == 7);
    let value = value.ok_or_else(|| anyhow!("null"))?;
    let data = value.data(&*store)?.and_then(|data| data.downcast_ref::<String>());
    ensure!(data.is_some_and(|data| data == "text"));
    Ok(())
}

fn references(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let text = r#"(module
      (import "host" "make" (func $make (result externref)))
      (import "host" "look" (func $look (param externref) (result i32)))
      (table $kept 3 externref)
      (global $last (mut externref) (ref.null extern))
      (func (export "keep") (param i32) (result i32)
        (table.set $kept (local.get 0) (call $make))
        (global.set $last (table.get $kept (local.get 0)))
        (call $look (global.get $last)))
      (func (export "look") (param i32) (result i32) (call $look (table.get $kept (local.get 0)))))"#;
    linker.func_wrap(
        "host",
        "make",
        |mut caller: Caller<'_, ()>| -> Result<Option<ExternRef>> {
            Ok(Some(ExternRef::new(&mut caller, 41i32)?))
        },
    )?;
    let look = |caller: Caller<'_, ()>, value: Option<ExternRef>| -> Result<i32> {
        let Some(value) = value else { return Ok(-1) };
        let data = value.data(&caller)?.and_then(|data| data.downcast_ref::<i32>());
        data.map(|data| data + 1).ok_or_else(|| anyhow!("another value"))
    };
    linker.func_wrap("host", "look", look)?;
    let module = guest::module(store.engine(), text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let keep = instance.get_typed_func::<i32, i32>(&mut store, "keep")?;
    let look = instance.get_typed_func::<i32, i32>(&mut store, "look")?;
    ensure!(look.call(&mut store, 1)? == -1);
    ensure!(keep.call(&mut store, 1)? == 42);
    ensure!(look.call(&mut store, 1)? == 42);
    Ok(())
}

/// A host function in a table, called by wasm, by another instance, and by the host.
fn host_function_as_reference(style: TrapStyle) -> Result<()> {
    let (mut store, linker) = host();
    let text = r#"(module
      (table (export "table") 2 funcref)
      (func (export "call") (param i32 i32) (result i32)
        (call_indirect (param i32) (result i32) (local.get 1) (local.get 0)))
      (func (export "call_other") (param i32) (result i32)
        (call_indirect (result i32) (local.get 0))))"#;
    // Before there is any module, and after.
    let early = Func::wrap(&mut store, |value: i32| value + 100);
    let module = guest::module(store.engine(), text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let late = Func::wrap(&mut store, |value: i32| value + 200);
    let table = instance.get_table(&mut store, "table").ok_or_else(|| anyhow!("exported"))?;
    table.set(&mut store, 0, early.into())?;
    table.set(&mut store, 1, late.into())?;
    let call = instance.get_typed_func::<(i32, i32), i32>(&mut store, "call")?;
    ensure!(call.call(&mut store, (0, 1))? == 101);
    ensure!(call.call(&mut store, (1, 1))? == 201);
    let other = instance.get_typed_func::<i32, i32>(&mut store, "call_other")?;
    expect_trap(other.call(&mut store, 0), Trap::BadSignature)?;
    let held = table.get(&mut store, 0).and_then(|value| value.as_func().flatten().copied());
    let held = held.ok_or_else(|| anyhow!("a function"))?.typed::<i32, i32>(&store)?;
    ensure!(held.call(&mut store, 5)? == 105);
    Ok(())
}

fn twenty_results(style: TrapStyle) -> Result<()> {
    for count in [2, 3, 8, 16, 17, 20] {
        results_of(style, count)?;
    }
    Ok(())
}

/// `count` results of alternating types, from wasm to the host, and from the host through wasm to the host.
fn results_of(style: TrapStyle, count: usize) -> Result<()> {
    let (mut store, mut linker) = host();
    let engine = store.engine().clone();
    let kinds = [ValType::I32, ValType::F64, ValType::I64, ValType::V128];
    let types: Vec<ValType> = kinds.into_iter().cycle().take(count).collect();
    let names: Vec<String> = types.iter().map(ToString::to_string).collect();
    let consts: Vec<String> = (0..count)
        .map(|index| match types[index] {
            ValType::V128 => format!("(v128.const i64x2 {index} 1)"),
            ty => format!("({ty}.const {index})"),
        })
        .collect();
    let text = format!(
        r#"(module (import "host" "many" (func $many (result {0})))
          (func $own (result {0}) {1})
          (func (export "own") (result {0}) (call $own))
          (func (export "host") (result {0}) (call $many)))"#,
        names.join(" "),
        consts.join(" ")
    );
    let ty = FuncType::new(&engine, [], types.iter().copied());
    linker.func_new("host", "many", ty, |_, _, results| {
        for (index, result) in results.iter_mut().enumerate() {
            *result = match result {
                Val::I32(_) => Val::I32(index as i32),
                Val::I64(_) => Val::I64(index as i64),
                Val::F64(_) => Val::F64((index as f64).to_bits()),
                _ => Val::V128((1u128 << 64 | index as u128).into()),
            };
        }
        Ok(())
    })?;
    let module = guest::module(&engine, &text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    for name in ["own", "host"] {
        let function = instance.get_func(&mut store, name).ok_or_else(|| anyhow!("exported"))?;
        let mut results = vec![Val::I32(-1); count];
        function.call(&mut store, &[], &mut results)?;
        for (index, result) in results.iter().enumerate() {
            let same = match *result {
                Val::I32(value) => value == index as i32,
                Val::I64(value) => value == index as i64,
                Val::F64(bits) => f64::from_bits(bits) == index as f64,
                Val::V128(value) => value.as_u128() == 1u128 << 64 | index as u128,
                _ => false,
            };
            ensure!(same, "{name} of {count}: result {index} is {result:?}");
        }
    }
    Ok(())
}

fn sixteen_parameters(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let params = "i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64 i32 i64 f32 f64";
    let gets: String = (0..16).map(|index| format!(" (local.get {index})")).collect();
    let text = format!(
        r#"(module (import "host" "sum" (func $sum (param {params}) (result f64)))
          (func (export "sum") (param {params}) (result f64) (call $sum {gets})))"#
    );
    linker.func_wrap(
        "host",
        "sum",
        |_: Caller<'_, ()>,
         a: i32,
         b: i64,
         c: f32,
         d: f64,
         e: i32,
         f: i64,
         g: f32,
         h: f64,
         i: i32,
         j: i64,
         k: f32,
         l: f64,
         m: i32,
         n: i64,
         o: f32,
         p: f64| {
            let integers = [i64::from(a), b, i64::from(e), f, i64::from(i), j, i64::from(m), n];
            let floats = [f64::from(c), d, f64::from(g), h, f64::from(k), l, f64::from(o), p];
            let weigh = |sum: f64, (place, value): (usize, f64)| sum + (place + 1) as f64 * value;
            let values = integers.into_iter().map(|value| value as f64).chain(floats);
            values.enumerate().fold(0.0, weigh)
        },
    )?;
    let module = guest::module(store.engine(), &text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let sum = instance.get_func(&mut store, "sum").ok_or_else(|| anyhow!("exported"))?;
    let params: Vec<Val> = (1..=16)
        .map(|value| match value % 4 {
            1 => Val::I32(value),
            2 => Val::I64(value.into()),
            3 => Val::F32((value as f32).to_bits()),
            _ => Val::F64(f64::from(value).to_bits()),
        })
        .collect();
    let mut results = [Val::I32(0)];
    sum.call(&mut store, &params, &mut results)?;
    let order = [1, 2, 5, 6, 9, 10, 13, 14, 3, 4, 7, 8, 11, 12, 15, 16];
    let expected: i32 =
        order.iter().enumerate().map(|(place, value)| (place as i32 + 1) * value).sum();
    ensure!(results[0].unwrap_f64() == f64::from(expected), "{results:?}");
    Ok(())
}

fn caller_get_export(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    linker.func_wrap("host", "fill", |mut caller: Caller<'_, ()>, byte: i32| -> Result<i32> {
        ensure!(caller.get_export("absent").is_none());
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| anyhow!("no memory"))?;
        memory.data_mut(&mut caller)[..4].fill(byte as u8);
        let load = caller.get_export("load").and_then(Extern::into_func);
        load.ok_or_else(|| anyhow!("no function"))?.typed::<(), i32>(&caller)?.call(&mut caller, ())
    })?;
    let text = r#"(module (import "host" "fill" (func $fill (param i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "load") (result i32) (i32.load (i32.const 0)))
      (func (export "fill") (param i32) (result i32) (call $fill (local.get 0))))"#;
    let module = guest::module(store.engine(), text, style)?;
    // Two instances of one module: each caller is the one that called.
    for byte in [1, 2] {
        let instance = linker.instantiate(&mut store, &module)?;
        let fill = instance.get_typed_func::<i32, i32>(&mut store, "fill")?;
        ensure!(fill.call(&mut store, byte)? == byte * 0x0101_0101);
    }
    // Called by the host, there is no caller to look into.
    let direct = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        i32::from(caller.get_export("memory").is_some())
    });
    ensure!(direct.typed::<(), i32>(&store)?.call(&mut store, ())? == 0);
    Ok(())
}

fn shared_memory(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let owner = r#"(module (memory (export "memory") 1 3)
      (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let user = r#"(module (import "owner" "memory" (memory 1))
      (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
      (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
    let (owner, user) = pair(&mut store, &mut linker, owner, user, style)?;
    let load = owner.get_typed_func::<i32, i32>(&mut store, "load")?;
    let write = user.get_typed_func::<(i32, i32), ()>(&mut store, "store")?;
    let grow = user.get_typed_func::<(), i32>(&mut store, "grow")?;
    write.call(&mut store, (12, 34))?;
    ensure!(load.call(&mut store, 12)? == 34);
    expect_trap(load.call(&mut store, 65536), Trap::MemoryOutOfBounds)?;
    ensure!(grow.call(&mut store, ())? == 1);
    write.call(&mut store, (65536, 56))?;
    ensure!(load.call(&mut store, 65536)? == 56);
    let memory = owner.get_memory(&mut store, "memory").ok_or_else(|| anyhow!("exported"))?;
    ensure!(memory.size(&store) == 2 && memory.data(&store)[65536] == 56);
    ensure!(memory.grow(&mut store, 1)? == 2 && grow.call(&mut store, ())? == -1);
    ensure!(memory.grow(&mut store, 1).is_err());
    ensure!(memory.write(&mut store, 3 * 65536 - 1, &[1, 2]).is_err());
    // The host's own memory, given to an instance.
    let mine = Memory::new(&mut store, MemoryType::new(1, None))?;
    mine.write(&mut store, 4, &[9, 0, 0, 0])?;
    linker.allow_shadowing(true).define(&store, "owner", "memory", mine)?;
    let module = guest::module(store.engine(), READER, style)?;
    let reader = linker.instantiate(&mut store, &module)?;
    let load = reader.get_typed_func::<i32, i32>(&mut store, "load")?;
    ensure!(load.call(&mut store, 4)? == 9);
    expect_trap(load.call(&mut store, 65533), Trap::MemoryOutOfBounds)
}

const READER: &str = r#"(module (import "owner" "memory" (memory 1))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

fn shared_table(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let owner = r#"(module (table (export "table") 2 8 funcref) (elem (i32.const 0) $one)
      (func $one (result i32) (i32.const 1))
      (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#;
    let user = r#"(module (import "owner" "table" (table 1 funcref))
      (global $mine i32 (i32.const 22))
      (func $two (export "two") (result i32) (global.get $mine))
      (elem (i32.const 1) $two)
      (func (export "grow") (result i32) (table.grow (ref.func $two) (i32.const 1)))
      (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#;
    let (owner, user) = pair(&mut store, &mut linker, owner, user, style)?;
    let grow = user.get_typed_func::<(), i32>(&mut store, "grow")?;
    ensure!(grow.call(&mut store, ())? == 2);
    for instance in [owner, user] {
        let call = instance.get_typed_func::<i32, i32>(&mut store, "call")?;
        let found: Vec<i32> =
            (0..3).map(|index| call.call(&mut store, index)).collect::<Result<_>>()?;
        ensure!(found == [1, 22, 22], "{found:?}");
        expect_trap(call.call(&mut store, 3), Trap::UndefinedElement)?;
    }
    let table = owner.get_table(&mut store, "table").ok_or_else(|| anyhow!("exported"))?;
    ensure!(table.grow(&mut store, 5, Ref::Func(None))? == 3);
    ensure!(table.grow(&mut store, 1, Ref::Func(None)).is_err());
    let call = owner.get_typed_func::<i32, i32>(&mut store, "call")?;
    expect_trap(call.call(&mut store, 7), Trap::IndirectCallToNull)
}

fn shared_global(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let owner = r#"(module (global (export "counter") (mut i64) (i64.const 5))
      (global (export "wide") (mut v128) (v128.const i64x2 1 2))
      (global (export "fixed") i32 (i32.const 77)))"#;
    let user = r#"(module (import "owner" "counter" (global $counter (mut i64)))
      (import "owner" "wide" (global $wide (mut v128)))
      (import "owner" "fixed" (global $fixed i32))
      (global $copy i32 (global.get $fixed))
      (func (export "step") (result i32)
        (global.set $counter (i64.add (global.get $counter) (i64.const 1)))
        (global.set $wide (v128.not (global.get $wide)))
        (global.get $copy)))"#;
    let (owner, user) = pair(&mut store, &mut linker, owner, user, style)?;
    let step = user.get_typed_func::<(), i32>(&mut store, "step")?;
    ensure!(step.call(&mut store, ())? == 77);
    let mut global =
        |name: &str| owner.get_global(&mut store, name).ok_or_else(|| anyhow!("{name}"));
    let (counter, wide, fixed) = (global("counter")?, global("wide")?, global("fixed")?);
    ensure!(counter.get(&mut store).unwrap_i64() == 6);
    ensure!(wide.get(&mut store).unwrap_v128().as_u128() == !(2u128 << 64 | 1));
    counter.set(&mut store, Val::I64(100))?;
    step.call(&mut store, ())?;
    ensure!(counter.get(&mut store).unwrap_i64() == 101);
    let error = fixed.set(&mut store, Val::I32(0)).expect_err("it is immutable");
    ensure!(error.to_string() == "immutable global cannot be set");
    let error = counter.set(&mut store, Val::I32(0)).expect_err("another type");
    ensure!(error.to_string() == "type mismatch: expected a value of type i64, found i32");
    Ok(())
}

fn missing_import(style: TrapStyle) -> Result<()> {
    let (mut store, linker) = host();
    let text = r#"(module (import "env" "log" (func (param i32))))"#;
    let module = guest::module(store.engine(), text, style)?;
    let error = linker.instantiate(&mut store, &module).expect_err("nothing is defined");
    let text = "unknown import: `env::log` has not been defined; nothing is defined";
    ensure!(error.to_string() == text, "{error}");
    let Some(unknown) = error.downcast_ref::<UnknownImportError>() else {
        return Err(error);
    };
    ensure!(unknown.ty().to_string() == "(func (param i32))", "{}", unknown.ty());
    let error = Instance::new(&mut store, &module, &[]).expect_err("too few");
    ensure!(error.to_string() == "expected 1 imports, found 0", "{error}");
    Ok(())
}

fn mistyped_imports(style: TrapStyle) -> Result<()> {
    let (mut store, _) = host();
    let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None))?;
    let global =
        Global::new(&mut store, GlobalType::new(ValType::I32, Mutability::Var), Val::I32(0))?;
    let func = Func::wrap(&mut store, |value: i64| value);
    let cases: [(&str, Extern, &str); 8] = [
        (
            "(func (param i32))",
            func.into(),
            "types incompatible: expected type `(func (param i32))`, found type `(func (param i64) (result i64))`",
        ),
        (
            "(func (param i32))",
            memory.into(),
            "expected func `(func (param i32))`, found memory `(memory 1)`",
        ),
        (
            "(memory 2)",
            memory.into(),
            "memory types incompatible: expected memory limits (min: 2, max: none), found memory limits (min: 1, max: none)",
        ),
        (
            "(memory 1 4)",
            memory.into(),
            "memory types incompatible: expected memory limits (min: 1, max: 4), found memory limits (min: 1, max: none)",
        ),
        (
            "(table 1 externref)",
            table.into(),
            "table types incompatible: expected table of type `externref`, found table of type `funcref`",
        ),
        (
            "(table 5 funcref)",
            table.into(),
            "table types incompatible: expected table limits (min: 5, max: none), found table limits (min: 1, max: none)",
        ),
        (
            "(global i32)",
            global.into(),
            "global types incompatible: expected immutable global, found mutable global",
        ),
        (
            "(global (mut i64))",
            global.into(),
            "global types incompatible: expected global of type `i64`, found global of type `i32`",
        ),
    ];
    for (expected, found, text) in cases {
        let source = format!(r#"(module (import "m" "f" {expected}))"#);
        let module = guest::module(store.engine(), &source, style)?;
        let mut linker = Linker::new(store.engine());
        linker.define(&store, "m", "f", found)?;
        let results = [
            linker.instantiate(&mut store, &module),
            Instance::new(&mut store, &module, &[found]),
            linker.instantiate_pre(&module).and_then(|pre| pre.instantiate(&mut store)),
        ];
        for result in results {
            let found = format!("{:#}", result.expect_err("types differ"));
            let wanted = format!("incompatible import type for `m::f`: {text}");
            ensure!(found == wanted, "expected {wanted}, found {found}");
        }
    }
    Ok(())
}

/// What is done with another store.
type Misuse<'a> = &'a mut dyn FnMut(&mut Store<()>);

fn wrong_store(style: TrapStyle) -> Result<()> {
    let (mut store, linker) = host();
    let text = r#"(module (memory (export "memory") 1) (global (export "global") (mut i32) (i32.const 0))
      (table (export "table") 1 funcref)
      (func (export "func") (result i32) (i32.const 1)))"#;
    let module = guest::module(store.engine(), text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let mut get = |name: &str| instance.get_export(&mut store, name).expect("exported");
    let (func, memory) = (get("func").into_func(), get("memory").into_memory());
    let (table, global) = (get("table").into_table(), get("global").into_global());
    let (func, memory) = func.zip(memory).expect("both");
    let (table, global) = table.zip(global).expect("both");
    let typed = func.typed::<(), i32>(&store)?;
    let value = ExternRef::new(&mut store, 1)?;
    let mut other = Store::new(store.engine(), ());
    let misuse: [(&str, Misuse<'_>); 11] = [
        ("call", &mut |other| drop(func.call(other, &[], &mut [Val::I32(0)]))),
        ("typed call", &mut |other| drop(typed.call(other, ()))),
        ("type", &mut |other| drop(func.ty(other))),
        ("memory", &mut |other| assert!(!memory.data(&*other).is_empty())),
        ("grow", &mut |other| drop(memory.grow(other, 1))),
        ("table", &mut |other| assert!(table.get(other, 0).is_some())),
        ("global", &mut |other| assert!(global.get(other).i32().is_some())),
        ("export", &mut |other| assert!(instance.get_export(other, "func").is_some())),
        ("reference", &mut |other| drop(value.data(&*other))),
        ("value", &mut |other| {
            let ty = GlobalType::new(ValType::FUNCREF, Mutability::Const);
            drop(Global::new(other, ty, func.into()));
        }),
        ("definition", &mut |other| {
            drop(Linker::new(other.engine()).define(&*other, "m", "f", func).map(drop));
        }),
    ];
    for (name, misuse) in misuse {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            guest::without_panic_message(|| misuse(&mut other));
        }));
        let payload = result.err().ok_or_else(|| anyhow!("{name}: expected a panic"))?;
        let text = payload.downcast_ref::<&str>().copied().unwrap_or_default();
        ensure!(text == "object used with the wrong store", "{name}: {text}");
    }
    let needs = r#"(module (import "m" "f" (func (result i32))))"#;
    let needs = guest::module(store.engine(), needs, style)?;
    let error = Instance::new(&mut other, &needs, &[func.into()]).expect_err("another store's");
    ensure!(matches!(error.downcast_ref(), Some(LinkError::OtherStore { .. })), "{error}");
    let stranger = Engine::default();
    let mut stranger = Store::new(&stranger, ());
    let error = Instance::new(&mut stranger, &module, &[]).expect_err("another engine's");
    ensure!(matches!(error.downcast_ref(), Some(LinkError::OtherEngine)), "{error}");
    Ok(())
}

fn wrong_types(style: TrapStyle) -> Result<()> {
    let (mut store, mut linker) = host();
    let engine = store.engine().clone();
    linker.func_wrap("host", "f", || {})?;
    let error = linker.func_wrap("host", "f", || {}).map(drop).expect_err("defined");
    ensure!(error.to_string() == "import of `host::f` defined twice", "{error}");
    let text = r#"(module (import "bad" "result" (func $bad (result i32)))
      (func (export "bad") (result i32) (call $bad))
      (func (export "pair") (param i32 f32) (result i64) (i64.const 1)))"#;
    let ty = FuncType::new(&engine, [], [ValType::I32]);
    linker.func_new("bad", "result", ty, |_, _, results| {
        results[0] = Val::I64(1);
        Ok(())
    })?;
    let module = guest::module(&engine, text, style)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let pair = instance.get_func(&mut store, "pair").ok_or_else(|| anyhow!("exported"))?;
    let (one, two) = (Val::I32(1), Val::F32(0));
    let cases: [(&[Val], usize, &str); 4] = [
        (&[one], 1, "expected 2 arguments, got 1"),
        (&[one, two, one], 1, "expected 2 arguments, got 3"),
        (&[one, two], 0, "expected 1 results, got 0"),
        (&[one, one], 1, "argument 1: type mismatch: expected f32, found i32"),
    ];
    for (params, results, text) in cases {
        let mut results = vec![Val::I32(0); results];
        let error = pair.call(&mut store, params, &mut results).expect_err("misuse");
        ensure!(error.to_string() == text, "{error}");
    }
    let error = instance.get_typed_func::<i32, i64>(&mut store, "pair").map(drop);
    let error = format!("{:#}", error.expect_err("another type"));
    let expected = "failed to convert function `pair` to given type: type mismatch: expected (func (param i32) (result i64)), found (func (param i32 f32) (result i64))";
    ensure!(error == expected, "{error}");
    let error = instance.get_typed_func::<(), ()>(&mut store, "absent").map(drop);
    let error = error.expect_err("no such function").to_string();
    ensure!(error == "failed to find function export `absent`", "{error}");
    let bad = instance.get_typed_func::<(), i32>(&mut store, "bad")?;
    let error = format!("{:#}", bad.call(&mut store, ()).expect_err("another type"));
    let expected = "function attempted to return an incompatible value: expected i32, found i64";
    ensure!(error.ends_with(expected), "{error}");
    let error = Memory::new(&mut store, MemoryType::new(2, Some(1))).map(drop);
    ensure!(error.expect_err("limits").to_string().contains("invalid limits"));
    let ty = TableType::new(RefType::FUNCREF, 1, None);
    let error = Table::new(&mut store, ty, Ref::Extern(None)).map(drop).expect_err("types");
    let expected = "type mismatch: expected an element of type funcref, found externref";
    ensure!(error.to_string() == expected, "{error}");
    Ok(())
}

/// Instances come and go; mappings and open files do not add up.
fn nothing_is_left_behind(style: TrapStyle) -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module (memory (export "memory") 2) (table 10 funcref) (data (i32.const 0) "abc")
      (func (export "run") (result i32)
        (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
        (drop (memory.grow (i32.const 1)))
        (i32.load8_u (i32.const 0))))"#;
    let linker: Linker<()> = Linker::new(&engine);
    let module = guest::module(&engine, text, style)?;
    let cycle = |module: &Module| -> Result<()> {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, module)?;
        let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
        let found = run.call(&mut store, ())?;
        // The slot of the instance before shows nothing of it.
        ensure!(found == i32::from(b'b'), "{found}");
        Ok(())
    };
    let image = guest::image(text, style)?;
    for _ in 0..10 {
        cycle(&module)?;
        cycle(&Module::from_bytes(&engine, &image)?)?;
    }
    let before = Held::by_this_process()?;
    for _ in 0..10_000 {
        cycle(&module)?;
    }
    for _ in 0..200 {
        cycle(&Module::from_bytes(&engine, &image)?)?;
    }
    let after = Held::by_this_process()?;
    // Other tests run meanwhile, and come and go.
    const OTHERS: usize = 150;
    ensure!(
        after.mappings < before.mappings + OTHERS && after.files < before.files + OTHERS,
        "before {before:?}, after {after:?}"
    );
    Ok(())
}

#[derive(Debug)]
struct Held {
    mappings: usize,
    files: usize,
}

impl Held {
    fn by_this_process() -> Result<Self> {
        let mappings = fs::read_to_string("/proc/self/maps")?.lines().count();
        Ok(Self { mappings, files: fs::read_dir("/proc/self/fd")?.count() })
    }
}

// What the tests share.

fn host() -> (Store<()>, Linker<()>) {
    let engine = Engine::default();
    (Store::new(&engine, ()), Linker::new(&engine))
}

/// An instance of `owner`, defined as "owner", and one of `user`, which imports from it.
fn pair(
    store: &mut Store<()>,
    linker: &mut Linker<()>,
    owner: &str,
    user: &str,
    style: TrapStyle,
) -> Result<(Instance, Instance)> {
    let owner = guest::module(store.engine(), owner, style)?;
    let owner = linker.instantiate(&mut *store, &owner)?;
    linker.instance(&mut *store, "owner", owner)?;
    let user = guest::module(store.engine(), user, style)?;
    let user = linker.instantiate(&mut *store, &user)?;
    Ok((owner, user))
}

fn expect_trap<R>(result: Result<R>, expected: Trap) -> Result<()> {
    let error = result.err().ok_or_else(|| anyhow!("expected {expected}, found a result"))?;
    ensure!(error.downcast_ref() == Some(&expected), "expected {expected}, found {error:#}");
    Ok(())
}
