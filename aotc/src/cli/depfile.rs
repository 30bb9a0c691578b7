//! Depfiles: which files an output was made of, as a rule for Make, like `cc -MD -MF FILE`. Ninja and CMake read them too.

use std::path::{Path, PathBuf};

use super::{EXIT_USAGE, Failure};

/// The rule that `targets` are made of `inputs`.
///
/// # Errors
/// A name that Make cannot read: one with a line break, or not UTF-8.
pub(super) fn rule(targets: &[PathBuf], inputs: &[PathBuf]) -> Result<String, Failure> {
    let mut text = names(targets)?.join(" ");
    text.push(':');
    for input in names(inputs)? {
        text.push_str(" \\\n  ");
        text.push_str(&input);
    }
    text.push('\n');
    Ok(text)
}

fn names(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    paths.iter().map(|path| name(path)).collect()
}

fn name(path: &Path) -> Result<String, Failure> {
    match path.to_str() {
        Some(name) if !name.contains(['\n', '\r']) => Ok(escape(name)),
        _ => {
            let message = format!("a depfile cannot name {path:?}");
            Err(Failure::new(EXIT_USAGE, anyhow::Error::msg(message)))
        }
    }
}

/// The name as Make reads it: a backslash before white space, `#` and `:`, a second one before each backslash that stands
/// before one of these, and two dollars for one.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    let mut backslashes = 0;
    for character in name.chars() {
        match character {
            ' ' | '\t' | '#' | ':' => {
                escaped.extend(std::iter::repeat_n('\\', backslashes + 1));
            }
            '$' => escaped.push('$'),
            _ => {}
        }
        backslashes = if character == '\\' { backslashes + 1 } else { 0 };
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping() {
        let cases = [
            ("plain/name.o", "plain/name.o"),
            ("a b", r"a\ b"),
            (r"a\ b", r"a\\\ b"),
            (r"a\b", r"a\b"),
            ("a#b", r"a\#b"),
            ("a:b", r"a\:b"),
            ("$(x)", "$$(x)"),
            ("tab\there", "tab\\\there"),
        ];
        for (name, expected) in cases {
            assert_eq!(escape(name), expected);
        }
        assert!(name(Path::new("two\nlines")).is_err());
    }

    #[test]
    fn a_rule_names_everything() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let rule = rule(&paths(&["a.o", "a.h"]), &paths(&["a.wasm", "b c"])).unwrap();
        assert_eq!(rule, "a.o a.h: \\\n  a.wasm \\\n  b\\ c\n");
    }
}
