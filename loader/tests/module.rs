//! Modules: what is known of them, and the bytes behind them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::ptr::NonNull;

use anyhow::Result;
use aotc::{AddressMapStyle, Emit, Options};
use aotc_loader::{
    Engine, Instance, LoadError, MemoryType, Module, Precompiled, Store, TableType, ValType,
};

use crate::support::{chain, image, module};

const TEXT: &str = r#"(module
  (import "host" "log" (func $log (param i32)))
  (memory (export "memory") 2 5)
  (table $table (export "table") 3 funcref)
  (elem (i32.const 0) $add)
  (func $add (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))
  (func $divide (export "divide") (param i32 i32) (result i32)
    (call $log (local.get 0))
    (i32.div_s (local.get 0) (local.get 1))))"#;

#[test]
fn what_is_known() {
    let engine = Engine::default();
    let module = module(&engine, TEXT);
    assert_eq!(module.name(), Some("test"));
    let imports: Vec<_> = module.imports().collect();
    assert_eq!(imports.len(), 1);
    assert_eq!((imports[0].module(), imports[0].name()), ("host", "log"));
    let exports: Vec<_> =
        module.exports().map(|export| format!("{}: {}", export.name(), export.ty())).collect();
    assert_eq!(
        exports,
        [
            "memory: (memory 2 5)",
            "table: (table 3 funcref)",
            "add: (func (param i32 i32) (result i32))",
            "divide: (func (param i32 i32) (result i32))",
        ]
    );
    assert_eq!(module.get_export("memory"), Some(MemoryType::new(2, Some(5)).into()));
    let table = TableType::new(*ValType::FUNCREF.unwrap_ref(), 3, None);
    assert_eq!(module.get_export("table"), Some(table.into()));
    assert_eq!(module.get_export("nothing"), None);
    let needs = module.resources_required();
    assert_eq!((needs.num_memories, needs.max_initial_memory_size), (1, Some(2)));
    assert_eq!((needs.num_tables, needs.max_initial_table_size), (1, Some(3)));
}

#[test]
fn imports_are_not_required_resources() {
    let engine = Engine::default();
    let text =
        r#"(module (import "m" "memory" (memory 10)) (import "m" "table" (table 7 funcref)))"#;
    let needs = module(&engine, text).resources_required();
    assert_eq!((needs.num_memories, needs.max_initial_memory_size), (0, None));
    assert_eq!((needs.num_tables, needs.max_initial_table_size), (0, None));
}

#[test]
fn functions_and_their_code() {
    let engine = Engine::default();
    let module = module(&engine, TEXT);
    let text = module.text();
    let range = module.image_range();
    let code = text.as_ptr_range();
    assert!(range.start <= code.start && code.end <= range.end && !text.is_empty());
    let mut functions: Vec<_> = module.functions().collect();
    assert!(functions.is_sorted_by_key(|function| function.offset));
    assert!(functions.iter().all(|function| function.offset + function.len <= text.len()));
    functions.sort_by_key(|function| function.index);
    let names: Vec<_> = functions.iter().map(|function| (function.index, &function.name)).collect();
    assert_eq!(names, [(1, &Some("add".to_owned())), (2, &Some("divide".to_owned()))]);
    let map: Vec<_> = module.address_map().expect("a map").collect();
    assert!(map.is_sorted_by_key(|(offset, _)| *offset));
    // The call and the division are mapped, in this order.
    let divide = &functions[1];
    let inside = divide.offset..divide.offset + divide.len;
    let wasm: Vec<u32> = map
        .iter()
        .filter(|(offset, _)| inside.contains(offset))
        .filter_map(|(_, wasm)| *wasm)
        .collect();
    assert!(wasm.len() >= 2, "{map:?}");
}

#[test]
fn without_an_address_map() -> Result<()> {
    let options = Options { address_map: AddressMapStyle::Omit, ..Options::default() };
    let image = aotc::compile(TEXT.as_bytes(), Emit::Image, &options)?;
    let module = Module::from_bytes(&Engine::default(), &image)?;
    assert!(module.address_map().is_none());
    Ok(())
}

#[test]
fn the_artifact_comes_back() -> Result<()> {
    let engine = Engine::default();
    let image = image(TEXT);
    let module = Module::from_bytes(&engine, &image)?;
    assert!(module.serialize()? == image);
    module.initialize_copy_on_write_image()?;
    let again = Module::from_bytes(&engine, &module.serialize()?)?;
    assert!(!Module::same(&module, &again) && Module::same(&again, &again.clone()));
    Ok(())
}

/// A file that is removed when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, contents: &[u8]) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("aotc-{}-{name}", std::process::id()));
        fs::write(&path, contents)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const SEVEN: &str = r#"(module (memory 1) (data (i32.const 0) "\07")
  (func (export "seven") (result i32) (i32.load (i32.const 0))))"#;

fn seven(engine: &Engine, module: &Module) -> Result<i32> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<(), i32>(&mut store, "seven")?.call(&mut store, ())
}

#[test]
fn every_way_in() -> Result<()> {
    let engine = Engine::default();
    let image = image(SEVEN);
    let file = Temporary::new("module.aot", &image)?;
    // SAFETY: compiled above, and nobody changes the file.
    let modules = unsafe {
        [
            Module::deserialize(&engine, &image)?,
            Module::deserialize_file(&engine, &file.0)?,
            Module::deserialize_open_file(&engine, File::open(&file.0)?)?,
        ]
    };
    for module in &modules {
        assert_eq!(seven(&engine, module)?, 7);
        assert!(module.serialize()? == image);
    }
    Ok(())
}

/// An image that someone else mapped, code executable, used where it is.
#[test]
fn memory_that_is_mapped_already() -> Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let engine = Engine::default();
    let image = image(SEVEN);
    let file = Temporary::new("raw.aot", &image)?;
    let open = File::open(&file.0)?;
    // SAFETY: a new mapping of a file that nobody changes, unmapped after the module is dropped.
    unsafe {
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        let base =
            mmap(std::ptr::null_mut(), image.len(), protection, MapFlags::PRIVATE, &open, 0)?;
        let memory = NonNull::new(base.cast::<u8>()).expect("not at 0");
        let bytes = NonNull::slice_from_raw_parts(memory, image.len());
        let module = Module::deserialize_raw(&engine, bytes)?;
        assert_eq!(seven(&engine, &module)?, 7);
        assert_eq!(
            chain(module.serialize()),
            "the module's artifact is not at hand: it was not loaded from a file or bytes"
        );
        drop(module);
        let shifted = NonNull::slice_from_raw_parts(memory, 0);
        assert!(Module::deserialize_raw(&engine, shifted).is_err());
        munmap(base, image.len())?;
    }
    Ok(())
}

#[test]
fn memory_that_is_not_on_a_page() {
    let engine = Engine::default();
    let image = image(SEVEN);
    let mut buffer = vec![0; image.len() + 1 + 4096];
    let start = 1 + buffer.as_ptr().align_offset(4096);
    buffer[start..][..image.len()].copy_from_slice(&image);
    let bytes = NonNull::from(&mut buffer[start..][..image.len()]);
    // SAFETY: it is refused before anything is run.
    let result = unsafe { Module::deserialize_raw(&engine, bytes) };
    assert!(chain(result).contains("does not start on a page boundary"));
}

#[test]
fn what_is_not_a_module() -> Result<()> {
    let engine = Engine::default();
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"(module)", b"\x7fELF"] {
        assert_eq!(Engine::detect_precompiled(bytes), None);
        // SAFETY: nothing is run.
        let error = unsafe { Module::deserialize(&engine, bytes) }.expect_err("an error");
        assert!(error.downcast_ref::<LoadError>().is_some());
        let file = Temporary::new(&format!("not-{}", bytes.len()), bytes)?;
        assert_eq!(Engine::detect_precompiled_file(&file.0)?, None);
    }
    for text in [&b"\0asm\x01\0\0\0"[..], b"\n  (module)"] {
        assert_eq!(
            chain(Module::from_bytes(&engine, text)),
            "not an image that can be mapped: it is WebAssembly that is not compiled yet; give what `aotc compile --emit image` makes of it"
        );
    }
    let own = std::env::current_exe()?;
    assert_eq!(Engine::detect_precompiled_file(&own)?, None);
    assert!(Engine::detect_precompiled_file("/nonexistent").is_err());
    // SAFETY: there is nothing to run.
    let error = chain(unsafe { Module::deserialize_file(&engine, "/nonexistent") });
    assert!(
        error.starts_with("failed to load module from `/nonexistent`: cannot open the file"),
        "{error}"
    );
    Ok(())
}

#[test]
fn modules_for_other_processors_are_recognised() -> Result<()> {
    let engine = Engine::default();
    let mut image = image(SEVEN);
    assert_eq!(Engine::detect_precompiled(&image), Some(Precompiled::Module));
    // The ELF header's machine: none that there is.
    image[18..20].copy_from_slice(&[0xfe, 0xff]);
    assert_eq!(Engine::detect_precompiled(&image), Some(Precompiled::Module));
    let file = Temporary::new("other.aot", &image)?;
    assert_eq!(Engine::detect_precompiled_file(&file.0)?, Some(Precompiled::Module));
    // SAFETY: it is refused before anything is run.
    let error = unsafe { Module::deserialize_file(&engine, &file.0) }.expect_err("an error");
    assert!(matches!(error.downcast_ref(), Some(LoadError::Target { .. })), "{error:#}");
    Ok(())
}
