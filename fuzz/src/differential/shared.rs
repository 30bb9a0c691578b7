//! What is done with a module, in the API that both engines have. This file is a module of each: `super` is
//! the engine, with its types, and what differs.
#![allow(clippy::clone_on_copy, reason = "only in one engine are these types `Copy`")]

use super::{
    Caller, Extern, ExternRef, ExternType, Func, FuncType, Global, Instance, Memory, Module, Ref,
    Store, Table, Trap, Val, ValType, is_table_out_of_bounds,
};
use crate::differential::outcome::{Ending, Event, Item, Run, TrapClass, Value};
use crate::random::Random;

/// Instances that are made of a module: each begins with another export, and has its own fuel.
const RUNS_MAX: usize = 4;
/// Calls of an export, one after the other.
const CALLS: usize = 2;
/// Elements of a table that are looked at.
const ELEMENTS_MAX: u64 = 200;
/// More than instantiation takes of either engine, start function and all.
const FUEL_FOR_INSTANTIATION: u64 = 1 << 40;

/// The host's data: what was called, and the numbers that imports return.
pub(super) struct Host {
    events: Vec<Event>,
    random: Random,
    /// What each call has; none during instantiation, where it is not compared.
    fuel: Option<u64>,
}

/// Runs a module that is loaded. Arguments and what imports return follow from `seed`. Each call has `fuel`, if the engine
/// counts it, and instantiation enough: one engine takes fuel for writing segments and globals, the other only for code.
///
/// # Errors
/// If an import cannot be made.
pub(super) fn runs(module: &Module, seed: u64, fuel: Option<u64>) -> Result<Vec<Run>, String> {
    let functions = module.exports().filter(|export| export.ty().func().is_some()).count();
    let runs = functions.clamp(1, RUNS_MAX);
    (0..runs).map(|number| run(module, number, seed ^ number as u64, fuel)).collect()
}

fn run(module: &Module, first: usize, seed: u64, fuel: Option<u64>) -> Result<Run, String> {
    let host = Host { events: Vec::new(), random: Random::new(seed), fuel: None };
    let mut store = Store::new(module.engine(), host);
    let mut random = Random::new(!seed);
    let mut imports = Vec::new();
    for (number, import) in module.imports().enumerate() {
        imports.push(make(&mut store, number, import.ty(), &mut random)?);
    }
    let mut items = imports.clone();
    if fuel.is_some() {
        store.set_fuel(FUEL_FOR_INSTANTIATION).expect("it is counted");
    }
    let instance = Instance::new(&mut store, module, &imports);
    let ending = match &instance {
        Ok(_) => Ending::Returned(Vec::new()),
        Err(error) => failed(error.downcast_ref::<Trap>(), || format!("{error:#}")),
    };
    let fuel_left = fuel_after(&store, &ending);
    let event =
        Event { what: "instantiation".to_owned(), arguments: Vec::new(), ending, fuel_left };
    store.data_mut().events.push(event);
    store.data_mut().fuel = fuel;
    if let Ok(instance) = instance {
        let exports: Vec<(String, Extern)> = instance
            .exports(&mut store)
            .map(|export| (export.name().to_owned(), export.into_extern()))
            .collect();
        call_all(&mut store, &exports, first, &mut random)?;
        items.extend(exports.into_iter().map(|(_, item)| item));
    }
    let state = items.into_iter().map(|item| look(&mut store, item)).collect();
    Ok(Run { events: std::mem::take(&mut store.data_mut().events), state })
}

/// Calls every exported function, beginning with the one of this number.
fn call_all(
    store: &mut Store<Host>,
    exports: &[(String, Extern)],
    first: usize,
    random: &mut Random,
) -> Result<(), String> {
    let mut functions: Vec<(&str, Func)> = exports
        .iter()
        .filter_map(|(name, item)| Some((name.as_str(), item.clone().into_func()?)))
        .collect();
    if functions.is_empty() {
        return Ok(());
    }
    functions.rotate_left(first);
    for (name, func) in functions {
        let ty = func.ty(&*store);
        for _ in 0..CALLS {
            let params = values(&mut *store, ty.params(), random)?;
            let arguments = params.iter().map(|value| value_of(&*store, value)).collect();
            let mut results: Vec<Val> =
                ty.results().map(|ty| Val::default_for_ty(&ty).expect("nullable")).collect();
            refuel(store);
            let ending = match func.call(&mut *store, &params, &mut results) {
                Ok(()) => {
                    Ending::Returned(results.iter().map(|value| value_of(&*store, value)).collect())
                }
                Err(error) => failed(error.downcast_ref::<Trap>(), || format!("{error:#}")),
            };
            let fuel_left = fuel_after(store, &ending);
            let event = Event { what: format!("export {name:?}"), arguments, ending, fuel_left };
            store.data_mut().events.push(event);
        }
    }
    Ok(())
}

/// Gives the store what a call has.
fn refuel(store: &mut Store<Host>) {
    if let Some(fuel) = store.data().fuel {
        store.set_fuel(fuel).expect("it is counted");
    }
}

/// What is left of it, where that is compared.
fn fuel_after(store: &Store<Host>, ending: &Ending) -> Option<u64> {
    match ending {
        Ending::Returned(_) => store.data().fuel.map(|_| store.get_fuel().expect("it is counted")),
        Ending::Trapped(_) | Ending::Failed(_) => None,
    }
}

/// Something for import `number`.
fn make(
    store: &mut Store<Host>,
    number: usize,
    ty: ExternType,
    random: &mut Random,
) -> Result<Extern, String> {
    let text = |error| format!("import {number}: {error:#}");
    Ok(match ty {
        ExternType::Func(ty) => function(store, number, ty).into(),
        ExternType::Global(ty) => {
            let value = value(&mut *store, ty.content(), random)?;
            Global::new(&mut *store, ty, value).map_err(text)?.into()
        }
        ExternType::Table(ty) => {
            let null = Val::default_for_ty(&ValType::Ref(ty.element().clone()));
            let null = null.expect("nullable").ref_().expect("a reference");
            Table::new(&mut *store, ty, null).map_err(text)?.into()
        }
        ExternType::Memory(ty) => Memory::new(&mut *store, ty).map_err(text)?.into(),
        #[allow(unreachable_patterns, reason = "only one engine has more kinds")]
        _ => unreachable!("no other kinds are generated"),
    })
}

/// A function that notes that it was called, and returns something.
fn function(store: &mut Store<Host>, number: usize, ty: FuncType) -> Func {
    let result_types: Vec<ValType> = ty.results().collect();
    Func::new(store, ty, move |mut caller: Caller<'_, Host>, params, results| {
        let arguments = params.iter().map(|param| value_of(&caller, param)).collect();
        let fuel_left = caller.data().fuel.map(|_| caller.get_fuel().expect("it is counted"));
        let mut random = caller.data().random.clone();
        for (result, ty) in results.iter_mut().zip(&result_types) {
            *result = value(&mut caller, ty, &mut random).expect("host references can be made");
        }
        let returned = results.iter().map(|result| value_of(&caller, result)).collect();
        let ending = Ending::Returned(returned);
        let host = caller.data_mut();
        host.random = random;
        host.events.push(Event { what: format!("import {number}"), arguments, ending, fuel_left });
        Ok(())
    })
}

fn values(
    store: &mut Store<Host>,
    types: impl Iterator<Item = ValType>,
    random: &mut Random,
) -> Result<Vec<Val>, String> {
    types.map(|ty| value(&mut *store, &ty, random)).collect()
}

/// A value of type `ty`.
fn value(
    mut store: impl super::AsContextMut<Data = Host>,
    ty: &ValType,
    random: &mut Random,
) -> Result<Val, String> {
    let bits = random.bits();
    Ok(match Val::default_for_ty(ty).expect("nullable") {
        Val::I32(_) => Val::I32(bits as i32),
        Val::I64(_) => Val::I64(bits as i64),
        Val::F32(_) => Val::F32(bits as u32),
        Val::F64(_) => Val::F64(bits),
        Val::V128(_) => {
            let high = random.bits();
            Val::V128((u128::from(high) << 64 | u128::from(bits)).into())
        }
        Val::FuncRef(_) if bits.is_multiple_of(2) => {
            Val::FuncRef(Some(Func::wrap(&mut store, || {})))
        }
        Val::ExternRef(_) if bits.is_multiple_of(2) => {
            let reference = ExternRef::new(&mut store, bits);
            Val::ExternRef(Some(reference.map_err(|error| format!("externref: {error:#}"))?))
        }
        null => null,
    })
}

/// An item as it is now.
fn look(store: &mut Store<Host>, item: Extern) -> Item {
    match item {
        Extern::Func(func) => {
            let ty = func.ty(&*store);
            Item::Func(ty.params().len(), ty.results().len())
        }
        Extern::Global(global) => {
            let value = global.get(&mut *store);
            Item::Global(value_of(&*store, &value))
        }
        Extern::Table(table) => {
            let size = table.size(&*store);
            let mut elements = vec![Value::I64(size)];
            for index in 0..size.min(ELEMENTS_MAX) {
                let element = table.get(&mut *store, index).expect("inside the table");
                elements.push(element_of(&*store, element));
            }
            Item::Table(elements)
        }
        Extern::Memory(memory) => Item::Memory(memory.data(&*store).to_vec()),
        #[allow(unreachable_patterns, reason = "only one engine has more kinds")]
        _ => unreachable!("no other kinds are generated"),
    }
}

fn element_of(store: impl super::AsContext<Data = Host>, element: Ref) -> Value {
    value_of(store, &Val::from(element))
}

/// A value without the engine's types.
fn value_of(store: impl super::AsContext<Data = Host>, value: &Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(*value as u32),
        Val::I64(value) => Value::I64(*value as u64),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::Func(func.map(|func| {
            let ty = func.ty(&store);
            (ty.params().len(), ty.results().len())
        })),
        Val::ExternRef(reference) => Value::Extern(reference.map(|reference| {
            let data = reference.data(store.as_context()).expect("readable").expect("not null");
            *data.downcast_ref::<u64>().expect("made by this file")
        })),
        #[allow(unreachable_patterns, reason = "only one engine has more types")]
        _ => unreachable!("no other types are generated"),
    }
}

fn failed(trap: Option<&Trap>, error: impl FnOnce() -> String) -> Ending {
    let Some(&trap) = trap else {
        return Ending::Failed(error());
    };
    Ending::Trapped(match trap {
        Trap::StackOverflow => TrapClass::StackOverflow,
        Trap::MemoryOutOfBounds => TrapClass::MemoryOutOfBounds,
        Trap::IndirectCallToNull => TrapClass::IndirectCallToNull,
        Trap::BadSignature => TrapClass::BadSignature,
        Trap::IntegerOverflow => TrapClass::IntegerOverflow,
        Trap::IntegerDivisionByZero => TrapClass::IntegerDivisionByZero,
        Trap::BadConversionToInteger => TrapClass::BadConversionToInteger,
        Trap::UnreachableCodeReached => TrapClass::Unreachable,
        Trap::OutOfFuel => TrapClass::OutOfFuel,
        trap if is_table_out_of_bounds(trap) => TrapClass::TableOutOfBounds,
        trap => return Ending::Failed(trap.to_string()),
    })
}
