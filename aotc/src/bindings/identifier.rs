//! Names of a module as identifiers of a programming language.
//!
//! A name may be any text. Words are kept, whatever is no letter or digit separates them, letters beyond
//! ASCII become their numbers, and what is then a keyword, taken or too long is told apart by an ending.

use std::collections::BTreeSet;

/// Longest identifier that is made, without its ending, in bytes.
const BYTES_MAX: usize = 40;

/// The language whose keywords are no identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Rust, of every edition.
    Rust,
    /// C and C++, with the macros of their standard headers and of usual compilers, and what declarations use of the
    /// standard library.
    C,
}

impl Language {
    fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[
                "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
                "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for",
                "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut",
                "override", "priv", "pub", "ref", "return", "self", "Self", "static", "struct",
                "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized",
                "use", "virtual", "where", "while", "yield",
            ],
            Self::C => &[
                "alignas",
                "alignof",
                "and",
                "and_eq",
                "asm",
                "assert",
                "auto",
                "bitand",
                "bitor",
                "bool",
                "break",
                "case",
                "catch",
                "char",
                "char16_t",
                "char32_t",
                "char8_t",
                "class",
                "compl",
                "complex",
                "concept",
                "const",
                "const_cast",
                "consteval",
                "constexpr",
                "constinit",
                "continue",
                "co_await",
                "co_return",
                "co_yield",
                "decltype",
                "default",
                "delete",
                "do",
                "double",
                "dynamic_cast",
                "else",
                "enum",
                "errno",
                "explicit",
                "export",
                "extern",
                "false",
                "far",
                "float",
                "for",
                "friend",
                "goto",
                "i386",
                "if",
                "imaginary",
                "inline",
                "int",
                "int32_t",
                "int64_t",
                "interface",
                "linux",
                "long",
                "max",
                "memcpy",
                "memset",
                "min",
                "mutable",
                "namespace",
                "near",
                "new",
                "noexcept",
                "noreturn",
                "not",
                "not_eq",
                "nullptr",
                "operator",
                "or",
                "or_eq",
                "own",
                "private",
                "protected",
                "public",
                "register",
                "reinterpret_cast",
                "requires",
                "restrict",
                "return",
                "setjmp",
                "short",
                "signed",
                "size_t",
                "sizeof",
                "small",
                "static",
                "static_assert",
                "static_cast",
                "stderr",
                "stdin",
                "stdout",
                "struct",
                "switch",
                "template",
                "this",
                "thread_local",
                "throw",
                "true",
                "try",
                "typedef",
                "typeid",
                "typename",
                "typeof",
                "uint32_t",
                "uint64_t",
                "uint8_t",
                "union",
                "unix",
                "unsigned",
                "using",
                "va_arg",
                "va_copy",
                "va_end",
                "va_start",
                "virtual",
                "void",
                "volatile",
                "wchar_t",
                "while",
                "xor",
                "xor_eq",
            ],
        }
    }

    /// What the names begin with that a parameter must not hide.
    fn libraries(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[],
            Self::C => &["aotc_", "wasm_"],
        }
    }
}

/// Identifiers of one scope, all distinct.
pub(crate) struct Identifiers {
    language: Language,
    taken: BTreeSet<String>,
}

impl Identifiers {
    /// A scope in which `reserved` are taken.
    pub(crate) fn new(language: Language, reserved: &[&str]) -> Self {
        Self { language, taken: reserved.iter().map(|&name| name.to_owned()).collect() }
    }

    /// As functions and variables are called: `snake_case`.
    pub(crate) fn lower(&mut self, name: &str) -> String {
        self.distinct(words(name).join("_"), "_")
    }

    /// As parameters are called: as variables, and not as anything that their function uses.
    pub(crate) fn parameter(&mut self, name: &str) -> String {
        let name = words(name).join("_");
        let hides = self.language.libraries().iter().any(|library| name.starts_with(library));
        self.distinct(if hides { format!("arg_{name}") } else { name }, "_")
    }

    /// As constants are called: `UPPER_CASE`.
    pub(crate) fn upper(&mut self, name: &str) -> String {
        self.distinct(words(name).join("_").to_ascii_uppercase(), "_")
    }

    /// As types are called: `CamelCase`.
    pub(crate) fn camel(&mut self, name: &str) -> String {
        let capital = |word: String| word[..1].to_ascii_uppercase() + &word[1..];
        self.distinct(words(name).into_iter().map(capital).collect(), "")
    }

    fn distinct(&mut self, mut name: String, separator: &str) -> String {
        name.truncate(BYTES_MAX);
        while name.ends_with('_') {
            name.pop();
        }
        if self.language.keywords().contains(&&*name) {
            name.push('_');
        }
        let mut distinct = name.clone();
        let mut number = 2;
        while !self.taken.insert(distinct.clone()) {
            let name = name.trim_end_matches('_');
            // A digit does not follow a digit, and types have no underscores but these.
            let separator =
                if name.ends_with(|c: char| c.is_ascii_digit()) { "_" } else { separator };
            distinct = format!("{name}{separator}{number}");
            number += 1;
        }
        distinct
    }
}

/// The words of a name, in lower case: at least one, the first beginning with a letter.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if before.is_ascii_lowercase() && c.is_ascii_uppercase() {
            words.push(std::mem::take(&mut word));
        }
        match c {
            c if c.is_ascii_alphanumeric() => word.push(c.to_ascii_lowercase()),
            c if c.is_ascii() => words.push(std::mem::take(&mut word)),
            c => word.push_str(&format!("u{:x}", u32::from(c))),
        }
        before = c;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    if !words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        words.insert(0, "item".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_an_identifier() {
        let mut names = Identifiers::new(Language::Rust, &["module"]);
        for (name, expected) in [
            ("add", "add"),
            ("add", "add_2"),
            ("add!", "add_3"),
            ("addPair", "add_pair"),
            ("__wasm_call_ctors", "wasm_call_ctors"),
            ("type", "type_"),
            ("Type", "type_2"),
            ("self", "self_"),
            ("module", "module_2"),
            ("", "item"),
            ("9", "item_9"),
            ("9", "item_9_2"),
            ("grün", "grufcn"),
            ("a.b::c<d>", "a_b_c_d"),
        ] {
            assert_eq!(names.lower(name), expected, "{name:?}");
        }
        assert_eq!(names.lower(&"long".repeat(30)).len(), BYTES_MAX);
        assert_eq!(names.lower(&"long".repeat(30)).len(), BYTES_MAX + 2);
        assert_eq!(names.parameter("wasm_ref_t"), "wasm_ref_t");
        let mut parameters = Identifiers::new(Language::C, &[]);
        assert_eq!(parameters.parameter("wasm_ref_t"), "arg_wasm_ref_t");
        assert_eq!(parameters.parameter("uint32_t"), "uint32_t_");
        assert_eq!(names.camel("my-plugin"), "MyPlugin");
        assert_eq!(names.upper("maxSize"), "MAX_SIZE");
    }
}
