//! How long the host's values are kept.

use std::sync::Arc;

use aotc_loader::{
    Caller, Engine, ExternRef, Global, GlobalType, Instance, Linker, Module, Mutability,
    OwnedRooted, Ref, RootScope, Rooted, Store, Table, TableType, Val, ValType,
};

use crate::support::{explicit_image, image};

const HOLDS: &str = r#"(module
  (import "host" "look" (func $look (param externref)))
  (import "host" "make" (func $make (result externref)))
  (table $table (export "table") 4 externref)
  (global $global (export "global") (mut externref) (ref.null extern))
  (func (export "keep") (param externref)
    (global.set $global (local.get 0))
    (table.set $table (i32.const 1) (local.get 0)))
  (func (export "look") (param externref) (call $look (local.get 0)) (call $look (local.get 0)))
  (func (export "many") (param i32)
    (loop
      (table.set $table (i32.const 2) (call $make))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

type Counter = Arc<()>;

fn instance(bytes: &[u8]) -> (Store<Counter>, Instance) {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, bytes).unwrap();
    let mut linker = Linker::<Counter>::new(&engine);
    linker
        .func_wrap(
            "host",
            "look",
            |mut caller: Caller<'_, Counter>, value: Option<Rooted<ExternRef>>| {
                // WebAssembly holds it, and nothing else does.
                caller.gc(None);
                assert!(value.unwrap().data(&caller).unwrap().unwrap().is::<Counter>());
            },
        )
        .unwrap();
    linker
        .func_wrap("host", "make", |mut caller: Caller<'_, Counter>| {
            let value = caller.data().clone();
            ExternRef::new(&mut caller, value).map(Some)
        })
        .unwrap();
    let mut store = Store::new(&engine, Counter::default());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// How many values the store has.
fn held(store: &Store<Counter>) -> usize {
    Arc::strong_count(store.data()) - 1
}

fn new(mut store: impl aotc_loader::AsContextMut<Data = Counter>) -> ExternRef {
    let value = store.as_context().data().clone();
    ExternRef::new(&mut store, value).unwrap()
}

#[test]
fn values_are_kept_as_long_as_somebody_reaches_them() {
    for bytes in [image(HOLDS), explicit_image(HOLDS)] {
        let (mut store, instance) = instance(&bytes);
        let keep = instance.get_typed_func::<Option<ExternRef>, ()>(&mut store, "keep").unwrap();
        {
            let mut scope = RootScope::new(&mut store);
            let value = new(&mut scope);
            new(&mut scope);
            keep.call(&mut scope, Some(value)).unwrap();
        }
        assert_eq!(held(&store), 2);
        store.gc(None);
        assert_eq!(held(&store), 1);
        // In the table alone.
        let global = instance.get_global(&mut store, "global").unwrap();
        global.set(&mut store, Val::ExternRef(None)).unwrap();
        store.gc(None);
        assert_eq!(held(&store), 1);
        let table = instance.get_table(&mut store, "table").unwrap();
        table.set(&mut store, 1, Ref::Extern(None)).unwrap();
        store.gc(None);
        assert_eq!(held(&store), 0);
    }
}

#[test]
fn handles_keep_values_in_their_scope() {
    let (mut store, _) = instance(&image(HOLDS));
    let outside = new(&mut store);
    let (inside, owned): (_, OwnedRooted<ExternRef>);
    {
        let mut scope = RootScope::new(&mut store);
        inside = new(&mut scope);
        let kept = new(&mut scope);
        owned = kept.to_owned_rooted(&mut scope).unwrap();
        aotc_loader::AsContextMut::as_context_mut(&mut scope).gc(None);
        assert!(inside.data(&scope).is_ok());
    }
    store.gc(None);
    assert_eq!(held(&store), 2);
    assert!(outside.data(&store).unwrap().unwrap().is::<Counter>());
    let error = inside.data(&store).unwrap_err().to_string();
    assert!(error.contains("collected after its root scope had ended"), "{error}");
    assert!(inside.data_mut(&mut store).is_err());
    assert!(inside.to_owned_rooted(&mut store).is_err());
    // Its place is another value's now, which is not taken for it.
    let next = new(&mut store);
    assert!(inside.data(&store).is_err() && next.data(&store).is_ok());
    let again = owned.to_rooted(&mut store);
    assert!(again.data(&store).is_ok());
    let copy = owned.clone();
    drop(owned);
    {
        let mut scope = RootScope::new(&mut store);
        copy.to_rooted(&mut scope);
    }
    store.gc(None);
    assert_eq!(held(&store), 3);
}

#[test]
fn an_owner_that_is_dropped_keeps_nothing() {
    let (mut store, _) = instance(&image(HOLDS));
    let owned = {
        let mut scope = RootScope::new(&mut store);
        new(&mut scope).to_owned_rooted(&mut scope).unwrap()
    };
    store.gc(None);
    assert_eq!(held(&store), 1);
    drop(owned);
    store.gc(None);
    assert_eq!(held(&store), 0);
}

#[test]
#[should_panic(expected = "collected after its root scope had ended")]
fn giving_away_what_is_gone_panics() {
    let (mut store, instance) = instance(&image(HOLDS));
    let value = new(RootScope::new(&mut store));
    store.gc(None);
    let keep = instance.get_typed_func::<Option<ExternRef>, ()>(&mut store, "keep").unwrap();
    let _ = keep.call(&mut store, Some(value));
}

#[test]
fn what_compiled_code_holds_is_kept() {
    for bytes in [image(HOLDS), explicit_image(HOLDS)] {
        let (mut store, instance) = instance(&bytes);
        let look = instance.get_typed_func::<Option<ExternRef>, ()>(&mut store, "look").unwrap();
        let mut scope = RootScope::new(&mut store);
        let value = new(&mut scope);
        look.call(&mut scope, Some(value)).unwrap();
    }
}

#[test]
fn globals_and_tables_of_the_host_keep_values() {
    let (mut store, _) = instance(&image(HOLDS));
    let (global, table);
    {
        let mut scope = RootScope::new(&mut store);
        let value = new(&mut scope);
        let ty = GlobalType::new(ValType::EXTERNREF, Mutability::Var);
        global = Global::new(&mut scope, ty, value.into()).unwrap();
        let value = new(&mut scope);
        let ty = TableType::new(aotc_loader::RefType::EXTERNREF, 3, None);
        table = Table::new(&mut scope, ty, value.into()).unwrap();
    }
    store.gc(None);
    assert_eq!(held(&store), 2);
    global.set(&mut store, Val::ExternRef(None)).unwrap();
    store.gc(None);
    assert_eq!(held(&store), 1);
    table.fill(&mut store, 0, Ref::Extern(None), 3).unwrap();
    store.gc(None);
    assert_eq!(held(&store), 0);
}

#[test]
fn stores_that_live_long_do_not_grow() {
    let (mut store, instance) = instance(&image(HOLDS));
    let many = instance.get_typed_func::<i32, ()>(&mut store, "many").unwrap();
    for _ in 0..200 {
        many.call(&mut store, 100).unwrap();
        let mut scope = RootScope::new(&mut store);
        // Made here, not by a host function: this is where values are collected.
        new(&mut scope);
    }
    assert!(held(&store) < 5000, "{} values", held(&store));
    store.gc(None);
    assert_eq!(held(&store), 1);
}
