//! Which file an error is about.

use std::fmt;
use std::path::{Path, PathBuf};

/// A context of an error: the file, and what was done with it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    doing: Doing,
}

#[derive(Debug)]
enum Doing {
    Using,
    Reading,
    Writing,
}

impl Place {
    /// What is in the file is wrong.
    pub(super) fn inside(path: &Path) -> Self {
        Self { path: path.to_owned(), doing: Doing::Using }
    }

    /// It cannot be read.
    pub(super) fn reading(path: &Path) -> Self {
        Self { path: path.to_owned(), doing: Doing::Reading }
    }

    /// It cannot be written.
    pub(super) fn writing(path: &Path) -> Self {
        Self { path: path.to_owned(), doing: Doing::Writing }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.doing {
            Doing::Using => write!(f, "{path}"),
            Doing::Reading => write!(f, "cannot read {path}"),
            Doing::Writing => write!(f, "cannot write {path}"),
        }
    }
}
