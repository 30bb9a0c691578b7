//! Core dumps, read by another reader.

use aotc_loader::{
    Config, Engine, Func, FuncType, Global, GlobalType, Instance, Linker, Memory, MemoryType,
    Module, Mutability, Store, Trap, Val, ValType, WasmBacktrace, WasmCoreDump,
};
use wasmparser::{
    CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection,
    DataKind, KnownCustom, Operator, Parser, Payload, Validator,
};

use crate::support::{explicit_image, image};

const INNER: &str = r#"(module $inner
  (import "host" "memory" (memory 1 3))
  (global (export "counter") (mut i64) (i64.const -7))
  (global v128 (v128.const i64x2 1 2))
  (global f32 (f32.const 1.5))
  (global funcref (ref.null func))
  (func $crash (export "crash") (param i32)
    (i32.store8 (local.get 0) (i32.const 65))
    (unreachable)))"#;

const OUTER: &str = r#"(module $outer
  (import "inner" "crash" (func $crash (param i32)))
  (import "inner" "counter" (global $counter (mut i64)))
  (memory (export "own") 2)
  (func $run (export "run") (param i32)
    (global.set $counter (i64.const 99))
    (i32.store (i32.const 70000) (i32.const 0x01020304))
    (call $crash (local.get 0)))
  (func (export "refuse") (call $crash (i32.const -1))))"#;

/// What a dump says.
#[derive(Debug, Default, PartialEq)]
struct Read {
    name: String,
    modules: Vec<String>,
    /// Module, memories, globals.
    instances: Vec<(u32, Vec<u32>, Vec<u32>)>,
    /// Instance and function.
    frames: Vec<(u32, u32)>,
    offsets: Vec<u32>,
    /// Initial and maximum pages.
    memories: Vec<(u64, Option<u64>)>,
    globals: Vec<String>,
    /// Memory, offset, bytes.
    data: Vec<(u32, i32, Vec<u8>)>,
}

fn read(dump: &[u8]) -> Read {
    Validator::new().validate_all(dump).expect("a core dump is a valid module");
    let mut read = Read::default();
    for payload in Parser::new(0).parse_all(dump) {
        match payload.unwrap() {
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::CoreDump(CoreDumpSection { name }) => read.name = name.to_owned(),
                KnownCustom::CoreDumpModules(CoreDumpModulesSection { modules }) => {
                    read.modules = modules.iter().map(ToString::to_string).collect();
                }
                KnownCustom::CoreDumpInstances(CoreDumpInstancesSection { instances }) => {
                    for instance in instances {
                        let (memories, globals) = (instance.memories, instance.globals);
                        read.instances.push((instance.module_index, memories, globals));
                    }
                }
                KnownCustom::CoreDumpStack(CoreDumpStackSection { frames, .. }) => {
                    for frame in frames {
                        read.frames.push((frame.instanceidx, frame.funcidx));
                        read.offsets.push(frame.codeoffset);
                    }
                }
                _ => panic!("unknown section {}", section.name()),
            },
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory.unwrap();
                    read.memories.push((memory.initial, memory.maximum));
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let mut operators = global.unwrap().init_expr.get_operators_reader();
                    read.globals.push(format!("{:?}", operators.read().unwrap()));
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment.unwrap();
                    let DataKind::Active { memory_index, offset_expr } = segment.kind else {
                        panic!("a passive segment");
                    };
                    let Operator::I32Const { value } =
                        offset_expr.get_operators_reader().read().unwrap()
                    else {
                        panic!("an offset of another type");
                    };
                    read.data.push((memory_index, value, segment.data.to_vec()));
                }
            }
            _ => {}
        }
    }
    read
}

#[test]
fn everything_is_dumped() {
    let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
    for compile in [image, explicit_image] {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let memory = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
        memory.grow(&mut store, 1).unwrap();
        linker.define(&store, "host", "memory", memory).unwrap();
        let inner = Module::from_bytes(&engine, &compile(INNER)).unwrap();
        linker.module(&mut store, "inner", &inner).unwrap();
        let outer = Module::from_bytes(&engine, &compile(OUTER)).unwrap();
        let instance = linker.instantiate(&mut store, &outer).unwrap();
        let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();

        let error = run.call(&mut store, 65536 + 5).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        let backtrace = error.downcast_ref::<WasmBacktrace>().unwrap();
        let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
        assert_eq!(dump.frames().len(), 2);
        assert_eq!((dump.modules().len(), dump.instances().len()), (2, 2));
        assert_eq!((dump.memories().len(), dump.globals().len()), (2, 4));
        assert!(dump.to_string().starts_with("wasm coredump of:\n  "), "{dump}");

        let found = read(&dump.serialize(&mut store, "a program"));
        assert_eq!(found.name, "a program");
        assert_eq!(found.modules, ["test", "test"]);
        assert_eq!(found.instances, [(0, vec![0], vec![0, 1, 2, 3]), (1, vec![1], vec![0])]);
        assert_eq!(found.frames, [(0, 0), (1, 1)]);
        let offsets: Vec<_> =
            backtrace.frames().iter().map(|frame| frame.func_offset().unwrap() as u32).collect();
        assert_eq!(found.offsets, offsets);
        assert!(offsets.iter().all(|&offset| offset > 0));
        assert_eq!(found.memories, [(2, Some(3)), (2, None)]);
        assert_eq!(found.globals.len(), 4);
        assert_eq!(found.globals[0], "I64Const { value: 99 }");
        assert!(found.globals[1].contains("V128Const"));
        assert!(found.globals[2].contains(&1.5f32.to_bits().to_string()), "{}", found.globals[2]);
        assert!(found.globals[3].contains("RefNull"));
        let mut first = vec![0; 4096];
        first[5] = 65;
        let mut second = vec![0; 4096];
        let at = 70000 % 4096;
        second[at..at + 4].copy_from_slice(&0x01020304u32.to_le_bytes());
        let start = |offset: i32| offset / 4096 * 4096;
        assert_eq!(found.data, [(0, 65536, first), (1, start(70000), second)]);
    }
}

#[test]
fn errors_of_the_host_are_dumped_once() {
    let engine = Engine::new(Config::new().coredump_on_trap(true)).unwrap();
    let module = Module::from_bytes(&engine, &image(OUTER)).unwrap();
    let mut store = Store::new(&engine, ());
    let ty = FuncType::new(&engine, [ValType::I32], []);
    let crash = Func::new(&mut store, ty, |_, _, _| anyhow::bail!("refused by the host"));
    let ty = GlobalType::new(ValType::I64, Mutability::Var);
    let counter = Global::new(&mut store, ty, Val::I64(1)).unwrap();
    let instance = Instance::new(&mut store, &module, &[crash.into(), counter.into()]).unwrap();
    let refuse = instance.get_typed_func::<(), ()>(&mut store, "refuse").unwrap();
    let error = refuse.call(&mut store, ()).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "refused by the host");
    let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
    assert_eq!(read(&dump.serialize(&mut store, "")).globals, ["I64Const { value: 1 }"]);
    let dumps = format!("{error:?}").matches("wasm coredump of").count();
    assert_eq!(dumps, 1);
}

#[test]
fn without_the_setting_there_is_no_dump() {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, &image(r#"(module (func (export "f") unreachable))"#));
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module.unwrap(), &[]).unwrap();
    let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
    let error = f.call(&mut store, ()).unwrap_err();
    assert!(error.downcast_ref::<WasmBacktrace>().is_some());
    assert!(error.downcast_ref::<WasmCoreDump>().is_none());
}
