//! What `aotc compile` is to emit, and where it goes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Emit;

/// A kind of artifact, and its file if it has one of its own: `KIND[=FILE]`.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) file: Option<PathBuf>,
}

/// A kind of artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// As it is called on the command line and in messages.
    pub(super) name: &'static str,
    /// Ending of its files, without the dot.
    pub(super) extension: &'static str,
    /// How it is made.
    pub(super) made: Made,
}

/// How an artifact is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// The compiler makes it.
    Compiled(Emit),
    /// Of an image or an object.
    Executable,
    /// Of the module's types.
    Header,
}

/// All kinds.
const KINDS: &[Kind] = &[
    Kind { name: "image", extension: "aot", made: Made::Compiled(Emit::Image) },
    Kind { name: "obj", extension: "o", made: Made::Compiled(Emit::Object) },
    Kind { name: "archive", extension: "a", made: Made::Compiled(Emit::Archive) },
    Kind { name: "clif", extension: "clif", made: Made::Compiled(Emit::Clif) },
    Kind { name: "asm", extension: "s", made: Made::Compiled(Emit::Asm) },
    Kind { name: "exe", extension: "", made: Made::Executable },
    Kind { name: "header", extension: "h", made: Made::Header },
];

impl Kind {
    /// What a file is by its ending, if nothing else is said.
    pub(super) fn of_output(output: Option<&Path>) -> Self {
        let extension = output.and_then(Path::extension);
        let mut linked = KINDS
            .iter()
            .filter(|kind| matches!(kind.made, Made::Compiled(Emit::Object | Emit::Archive)));
        let named = linked.find(|kind| extension.is_some_and(|e| e == kind.extension));
        *named.unwrap_or(&KINDS[0])
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) => (name, Some(PathBuf::from(file))),
            None => (text, None),
        };
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(format!("expected the name of a file after `{name}=`"));
        }
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            format!("expected one of {}", names.join(", "))
        })?;
        Ok(Self { kind: *kind, file })
    }
}
