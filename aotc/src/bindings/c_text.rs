//! How types, values, names and calls are written in C.

use aotc_abi::index::FuncIndex;
use aotc_abi::types::ValType;

use super::identifier::Language;
use super::parameters;
use super::writer::{LINE_WIDTH, Writer};
use crate::parse::{ConstOp, Global, WasmModule};

/// The C type of values.
pub(super) fn c_type(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "int32_t",
        ValType::I64 => "int64_t",
        ValType::F32 => "float",
        ValType::F64 => "double",
        ValType::V128 => "aotc_v128_t",
        ValType::FuncRef | ValType::ExternRef => "wasm_ref_t*",
    }
}

/// The kind of values, in an `aotc_val_t`.
pub(super) fn kind(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "WASM_I32",
        ValType::I64 => "WASM_I64",
        ValType::F32 => "WASM_F32",
        ValType::F64 => "WASM_F64",
        ValType::V128 => "AOTC_V128",
        ValType::FuncRef => "WASM_FUNCREF",
        ValType::ExternRef => "WASM_EXTERNREF",
    }
}

/// Where values are in an `aotc_val_t`.
pub(super) fn member(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::FuncRef | ValType::ExternRef => "ref",
    }
}

/// The value in an `aotc_val_t`.
pub(super) fn get(place: &str, ty: ValType) -> String {
    match ty {
        ValType::V128 => format!("aotc_v128_of({place}.of.v128)"),
        _ => format!("{place}.of.{}", member(ty)),
    }
}

/// A statement that puts `value` into an `aotc_val_t`.
pub(super) fn put(place: &str, value: &str, ty: ValType) -> String {
    match ty {
        ValType::V128 => format!("memcpy({place}.of.v128, {value}.bytes, 16);"),
        _ => format!("{place}.of.{} = {value};", member(ty)),
    }
}

/// Defines an array of the types' kinds, unless it would be empty. Gives the two arguments that pass it.
pub(super) fn kinds(out: &mut Writer, name: &str, types: &[ValType]) -> [String; 2] {
    if types.is_empty() {
        return ["NULL".to_owned(), "0".to_owned()];
    }
    let items: Vec<_> = types.iter().map(|ty| kind(*ty).to_owned()).collect();
    let head = format!("static const wasm_valkind_t {name}[] = ");
    let line = format!("{head}{{{}}};", items.join(", "));
    match out.indent + line.len() <= LINE_WIDTH {
        true => out.line(&line),
        false => out.list(&head, ["{", "}"], &items, ";"),
    }
    [name.to_owned(), types.len().to_string()]
}

/// Parameters with their types.
pub(super) fn declared<'a>(
    names: &'a [String],
    types: &'a [ValType],
) -> impl Iterator<Item = String> + 'a {
    names.iter().zip(types).map(|(name, ty)| format!("{} {name}", c_type(*ty)))
}

/// Names of a function's parameters, beside those of its results.
pub(super) fn parameter_names(
    module: &WasmModule<'_>,
    func: FuncIndex,
    reserved: &[&str],
) -> Vec<String> {
    let results = result_names(module.function_type(func).results.len());
    let taken: Vec<&str> =
        reserved.iter().copied().chain(results.iter().map(String::as_str)).collect();
    parameters(module, func, Language::C, &taken)
}

pub(super) fn result_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["result".to_owned()],
        _ => (0..count).map(|index| format!("result{index}")).collect(),
    }
}

/// Parameters through which results are returned.
pub(super) fn result_pointers(types: &[ValType]) -> Vec<String> {
    let names = result_names(types.len());
    names.iter().zip(types).map(|(name, ty)| format!("{}* {name}", c_type(*ty))).collect()
}

/// The value of a global that never changes, if it is written down.
pub(super) fn constant(global: &Global) -> Option<String> {
    if global.mutable {
        return None;
    }
    let [op] = &*global.init.as_ref()?.0 else { return None };
    Some(match *op {
        // The least numbers are not what a minus before the next one makes of it.
        ConstOp::I32(number) => format!("((int32_t)INT64_C({number}))"),
        ConstOp::I64(i64::MIN) => "INT64_MIN".to_owned(),
        ConstOp::I64(number) => format!("INT64_C({number})"),
        ConstOp::F32(bits) => format!("(aotc_f32_of_bits(UINT32_C({bits:#x})))"),
        ConstOp::F64(bits) => format!("(aotc_f64_of_bits(UINT64_C({bits:#x})))"),
        _ => return None,
    })
}

/// A string literal with these bytes. Names may hold anything, and nothing after an escape may be taken for part of it.
pub(super) fn c_string(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", byte as char),
        // Two of them can begin a trigraph.
        b'?' => "\\?".to_owned(),
        0x20..=0x7e => (byte as char).to_string(),
        byte => format!("\\{byte:03o}"),
    };
    format!("\"{}\"", text.bytes().map(escaped).collect::<String>())
}

/// `head(params)tail`, on one line if it fits.
pub(super) fn signature(out: &mut Writer, head: &str, params: &[&str], tail: &str) {
    let line = format!("{head}({}){tail}", params.join(", "));
    if out.indent + line.len() <= LINE_WIDTH {
        return out.line(&line);
    }
    out.line(&format!("{head}("));
    out.nested(|out| {
        for (index, param) in params.iter().enumerate() {
            let comma = if index + 1 < params.len() { "," } else { &format!("){tail}") };
            out.line(&format!("{param}{comma}"));
        }
    });
}

/// `head(arguments)tail`, on one line if it fits.
pub(super) fn call(out: &mut Writer, head: &str, arguments: &[String], tail: &str) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    signature(out, head, &arguments, tail);
}

/// A comment, in one line or several.
pub(super) fn comment(out: &mut Writer, lines: &[&str]) {
    let [first, more @ ..] = lines else { return };
    if more.is_empty() {
        return out.line(&format!("/* {first} */"));
    }
    out.line(&format!("/* {first}"));
    for (index, line) in more.iter().enumerate() {
        let end = if index + 1 < more.len() { "" } else { " */" };
        out.line(format!(" * {line}{end}").trim_end());
    }
}
