//! Input and output files: nothing is ever half-written.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::place::Place;
use super::{EXIT_IO, EXIT_USAGE, Failure};

/// Standard input or output.
const STREAM: &str = "-";

/// Reads `path`, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if path == Path::new(STREAM) {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    bytes.map_err(|error| io_failure(Place::reading(path), error.into()))
}

/// Reads a file of text.
pub(super) fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| io_failure(Place::reading(path), error.into()))
}

/// Writes `bytes` to `path`, or to standard output for `-`. A file appears whole or not at all: it is
/// written beside its place and then moved there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut outputs = Outputs::new([path]);
    outputs.stage(path, bytes, Execute::Nobody)?;
    outputs.commit()
}

fn io_failure(place: Place, error: anyhow::Error) -> Failure {
    Failure::new(EXIT_IO, error.context(place))
}

/// Who may execute a file.
#[derive(Clone, Copy)]
pub(super) enum Execute {
    Nobody,
    /// Whoever may read it.
    Readers,
}

/// Outputs of one command, which appear together.
///
/// What goes to files is written beside their places first. Then comes what goes to streams and devices, which cannot be taken
/// back, and last the files are moved to their places. What is not committed leaves no trace.
pub(super) struct Outputs<'a> {
    paths: Vec<&'a Path>,
    staged: Vec<Staged>,
}

struct Staged {
    path: PathBuf,
    contents: Contents,
}

enum Contents {
    /// They are in this file.
    File(PathBuf),
    /// They go to a stream or a device.
    Stream(Vec<u8>),
}

impl<'a> Outputs<'a> {
    /// Outputs to these files.
    pub(super) fn new(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self { paths: paths.into_iter().collect(), staged: Vec::new() }
    }

    /// One more file.
    pub(super) fn add(&mut self, path: &'a Path) {
        self.paths.push(path);
    }

    /// Refuses outputs that are inputs, and two that are one.
    pub(super) fn check_distinct_from(&self, inputs: &[PathBuf]) -> Result<(), Failure> {
        let refuse = |what: String| Err(Failure::new(EXIT_USAGE, anyhow::Error::msg(what)));
        for (index, path) in self.paths.iter().enumerate() {
            let place = place(path);
            if inputs.iter().any(|input| self::place(input) == place) {
                return refuse(format!("the output {} is an input", path.display()));
            }
            // A device takes what comes.
            let same = self.paths[..index].iter().any(|other| self::place(other) == place);
            if same && (*path == Path::new(STREAM) || is_replaced(path)) {
                return refuse(format!("two outputs are called {}", path.display()));
            }
        }
        Ok(())
    }

    /// Puts the contents of an output where they will not be in the way.
    pub(super) fn stage(
        &mut self,
        path: &Path,
        bytes: &[u8],
        execute: Execute,
    ) -> Result<(), Failure> {
        let contents = if path == Path::new(STREAM) || !is_replaced(path) {
            Contents::Stream(bytes.to_owned())
        } else {
            let written = temporary_beside(&target(path)).and_then(|temporary| {
                let written =
                    fs::write(&temporary, bytes).and_then(|()| permit(&temporary, execute));
                written.inspect_err(|_| {
                    // The error that matters is the first one.
                    let _ = fs::remove_file(&temporary);
                })?;
                Ok(temporary)
            });
            Contents::File(written.map_err(|error| io_failure(Place::writing(path), error))?)
        };
        self.staged.push(Staged { path: path.to_owned(), contents });
        Ok(())
    }

    /// Lets everything appear.
    pub(super) fn commit(self) -> Result<(), Failure> {
        for Staged { path, contents } in &self.staged {
            let Contents::Stream(bytes) = contents else { continue };
            let written = if path == Path::new(STREAM) {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            } else {
                fs::write(path, bytes)
            };
            written.map_err(|error| io_failure(Place::writing(path), error.into()))?;
        }
        for Staged { path, contents } in &self.staged {
            let Contents::File(temporary) = contents else { continue };
            fs::rename(temporary, target(path))
                .map_err(|error| io_failure(Place::writing(path), error.into()))?;
        }
        Ok(())
    }
}

impl Drop for Outputs<'_> {
    fn drop(&mut self) {
        for Staged { contents, .. } in &self.staged {
            if let Contents::File(temporary) = contents {
                // It is gone if it was moved.
                let _ = fs::remove_file(temporary);
            }
        }
    }
}

/// Whether the file is replaced: a device or a pipe is written to.
fn is_replaced(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// What is replaced: what a link leads to, not the link.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Where a path leads, whether there is a file or not.
fn place(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
        match (folder, path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => path.to_owned(),
        }
    })
}

/// Lets a file be executed, as far as it can be read: what the process's mask leaves of reading, it leaves of executing.
fn permit(path: &Path, execute: Execute) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode();
        let added = match execute {
            Execute::Nobody => 0,
            Execute::Readers => (mode & 0o444) >> 2,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode | added))?;
    }
    #[cfg(not(unix))]
    let _ = (path, execute);
    Ok(())
}

fn temporary_beside(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| anyhow!("it names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}
