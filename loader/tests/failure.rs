//! Instantiation that fails before any code runs.

use aotc_loader::{Engine, Instance, Linker, LoadError, Module, Store};

use crate::support::{address_space_bytes, image, in_child, limit_address_space};

const GIB: u64 = 1 << 30;

#[test]
fn everything_is_given_back() {
    in_child("failure::everything_is_given_back", || {
        let engine = Engine::default();
        // Reservations of 6 GiB each, and a table of the loader's.
        let three = image(
            r#"(module (import "host" "f" (func)) (memory 1) (table 100000 externref) (memory 1) (memory 1)
                 (func (export "set") (param externref) (table.set (i32.const 5) (local.get 0))))"#,
        );
        let one = image(r#"(module (memory (export "memory") 1) (func (export "f")))"#);
        let three = Module::from_bytes(&engine, &three).unwrap();
        let one = Module::from_bytes(&engine, &one).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "f", || ()).unwrap();
        let mut store = Store::new(&engine, ());
        let mut failed_bytes = None;
        limit_address_space(15 * GIB);
        for _ in 0..20 {
            let error = linker.instantiate(&mut store, &three).unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(LoadError::Os { .. })), "{error:?}");
            assert!(format!("{error:#}").contains("--bounds explicit"), "{error:#}");
            let before = *failed_bytes.get_or_insert_with(address_space_bytes);
            assert_eq!(address_space_bytes(), before);
        }
        // There is room for two, at once and in the same store.
        let first = Instance::new(&mut store, &one, &[]).unwrap();
        let second = linker.instantiate(&mut store, &one).unwrap();
        assert!(Instance::new(&mut store, &one, &[]).is_err());
        for instance in [first, second] {
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            memory.write(&mut store, 0, b"abc").unwrap();
            instance
                .get_typed_func::<(), ()>(&mut store, "f")
                .unwrap()
                .call(&mut store, ())
                .unwrap();
        }
    });
}

#[test]
fn table_that_cannot_be_allocated() {
    in_child("failure::table_that_cannot_be_allocated", || {
        let engine = Engine::default();
        let module = image(r#"(module (memory 1) (table (export "t") 400000000 externref))"#);
        let module = Module::from_bytes(&engine, &module).unwrap();
        let mut store = Store::new(&engine, ());
        limit_address_space(7 * GIB);
        let mut failed_bytes = None;
        for _ in 0..20 {
            let error = Instance::new(&mut store, &module, &[]).unwrap_err();
            assert!(error.to_string().contains("table"), "{error:#}");
            let before = *failed_bytes.get_or_insert_with(address_space_bytes);
            assert_eq!(address_space_bytes(), before);
        }
    });
}
