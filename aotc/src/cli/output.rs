//! Input and output files: nothing is ever half-written.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{EXIT_IO, Failure};

/// Reads `path`, or standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    bytes
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|error| Failure::new(EXIT_IO, error))
}

/// Writes `bytes` to `path`, or to standard output for `-`. A file appears whole or not at all: it is
/// written beside its place and then moved there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let result = if path == Path::new("-") {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(anyhow::Error::from)
    } else {
        replace(path, bytes)
    };
    result
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(|error| Failure::new(EXIT_IO, error))
}

fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // A device or a pipe is written to, not replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(fs::write(path, bytes)?);
    }
    // What a link leads to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary_beside(&path)?;
    let result = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
    if result.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    Ok(result?)
}

fn temporary_beside(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| anyhow!("it names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}
