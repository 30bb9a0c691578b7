//! Declarations of a module for the programs that it is linked into, in their language.

pub(crate) mod c;
mod c_text;
mod identifier;
mod items;
pub(crate) mod rust;
mod writer;

pub(crate) use identifier::Identifiers;

use aotc_abi::index::FuncIndex;
use aotc_abi::types::ValType;

use crate::parse::{FuncType, WasmModule};

/// Names of a function's parameters, as good as the name section has them; distinct.
pub(crate) fn parameters(
    module: &WasmModule<'_>,
    func: FuncIndex,
    language: identifier::Language,
    reserved: &[&str],
) -> Vec<String> {
    let count = module.function_type(func).params.len();
    let known = module.names.parameters(func, count);
    let mut names = Identifiers::new(language, reserved);
    let name = |(index, name): (usize, Option<&str>)| match name {
        Some(name) if !name.is_empty() => names.parameter(name),
        _ => names.lower(&format!("arg{index}")),
    };
    known.into_iter().enumerate().map(name).collect()
}

/// A function type in the text format.
pub(crate) fn type_text(ty: &FuncType) -> String {
    let list = |word: &str, types: &[ValType]| match types {
        [] => String::new(),
        _ => {
            let names: Vec<_> = types.iter().map(ToString::to_string).collect();
            format!(" ({word} {})", names.join(" "))
        }
    };
    format!("(func{}{})", list("param", &ty.params), list("result", &ty.results))
}

/// `name` as it can stand in a comment: in quotes, on one line, without what could end a code span or a comment.
pub(crate) fn in_comment(name: &str) -> String {
    let safe = |c: char| match c {
        '`' => "\\u{60}".to_owned(),
        '/' | '*' | '[' | ']' | '<' | '>' | '\\' => format!("\\{c}"),
        c if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    name.chars().map(safe).collect()
}
