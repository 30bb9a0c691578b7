//! Layouts and constants of the headers, compared with the definitions here: a C and a C++ compiler check
//! assertions that are made of these.

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::process::Command;
use std::{env, eprintln, fs};

use aotc_abi::trap::TRAP_KINDS;

use crate::frame::aotc_source_t;
use crate::linked::{aotc_called_t, aotc_callee_t};
use crate::pooling::aotc_pooling_t;
use crate::prelude::*;
use crate::store::aotc_limits_t;
use crate::types::{self, ExternKind, wasm_limits_t};
use crate::value::{aotc_val_t, wasm_val_t};
use crate::vector::{Vector, wasm_byte_vec_t};
use crate::wasi;

/// The assertions, each an expression of C.
struct Assertions(String);

impl Assertions {
    fn equal(&mut self, expression: &str, value: usize) {
        let text = format!("static_assert({expression} == {value}, \"{expression}\");\n");
        self.0.push_str(&text);
    }
}

macro_rules! layouts {
    ($assertions:ident: $($ty:ident { $($field:ident $(=> $c:literal)?),* })*) => {$(
        $assertions.equal(concat!("sizeof(", stringify!($ty), ")"), size_of::<$ty>());
        $({
            let field = stringify!($field)$(.replace(stringify!($field), $c))?;
            let expression = format!("offsetof({}, {field})", stringify!($ty));
            $assertions.equal(&expression, offset_of!($ty, $field));
        })*
    )*};
}

fn assertions() -> String {
    let mut assertions = Assertions(String::new());
    let list = &mut assertions;
    layouts! { list:
        wasm_limits_t { min, max }
        wasm_val_t { kind, of }
        aotc_val_t { kind, of }
        aotc_source_t { func, file, line, column }
        aotc_limits_t { memory_bytes, table_elements, instances, tables, memories, trap_on_grow_failure }
        aotc_pooling_t { instances, memories, tables, table_elements, memory_bytes, warm_slots }
        wasm_byte_vec_t { size, data }
        aotc_called_t { bits, error }
        aotc_callee_t {}
    }
    for name in
        ["byte", "val", "valtype", "functype", "externtype", "importtype", "frame", "extern"]
    {
        list.equal(&format!("sizeof(wasm_{name}_vec_t)"), size_of::<Vector<u64>>());
    }
    let kinds = [
        ("WASM_I32", types::I32),
        ("WASM_I64", types::I64),
        ("WASM_F32", types::F32),
        ("WASM_F64", types::F64),
        ("AOTC_V128", types::V128),
        ("WASM_EXTERNREF", types::EXTERNREF),
        ("WASM_FUNCREF", types::FUNCREF),
        ("WASM_CONST", types::CONST),
        ("WASM_VAR", types::VAR),
        ("WASM_EXTERN_FUNC", ExternKind::Func as u8),
        ("WASM_EXTERN_GLOBAL", ExternKind::Global as u8),
        ("WASM_EXTERN_TABLE", ExternKind::Table as u8),
        ("WASM_EXTERN_MEMORY", ExternKind::Memory as u8),
        ("WASM_EXTERN_TAG", ExternKind::Tag as u8),
        ("AOTC_WASI_READ_ONLY", wasi::READ_ONLY),
        ("AOTC_WASI_READ_WRITE", wasi::READ_WRITE),
    ];
    for (name, value) in kinds {
        list.equal(name, value.into());
    }
    for kind in TRAP_KINDS {
        list.equal(&format!("AOTC_TRAP_{}", upper(&format!("{kind:?}"))), kind as usize);
    }
    let numbers = [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ];
    for (part, number) in numbers {
        list.equal(&format!("AOTC_VERSION_{part}"), number.parse().expect("a number"));
    }
    list.equal("sizeof(AOTC_VERSION)", env!("CARGO_PKG_VERSION").len() + 1);
    list.equal("AOTC_NO_LIMIT", usize::MAX);
    for small in ["wasm_valkind_t", "wasm_mutability_t", "wasm_externkind_t", "aotc_trap_code_t"] {
        list.equal(&format!("sizeof({small})"), size_of::<u8>());
    }
    assertions.0.replace(&usize::MAX.to_string(), "SIZE_MAX")
}

/// `MemoryOutOfBounds` as `MEMORY_OUT_OF_BOUNDS`.
fn upper(name: &str) -> String {
    let mut text = String::new();
    for (index, c) in name.char_indices() {
        if c.is_uppercase() && index > 0 {
            text.push('_');
        }
        write!(text, "{}", c.to_ascii_uppercase()).expect("a string grows");
    }
    text
}

/// Whether `compiler` takes the assertions.
fn is_taken(compiler: &str, extension: &str, assertions: &str) -> bool {
    let name = format!("aotc-layout-{}-{}.{extension}", std::process::id(), assertions.len());
    let source = env::temp_dir().join(name);
    fs::write(&source, format!("#include \"aotc.h\"\n{assertions}")).expect("a temporary file");
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include")).arg(&source);
    let output = command.output().expect("a compiler");
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(source).expect("the temporary file");
    output.status.success()
}

#[test]
fn headers_have_these_layouts_and_constants() {
    let assertions = assertions();
    assert!(assertions.lines().count() > 60, "{assertions}");
    assert!(is_taken("cc", "c", &assertions));
    assert!(is_taken("c++", "cc", &assertions));
}

#[test]
fn another_layout_is_noticed() {
    let mut assertions = Assertions(String::new());
    assertions.equal("sizeof(wasm_val_t)", size_of::<wasm_val_t>() + 8);
    assert!(!is_taken("cc", "c", &assertions.0));
}
