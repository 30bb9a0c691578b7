//! The misuse of each call: handles of another store, wrong kinds, what leads outside, types that do not fit.

use aotc_loader::{
    Engine, Extern, ExternRef, Func, Global, GlobalType, Instance, Linker, Memory, MemoryType,
    Module, Mutability, Ref, RootScope, Store, Table, TableType, Val, ValType,
};

use crate::support::{chain, module, panic_text};

const TEXT: &str = r#"(module
  (memory (export "memory") 1 2)
  (table (export "table") 2 3 externref)
  (table (export "functions") 2 3 funcref)
  (global (export "global") (mut i32) (i32.const 5))
  (global (export "constant") i32 (i32.const 5))
  (func (export "func") (param i32) (result i32) (local.get 0)))"#;

struct Handles {
    instance: Instance,
    memory: Memory,
    table: Table,
    functions: Table,
    global: Global,
    constant: Global,
    func: Func,
    value: ExternRef,
}

fn handles(store: &mut Store<()>, module: &Module) -> Handles {
    let instance = Instance::new(&mut *store, module, &[]).unwrap();
    Handles {
        instance,
        memory: instance.get_memory(&mut *store, "memory").unwrap(),
        table: instance.get_table(&mut *store, "table").unwrap(),
        functions: instance.get_table(&mut *store, "functions").unwrap(),
        global: instance.get_global(&mut *store, "global").unwrap(),
        constant: instance.get_global(&mut *store, "constant").unwrap(),
        func: instance.get_func(&mut *store, "func").unwrap(),
        value: ExternRef::new(&mut *store, 5u8).unwrap(),
    }
}

/// A call, by its name.
type Misuse<'a> = (&'static str, &'a mut dyn FnMut(&mut Store<()>));

#[test]
fn handles_of_another_store_panic() {
    let module = module(&Engine::default(), TEXT);
    let mut owner = Store::new(module.engine(), ());
    let Handles { instance, memory, table, functions, global, func, value, .. } =
        handles(&mut owner, &module);
    let typed = func.typed::<i32, i32>(&owner).unwrap();
    let export = module.get_export_index("memory").unwrap();
    let null = || Ref::Extern(None);
    let items: [Extern; 4] = [func.into(), memory.into(), table.into(), global.into()];
    let mut stranger = Store::new(module.engine(), ());
    let own =
        Table::new(&mut stranger, TableType::new(aotc_loader::RefType::EXTERNREF, 1, None), null());
    let own = own.unwrap();
    let store = &mut stranger;
    let calls: &mut [Misuse<'_>] = &mut [
        ("Instance::module", &mut |s| _ = instance.module(&*s).clone()),
        ("Instance::exports", &mut |s| _ = instance.exports(s)),
        ("Instance::get_export", &mut |s| _ = instance.get_export(s, "x")),
        ("Instance::get_module_export", &mut |s| _ = instance.get_module_export(s, &export)),
        ("Instance::get_func", &mut |s| _ = instance.get_func(s, "x")),
        ("Instance::get_typed_func", &mut |s| _ = instance.get_typed_func::<(), ()>(s, "x")),
        ("Instance::get_memory", &mut |s| _ = instance.get_memory(s, "x")),
        ("Instance::get_table", &mut |s| _ = instance.get_table(s, "x")),
        ("Instance::get_global", &mut |s| _ = instance.get_global(s, "x")),
        ("Instance::reset", &mut |s| _ = instance.reset(s)),
        ("Memory::ty", &mut |s| _ = memory.ty(s)),
        ("Memory::data", &mut |s| _ = memory.data(&*s).len()),
        ("Memory::data_mut", &mut |s| _ = memory.data_mut(s).len()),
        ("Memory::data_and_store_mut", &mut |s| _ = memory.data_and_store_mut(s).0.len()),
        ("Memory::data_ptr", &mut |s| _ = memory.data_ptr(s) as usize),
        ("Memory::data_size", &mut |s| _ = memory.data_size(s)),
        ("Memory::size", &mut |s| _ = memory.size(s)),
        ("Memory::page_size", &mut |s| _ = memory.page_size(s)),
        ("Memory::page_size_log2", &mut |s| _ = memory.page_size_log2(s)),
        ("Memory::read", &mut |s| _ = memory.read(s, 0, &mut [])),
        ("Memory::write", &mut |s| _ = memory.write(s, 0, &[])),
        ("Memory::grow", &mut |s| _ = memory.grow(s, 0)),
        ("Memory::read_value", &mut |s| _ = memory.read_value::<u32>(s, 0)),
        ("Memory::write_value", &mut |s| _ = memory.write_value(s, 0, 1u32)),
        ("Memory::values", &mut |s| _ = memory.values::<u32>(s, 0, 1).map(Iterator::count)),
        ("Memory::write_values", &mut |s| _ = memory.write_values(s, 0, &[1u32])),
        ("Memory::read_str", &mut |s| _ = memory.read_str(&*s, 0, 1).map(str::len)),
        ("Table::ty", &mut |s| _ = table.ty(s)),
        ("Table::get", &mut |s| _ = table.get(s, 0)),
        ("Table::set", &mut |s| _ = table.set(s, 0, null())),
        ("Table::size", &mut |s| _ = table.size(s)),
        ("Table::grow", &mut |s| _ = table.grow(s, 1, null())),
        ("Table::fill", &mut |s| _ = table.fill(s, 0, null(), 1)),
        ("Table::copy to", &mut |s| _ = Table::copy(s, &table, 0, &own, 0, 1)),
        ("Table::copy from", &mut |s| _ = Table::copy(s, &own, 0, &table, 0, 1)),
        ("Table::set of a value", &mut |s| _ = own.set(s, 0, Ref::Extern(Some(value)))),
        ("Table::ty of functions", &mut |s| _ = functions.ty(s)),
        ("Global::ty", &mut |s| _ = global.ty(s)),
        ("Global::get", &mut |s| _ = global.get(s)),
        ("Global::set", &mut |s| _ = global.set(s, Val::I32(1))),
        ("Func::ty", &mut |s| _ = func.ty(s)),
        ("Func::matches_ty", &mut |s| _ = func.matches_ty(&*s, &func.ty(&owner))),
        ("Func::call", &mut |s| _ = func.call(s, &[Val::I32(1)], &mut [Val::I32(0)])),
        ("Func::typed", &mut |s| _ = func.typed::<i32, i32>(s).map(drop)),
        ("Func::to_raw", &mut |s| _ = func.to_raw(s) as usize),
        ("TypedFunc::call", &mut |s| _ = typed.call(s, 1)),
        ("ExternRef::data", &mut |s| _ = value.data(&*s).map(|data| data.is_some())),
        ("ExternRef::data_mut", &mut |s| _ = value.data_mut(s).map(|data| data.is_some())),
        ("ExternRef::to_raw", &mut |s| _ = value.to_raw(s)),
        ("ExternRef::to_owned_rooted", &mut |s| _ = value.to_owned_rooted(s).map(drop)),
        ("Val::to_raw", &mut |s| _ = Val::ExternRef(Some(value)).to_raw(s)),
        ("Extern::ty", &mut |s| items.iter().for_each(|item| _ = item.ty(&*s))),
        ("Global::new", &mut |s| {
            let ty = GlobalType::new(ValType::EXTERNREF, Mutability::Const);
            _ = Global::new(s, ty, Val::ExternRef(Some(value)));
        }),
        ("Linker::define", &mut |s| {
            _ = Linker::<()>::new(s.engine()).define(&*s, "a", "b", items[1]).map(drop);
        }),
        ("Linker::instance", &mut |s| {
            let mut linker = Linker::<()>::new(s.engine());
            _ = linker.instance(s, "a", instance).map(drop);
        }),
        ("RootScope", &mut |s| _ = value.data(&RootScope::new(s)).map(|data| data.is_some())),
    ];
    for (name, call) in calls {
        let text = panic_text(|| call(store));
        assert_eq!(text, "object used with the wrong store", "{name}");
    }
}

#[test]
fn other_kinds_and_other_names_are_nothing() {
    let module = module(&Engine::default(), TEXT);
    let mut store = Store::new(module.engine(), ());
    let Handles { instance, .. } = handles(&mut store, &module);
    for name in ["memory", "table", "global", "func", "absent", "", "memory\0"] {
        assert_eq!(instance.get_memory(&mut store, name).is_some(), name == "memory");
        assert_eq!(instance.get_table(&mut store, name).is_some(), name == "table");
        assert_eq!(instance.get_global(&mut store, name).is_some(), name == "global");
        assert_eq!(instance.get_func(&mut store, name).is_some(), name == "func");
        let exists = matches!(name, "memory" | "table" | "global" | "func");
        assert_eq!(instance.get_export(&mut store, name).is_some(), exists);
        assert_eq!(module.get_export(name).is_some(), exists);
        assert_eq!(module.get_export_index(name).is_some(), exists);
    }
    let error = chain(instance.get_typed_func::<(), ()>(&mut store, "memory").map(drop));
    assert_eq!(error, "failed to find function export `memory`");
}

#[test]
fn memories_have_ends() {
    let module = module(&Engine::default(), TEXT);
    let mut store = Store::new(module.engine(), ());
    let Handles { memory, .. } = handles(&mut store, &module);
    let mut byte = [0];
    for offset in [65_536, usize::MAX, usize::MAX - 1] {
        assert!(memory.read(&store, offset, &mut byte).is_err());
        assert!(memory.write(&mut store, offset, &byte).is_err());
    }
    memory.read(&store, 65_536, &mut []).unwrap();
    assert!(memory.grow(&mut store, 2).is_err() && memory.grow(&mut store, u64::MAX).is_err());
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 1);
    assert_eq!((memory.size(&store), memory.data(&store).len()), (2, 2 << 16));
    for (min, max) in [(2, Some(1)), (65_537, None), (0, Some(65_537))] {
        let ty = MemoryType::new(min, max);
        assert!(chain(Memory::new(&mut store, ty)).contains("invalid limits"));
    }
}

#[test]
fn tables_have_ends_and_types() {
    let module = module(&Engine::default(), TEXT);
    let mut store = Store::new(module.engine(), ());
    let Handles { table, functions, func, value, .. } = handles(&mut store, &module);
    let (null, null_func) = (|| Ref::Extern(None), || Ref::Func(None));
    assert!(table.get(&mut store, 2).is_none() && table.get(&mut store, u64::MAX).is_none());
    for index in [2, u64::MAX] {
        assert!(table.set(&mut store, index, null()).is_err());
        assert!(table.fill(&mut store, index, null(), 1).is_err());
        assert!(table.fill(&mut store, 1, null(), index).is_err());
        assert!(Table::copy(&mut store, &table, index, &table, 0, 1).is_err());
        let length = index.saturating_add(1);
        assert!(Table::copy(&mut store, &table, 0, &table, 0, length).is_err());
        assert!(table.grow(&mut store, index, null()).is_err());
    }
    for wrong in [null_func(), Ref::Func(Some(func))] {
        assert!(table.set(&mut store, 0, wrong).is_err());
        assert!(table.fill(&mut store, 0, wrong, 1).is_err());
        assert!(table.grow(&mut store, 1, wrong).is_err());
    }
    assert!(functions.set(&mut store, 0, Ref::Extern(Some(value))).is_err());
    assert!(Table::copy(&mut store, &table, 0, &functions, 0, 1).is_err());
    // What failed changed nothing.
    assert_eq!((table.size(&store), functions.size(&store)), (2, 2));
    assert!(table.get(&mut store, 0).unwrap().is_null());
    let ty = TableType::new(aotc_loader::RefType::EXTERNREF, 1, None);
    assert!(Table::new(&mut store, ty, null_func()).is_err());
    let ty = TableType::new(aotc_loader::RefType::EXTERNREF, 2, Some(1));
    assert!(Table::new(&mut store, ty, null()).is_err());
}

#[test]
fn globals_have_types_and_may_be_constant() {
    let module = module(&Engine::default(), TEXT);
    let mut store = Store::new(module.engine(), ());
    let Handles { global, constant, .. } = handles(&mut store, &module);
    for wrong in [Val::I64(1), Val::F32(1), Val::FuncRef(None)] {
        assert!(global.set(&mut store, wrong).is_err());
        let ty = GlobalType::new(ValType::I32, Mutability::Var);
        assert!(Global::new(&mut store, ty, wrong).is_err());
    }
    assert!(constant.set(&mut store, Val::I32(6)).is_err());
    assert_eq!(global.get(&mut store).i32(), Some(5));
    assert_eq!(constant.get(&mut store).i32(), Some(5));
}

#[test]
fn calls_have_types() {
    let module = module(&Engine::default(), TEXT);
    let mut store = Store::new(module.engine(), ());
    let Handles { func, .. } = handles(&mut store, &module);
    let mut one = [Val::I32(0)];
    assert!(func.call(&mut store, &[], &mut one).is_err());
    assert!(func.call(&mut store, &[Val::I32(1), Val::I32(1)], &mut one).is_err());
    assert!(func.call(&mut store, &[Val::I64(1)], &mut one).is_err());
    assert!(func.call(&mut store, &[Val::I32(1)], &mut []).is_err());
    let mut two = [Val::I32(0), Val::I32(0)];
    assert!(func.call(&mut store, &[Val::I32(1)], &mut two).is_err());
    func.call(&mut store, &[Val::I32(7)], &mut one).unwrap();
    assert_eq!(one[0].i32(), Some(7));
    assert!(func.typed::<(), i32>(&store).is_err());
    assert!(func.typed::<i32, ()>(&store).is_err());
    assert!(func.typed::<i64, i32>(&store).is_err());
    assert!(func.typed::<i32, (i32, i32)>(&store).is_err());
}

#[test]
fn interruption_that_is_not_set_is_an_error() {
    let mut store = Store::new(&Engine::default(), ());
    assert!(store.set_fuel(1).is_err() && store.get_fuel().is_err());
}
