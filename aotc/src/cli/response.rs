//! Response files: `@FILE` among the arguments stands for the arguments in FILE, by the rules of GCC and of GNU binutils.
//!
//! Arguments are separated by white space. Within quotes, single or double, white space is part of an argument. A backslash
//! takes the next character as it is, within quotes too. A file may name others, relative to the working directory. What cannot be read
//! is an argument like any other.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;

use super::{EXIT_USAGE, Failure};

/// Response files that are read for one command. More is a file that names itself.
const FILES_MAX: usize = 2000;

/// Arguments, and the files that they came from.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expanded {
    pub(super) arguments: Vec<OsString>,
    pub(super) files: Vec<PathBuf>,
}

/// Puts the contents of response files in their place.
///
/// # Errors
/// A file is not UTF-8, or the files have no end.
pub(super) fn expand(arguments: Vec<OsString>) -> Result<Expanded, Failure> {
    let mut expanded = Expanded::default();
    // The next argument is the last here.
    let mut rest = arguments;
    rest.reverse();
    while let Some(argument) = rest.pop() {
        let Some((path, contents)) = response_file(&argument) else {
            expanded.arguments.push(argument);
            continue;
        };
        expanded.files.push(path.clone());
        let usage = |what: &str| {
            let message = format!("response file {}: {what}", path.display());
            Failure::new(EXIT_USAGE, anyhow::Error::msg(message))
        };
        if expanded.files.len() > FILES_MAX {
            return Err(usage("too many response files; does one name itself?"));
        }
        let text = String::from_utf8(contents).map_err(|_| usage("it is not UTF-8"))?;
        rest.extend(split(&text).into_iter().rev().map(OsString::from));
    }
    Ok(expanded)
}

/// The path and the contents of the file that `argument` names, if it names one that can be read.
fn response_file(argument: &OsStr) -> Option<(PathBuf, Vec<u8>)> {
    let path = PathBuf::from(argument.to_str()?.strip_prefix('@')?);
    let contents = fs::read(&path).ok()?;
    Some((path, contents))
}

/// The arguments in the text of a response file.
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut argument: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if quote.is_none() && character.is_ascii_whitespace() {
            arguments.extend(argument.take());
            continue;
        }
        let argument = argument.get_or_insert_default();
        match (character, quote) {
            // At the very end there is nothing that it could take.
            ('\\', _) => argument.extend(characters.next()),
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            _ => argument.push(character),
        }
    }
    arguments.extend(argument);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let cases: [(&str, &[&str]); 11] = [
            ("", &[]),
            (" \n\t ", &[]),
            ("a b\nc\r\n", &["a", "b", "c"]),
            ("'a b' \"c d\"", &["a b", "c d"]),
            ("a'b c'd", &["ab cd"]),
            ("'' \"\"", &["", ""]),
            (r"a\ b \'c\'", &["a b", "'c'"]),
            (r#"'a\'b' "c\"d""#, &["a'b", "c\"d"]),
            (r#"'"' "'""#, &["\"", "'"]),
            (r"C:\\x \\", &[r"C:\x", r"\"]),
            ("'no end", &["no end"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_file_stays() {
        let arguments = Vec::from(["a", "@/absent/file", "@", "b@c"].map(OsString::from));
        let expanded = expand(arguments.clone()).unwrap();
        assert_eq!(expanded, Expanded { arguments, files: Vec::new() });
    }
}
