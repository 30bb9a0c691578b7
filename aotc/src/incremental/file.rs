//! The file with the code of a compilation.
//!
//! ```text
//!   magic  sum of the settings  number of entries    key  sum  length    key  sum  length  ...    result  result  ...
//!   8      32                   4, little-endian     32   16   4
//! ```
//!
//! Whatever does not fit together ends the reading: what was read so far counts.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;
use std::{fs, io, process};

use sha2::{Digest, Sha256};

use super::key::{KEY_BYTES, Key, Settings};
use crate::options::Options;

const MAGIC: &[u8; 8] = b"aotcinc\x01";
const EXTENSION: &str = "aotc-code";
const SUM_BYTES: usize = 16;
const HEAD_BYTES: usize = MAGIC.len() + KEY_BYTES + 4;
const ENTRY_BYTES: usize = KEY_BYTES + SUM_BYTES + 4;

/// Files that are kept in a folder; the oldest beyond that are removed.
const FILES_MAX: usize = 64;

/// The file's name for a module and options.
pub(super) fn name(module: &str, options: &Options, settings: &Settings) -> String {
    let determining = Options { threads: None, incremental: None, ..options.clone() };
    let mut hasher = Sha256::new();
    hasher.update(settings.sum());
    hasher.update(format!("{determining:?}"));
    hasher.update(module);
    let sum: [u8; KEY_BYTES] = hasher.finalize().into();
    let hex: String = sum[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.{EXTENSION}")
}

/// The file's contents, empty if there is none; makes the folder.
pub(super) fn read(folder: &Path, path: &Path) -> Result<Vec<u8>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The entries of a file that are whole, and where their results are in it.
pub(super) fn entries(bytes: &[u8], settings: &Settings) -> HashMap<Key, Range<usize>> {
    let mut found = HashMap::new();
    let Some(head) = bytes.get(..HEAD_BYTES) else { return found };
    let (magic, rest) = head.split_at(MAGIC.len());
    let (sum, count) = rest.split_at(KEY_BYTES);
    if magic != MAGIC || sum != settings.sum() {
        return found;
    }
    let count = u32::from_le_bytes(count.try_into().expect("four bytes")) as usize;
    let table_bytes = count.checked_mul(ENTRY_BYTES);
    let Some(table) = table_bytes.and_then(|table| bytes.get(HEAD_BYTES..HEAD_BYTES + table))
    else {
        return found;
    };
    let mut at = HEAD_BYTES + table.len();
    for entry in table.chunks_exact(ENTRY_BYTES) {
        let (key, rest) = entry.split_at(KEY_BYTES);
        let (expected, length) = rest.split_at(SUM_BYTES);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let key: Key = key.try_into().expect("a key");
        let Some(result) = bytes.get(at..at + length) else { break };
        if sum_of(&key, result) == expected {
            found.insert(key, at..at + length);
        }
        at += length;
    }
    found
}

/// A sum over a key and its result.
fn sum_of(key: &Key, result: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(key);
    hasher.update(result);
    let sum: [u8; KEY_BYTES] = hasher.finalize().into();
    sum[..SUM_BYTES].try_into().expect("a part of the sum")
}

/// Replaces the file.
pub(super) fn write(
    path: &Path,
    settings: &Settings,
    entries: &[(Key, Vec<u8>)],
) -> Result<(), String> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(settings.sum());
    bytes.extend((entries.len() as u32).to_le_bytes());
    for (key, result) in entries {
        bytes.extend(key);
        bytes.extend(sum_of(key, result));
        bytes.extend((result.len() as u32).to_le_bytes());
    }
    for (_, result) in entries {
        bytes.extend(result);
    }
    let temporary = temporary_beside(path);
    let result = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(|error| format!("{}: {error}", path.display()))?;
    prune(path.parent().unwrap_or(Path::new(".")));
    Ok(())
}

/// A name that no other writer has.
fn temporary_beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{number}.tmp", process::id()))
}

/// Makes the file the last that is removed.
pub(super) fn touch(path: &Path) -> Result<(), String> {
    let now = SystemTime::now();
    let touched = fs::File::open(path).and_then(|file| file.set_modified(now));
    // A file of another's, or of a read-only folder, is as good.
    match touched {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the oldest files of `folder` if there are too many. What cannot be removed stays.
fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let of_ours = entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION));
    let mut files: Vec<(SystemTime, PathBuf)> = of_ours
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable();
    let extra = files.len().saturating_sub(FILES_MAX);
    for (_, path) in &files[..extra] {
        let _ = fs::remove_file(path);
    }
}
