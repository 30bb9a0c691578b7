//! Modules and memories where addresses are scarce.

use aotc_loader::{Engine, Extern, Instance, LinkError, Memory, MemoryType, Module, Store, Trap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{explicit_image, image, in_child};

const MEMORIES: &str = r#"(module
  (import "host" "memory" (memory $imported 1))
  (memory $own (export "own") 1 1000)
  (func (export "store") (param i32 i32) (i32.store $own (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load $own (local.get 0)))
  (func (export "load imported") (param i32) (result i32) (i32.load $imported (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow $own (local.get 0)))
  (func (export "grow between") (param i32) (result i32)
    (i32.store $own (i32.const 8) (i32.const 5))
    (drop (memory.grow $own (local.get 0)))
    (i32.load $own (i32.const 8))))"#;

const IMPORTER: &str = r#"(module
  (import "host" "memory" (memory 1))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// Limits the address space as `ulimit -v` does, after everything that tests need was mapped.
fn limit_to_256_mib() {
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: Some(256 << 20), maximum }).expect("a limit");
}

#[test]
fn explicit_modules_reserve_nothing() {
    in_child("address_space::explicit_modules_reserve_nothing", || {
        let bytes = explicit_image(MEMORIES);
        let importer = explicit_image(IMPORTER);
        let guarded = image(r#"(module (memory 1))"#);
        limit_to_256_mib();
        let engine = Engine::default();
        let module = Module::from_bytes(&engine, &bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        memory.write(&mut store, 4, &77u32.to_le_bytes()).unwrap();
        let instance = Instance::new(&mut store, &module, &[memory.into()]).unwrap();

        let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
        let write = instance.get_typed_func::<(i32, i32), ()>(&mut store, "store").unwrap();
        let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
        let own = instance.get_memory(&mut store, "own").unwrap();
        let other = Module::from_bytes(&engine, &importer).unwrap();
        let other = Instance::new(&mut store, &other, &[own.into()]).unwrap();
        let other_load = other.get_typed_func::<i32, i32>(&mut store, "load").unwrap();

        // What was written is still there wherever the memory moved to, for the importer too.
        let mut pages = 1;
        write.call(&mut store, (0, 1234)).unwrap();
        for delta in [0, 1, 1, 30, 100, 400] {
            assert_eq!(grow.call(&mut store, delta).unwrap(), pages);
            pages += delta;
            let last = pages * 65536 - 4;
            assert_eq!(load.call(&mut store, last).unwrap(), 0);
            write.call(&mut store, (last, pages)).unwrap();
            assert_eq!(other_load.call(&mut store, last).unwrap(), pages);
            assert_eq!(other_load.call(&mut store, 0).unwrap(), 1234);
            for outside in [last + 1, -4] {
                let error = load.call(&mut store, outside).unwrap_err();
                assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
            }
        }
        assert_eq!(own.size(&store), pages as u64);
        assert_eq!(own.grow(&mut store, 10).unwrap(), pages as u64);
        assert_eq!(other_load.call(&mut store, 0).unwrap(), 1234);
        let between = instance.get_typed_func::<i32, i32>(&mut store, "grow between").unwrap();
        assert_eq!(between.call(&mut store, 20).unwrap(), 5);
        // Up to the maximum there is room in the type, but not in the address space.
        let large = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        assert!(large.grow(&mut store, 10_000).is_err());
        assert_eq!(large.size(&store), 1);

        // The host's memory is not reserved here.
        let imported = instance.get_typed_func::<i32, i32>(&mut store, "load imported").unwrap();
        assert_eq!(imported.call(&mut store, 4).unwrap(), 77);
        memory.grow(&mut store, 100).unwrap();
        assert_eq!(imported.call(&mut store, 4).unwrap(), 77);
        assert_eq!(imported.call(&mut store, 100 << 16).unwrap(), 0);

        // A module that needs reserved addresses says so.
        let guarded = Module::from_bytes(&engine, &guarded).unwrap();
        let error = Instance::new(&mut store, &guarded, &[]).unwrap_err();
        assert!(format!("{error:#}").contains("--bounds explicit"), "{error:#}");
    });
}

#[test]
fn unreserved_memory_is_refused_by_guarded_module() {
    let engine = Engine::default();
    let explicit =
        Module::from_bytes(&engine, &explicit_image(r#"(module (memory (export "memory") 1))"#))
            .unwrap();
    let guarded = Module::from_bytes(&engine, &image(IMPORTER)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &explicit, &[]).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let error = Instance::new(&mut store, &guarded, &[Extern::Memory(memory)]).unwrap_err();
    assert!(matches!(
        error.downcast_ref::<LinkError>(),
        Some(LinkError::IncompatibleImport { .. })
    ));
    let text = format!("{error:#}");
    assert!(text.contains("found one without reserved addresses"), "{text}");
    assert!(text.contains("--bounds explicit"), "{text}");
    // The host's memories are reserved where that is possible.
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    Instance::new(&mut store, &guarded, &[memory.into()]).unwrap();
}
