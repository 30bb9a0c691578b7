//! What is refused, and how the result looks.

use super::*;

fn merge(main: &str, others: &[(&str, &str)]) -> Result<Linked> {
    let files: Vec<String> = others.iter().map(|(name, _)| format!("{name}.wat")).collect();
    let others: Vec<_> = others
        .iter()
        .zip(&files)
        .map(|((name, text), file)| LinkInput { name, file, bytes: text.as_bytes() })
        .collect();
    let main = LinkInput { name: "", file: "main.wat", bytes: main.as_bytes() };
    link(&main, &others, &Options::default())
}

fn refused(main: &str, others: &[(&str, &str)]) -> String {
    merge(main, others).expect_err("it is refused").to_string()
}

/// What `look` finds in the merged module.
fn merged<R>(linked: &Linked, look: impl FnOnce(&WasmModule<'_>) -> R) -> R {
    look(&linked.parse(&Options::default()).expect("it is valid"))
}

#[test]
fn types_name_both_files_and_the_line() {
    let main = "(module\n  (func (export \"g\"))\n  (import \"env\" \"f\" (func (param i32) (result i64))))"
        .replace("  (func (export \"g\"))\n", "");
    let env = ("env", r#"(module (func (export "f") (param f32)))"#);
    let message = refused(&main, &[env]);
    let expected = "incompatible import type for `env::f`: main.wat expects function \
        `(func (param i32) (result i64))`, env.wat exports function `(func (param f32))`";
    assert!(message.starts_with(expected), "{message}");
    assert!(message.contains("main.wat:2:"), "{message}");
}

#[test]
fn binary_files_are_named_with_the_offset() {
    let main = wast_binary(r#"(module (import "env" "m" (memory 2 3)))"#);
    let env = r#"(module (memory (export "m") 1))"#;
    let main = LinkInput { name: "", file: "main.wasm", bytes: &main };
    let env = LinkInput { name: "env", file: "env.wat", bytes: env.as_bytes() };
    let message = link(&main, &[env], &Options::default()).unwrap_err().to_string();
    assert_eq!(
        message,
        "main.wasm: incompatible import type for `env::m`: main.wasm expects memory `(memory 2 3)`, \
         env.wat exports memory `(memory 1)` (at offset 0xb)"
    );
}

fn wast_binary(text: &str) -> Vec<u8> {
    crate::to_binary(text.as_bytes()).unwrap().into_owned()
}

#[test]
fn invalid_modules_are_named() {
    let env = ("env", "(module (func (result i32)))");
    let message = refused("(module)", &[env]);
    assert!(message.contains("invalid WebAssembly: type mismatch"), "{message}");
    assert!(message.contains("env.wat:1:"), "{message}");
    let broken = LinkInput { name: "env", file: "env.wasm", bytes: b"\0asm\x01\0\0\0\x7f" };
    let main = LinkInput { name: "", file: "main.wat", bytes: b"(module)" };
    let message = link(&main, &[broken], &Options::default()).unwrap_err().to_string();
    assert!(message.starts_with("env.wasm: invalid WebAssembly: "), "{message}");
}

#[test]
fn names_are_different() {
    let twice = [("env", "(module)"), ("util", "(module)"), ("env", "(module)")];
    assert_eq!(refused("(module)", &twice), "two modules are to be linked as `env`");
}

#[test]
fn circles_are_refused() {
    let a = r#"(module (import "b" "g" (func)) (func (export "f")))"#;
    let b = r#"(module (import "a" "f" (func)) (func (export "g")))"#;
    let message = refused("(module)", &[("a", a), ("b", b)]);
    let expected =
        "`b::g` is an export of b.wat, which is linked after this module: name it before";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_module_wraps_what_it_imports_under_its_own_name() {
    let env = r#"(module (import "env" "f" (func $f)) (func (export "f") (call $f)))"#;
    let main = r#"(module (import "env" "f" (func $f)) (func (export "g") (call $f)))"#;
    merged(&merge(main, &[("env", env)]).unwrap(), |module| {
        assert_eq!(module.imports.len(), 1);
        assert_eq!((module.imports[0].module, module.imports[0].name), ("env", "f"));
        assert_eq!(module.bodies.len(), 2);
    });
}

#[test]
fn the_main_module_comes_first() {
    let lib = r#"(module
        (import "host" "b" (func)) (import "host" "memory" (memory 2))
        (memory 3) (func $named (export "f")) (func (export "hidden")) (memory (export "m") 4))"#;
    let main = r#"(module $app
        (import "host" "a" (func)) (import "host" "b" (func)) (import "lib" "f" (func $f))
        (import "lib" "m" (memory 1)) (import "host" "memory" (memory 1 5))
        (memory 6) (func $run (export "run") (param $count i32) (call $f)))"#;
    merged(&merge(main, &[("lib", lib)]).unwrap(), |module| {
        let imports: Vec<_> = module.imports.iter().map(|import| import.name).collect();
        assert_eq!(imports, ["a", "b", "memory"], "the same import is imported once");
        let memories: Vec<_> =
            module.memories.iter().map(|memory| (memory.min, memory.max)).collect();
        assert_eq!(memories, [(2, Some(5)), (6, None), (3, None), (4, None)]);
        assert_eq!(module.names.module, Some("app"));
        let names: Vec<_> = module.names.functions.iter().flatten().copied().collect();
        assert_eq!(names, ["run", "lib::named", "lib::<wasm function 2>"]);
        let exports: Vec<_> = module.exports.iter().map(|export| export.name).collect();
        assert_eq!(exports, ["run"]);
        let run = aotc_abi::index::FuncIndex(module.exports[0].index);
        assert_eq!(module.names.parameters(run, 1), [Some("count")]);
    });
}

#[test]
fn segments_stay_active_where_nobody_can_tell() {
    let lib = r#"(module (memory (export "m") 1) (data (i32.const 0) "a") (func (export "f")))"#;
    let main = r#"(module
        (import "lib" "m" (memory 1)) (import "lib" "f" (func))
        (table 2 funcref) (elem (i32.const 0) func 0) (memory 1)
        (data (i32.const 1) "b") (data (memory 1) (i32.const 1) "c"))"#;
    let is_active = |module: &WasmModule<'_>| {
        let data = module.data.iter().map(|segment| &segment.mode);
        data.map(|mode| matches!(mode, parse::SegmentMode::Active { .. })).collect::<Vec<_>>()
    };
    merged(&merge(main, &[("lib", lib)]).unwrap(), |module| {
        assert_eq!(is_active(module), [true, true, true]);
        assert_eq!(module.start, None);
    });
    // With a start function before, what it could see waits for it.
    let lib = lib.replace("(func (export \"f\"))", "(func (export \"f\")) (start 0)");
    merged(&merge(main, &[("lib", &lib)]).unwrap(), |module| {
        assert_eq!(is_active(module), [true, false, true]);
        assert!(module.start.is_some());
    });
}

#[test]
fn a_constant_cannot_grow_without_limit() {
    let first =
        r#"(module (import "h" "g" (global $h i32)) (global (export "g") i32 (global.get $h)))"#;
    let double = |before: &str| {
        format!(
            r#"(module (import "{before}" "g" (global $g i32))
                (global (export "g") i32 (i32.add (global.get $g) (global.get $g))))"#
        )
    };
    let names: Vec<String> = (0..24).map(|number| format!("m{number}")).collect();
    let mut texts = vec![first.to_owned()];
    texts.extend(names[..23].iter().map(|name| double(name)));
    let others: Vec<_> = names.iter().zip(&texts).map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let message = refused("(module)", &others);
    assert!(message.contains("a constant of the linked modules"), "{message}");
    assert!(merge("(module)", &others[..10]).is_ok());
}
