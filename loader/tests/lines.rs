//! Lines of the source in backtraces. `fixtures/lines/lines.wasm` is `lines.c`, compiled with clang -g -O1.

use aotc::{DebugLinesStyle, Emit, Options};
use aotc_loader::{Engine, Instance, Module, Store, WasmBacktrace};

const WASM: &[u8] = include_bytes!("../../fixtures/lines/lines.wasm");

/// The backtrace of a trap in a C program; `None` if the module does not trap, or has no function `run`.
fn backtrace(image: &[u8]) -> Option<WasmBacktrace> {
    let engine = Engine::default();
    let module = Module::from_bytes(&engine, image).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").ok()?;
    let error = run.call(&mut store, 3).unwrap_err();
    Some(error.downcast_ref::<WasmBacktrace>().unwrap().clone())
}

#[test]
fn frames_have_lines() {
    let image = aotc::compile(WASM, Emit::Image, &Options::default()).unwrap();
    let backtrace = backtrace(&image).unwrap();
    let frames: Vec<Vec<_>> = backtrace
        .frames()
        .iter()
        .map(|frame| {
            let symbols = frame.symbols().iter();
            symbols.map(|symbol| (symbol.name().unwrap(), symbol.line().unwrap())).collect()
        })
        .collect();
    // The trap is part of the branch to it, for the code generator.
    assert_eq!(frames, [vec![("deepest", 2), ("middle", 9)], vec![("run", 13)]]);
    for symbol in backtrace.frames().iter().flat_map(|frame| frame.symbols()) {
        assert_eq!(symbol.file(), Some("source/lines.c"));
        assert!(symbol.column().is_some());
    }
    assert_eq!(
        backtrace.to_string(),
        "error while executing at wasm backtrace:
    0:   0x58 - lines.wasm!deepest
             at source/lines.c:2:15
       inlined into middle
             at source/lines.c:9:12
    1:   0x45 - lines.wasm!run
             at source/lines.c:13:12"
    );
}

#[test]
fn lines_can_be_left_out() {
    let options = Options { debug_lines: DebugLinesStyle::Omit, ..Options::default() };
    let image = aotc::compile(WASM, Emit::Image, &options).unwrap();
    let backtrace = backtrace(&image).unwrap();
    assert_eq!(backtrace.frames().len(), 2);
    assert!(backtrace.frames().iter().all(|frame| frame.symbols().is_empty()));
    assert_eq!(
        backtrace.to_string(),
        "error while executing at wasm backtrace:\n    0:   0x58 - lines.wasm!middle\n    1:   0x45 - lines.wasm!run"
    );
}

/// Debug information has no meaning for a module: whatever it is, the module is compiled and runs.
#[test]
fn damaged_debug_information_is_no_error() {
    let debug = WASM.windows(11).position(|bytes| bytes == b".debug_line").unwrap();
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    let first = WASM.windows(7).position(|bytes| bytes == b".debug_").unwrap();
    assert!(first <= debug);
    let mut compiled = 0;
    for _ in 0..300 {
        let mut wasm = WASM.to_vec();
        for _ in 0..1 + random() % 3 {
            let at = first + random() % (wasm.len() - first);
            wasm[at] = random() as u8;
        }
        // A size of a section may have been hit: then it is no module any more.
        let Ok(image) = aotc::compile(&wasm, Emit::Image, &Options::default()) else { continue };
        compiled += 1;
        let backtrace = backtrace(&image).unwrap();
        assert_eq!(backtrace.frames().len(), 2);
        assert!(!backtrace.to_string().is_empty());
    }
    assert!(compiled > 200, "only {compiled} of 300 were still modules");
}
