//! `aotc compile --link-as`: several files to one artifact.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{EXIT_USAGE, Failure, output};
use crate::{LinkInput, Linked, Options};

/// A module to link with: `NAME=FILE`.
#[derive(Clone, Debug)]
pub(super) struct LinkAs {
    name: String,
    pub(super) file: PathBuf,
}

impl FromStr for LinkAs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, file) = text.split_once('=').ok_or("expected NAME=FILE")?;
        if file.is_empty() {
            return Err("expected a file behind the `=`");
        }
        Ok(Self { name: name.to_owned(), file: file.into() })
    }
}

/// Links the module `bytes` of the file `input` with `others`.
pub(super) fn link(
    input: &Path,
    bytes: &[u8],
    others: &[LinkAs],
    options: &Options,
) -> Result<Linked, Failure> {
    let files = || std::iter::once(input).chain(others.iter().map(|other| &*other.file));
    if files().filter(|file| *file == Path::new("-")).count() > 1 {
        let message = "only one of the modules can be `-`: standard input is read once";
        return Err(Failure::new(EXIT_USAGE, anyhow::Error::msg(message)));
    }
    let contents = others.iter().map(|other| output::read(&other.file));
    let contents: Vec<Vec<u8>> = contents.collect::<Result<_, _>>()?;
    let files: Vec<String> = others.iter().map(|other| other.file.display().to_string()).collect();
    let file = input.display().to_string();
    let main = LinkInput { name: "", file: &file, bytes };
    let others: Vec<LinkInput<'_>> = (others.iter().zip(&files).zip(&contents))
        .map(|((other, file), bytes)| LinkInput { name: &other.name, file, bytes })
        .collect();
    Ok(crate::link(&main, &others, options)?)
}
