//! Files, on disk and in memory.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, FileType, MemfdFlags, Mode, OFlags, SealFlags};

/// Opens a file to be read and mapped; gives its size in bytes.
pub(crate) fn open(path: &Path) -> io::Result<(OwnedFd, u64)> {
    let file = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((file, stat.st_size as u64)),
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("not a regular file")),
    }
}

/// Reads from `offset` until `buffer` is full or the file ends; gives the number of bytes.
pub(crate) fn read_at(file: BorrowedFd<'_>, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(file, &mut buffer[done..], offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// A file in memory with these contents, which nobody can change any more.
pub(crate) fn sealed_memory_file(contents: &[u8]) -> io::Result<OwnedFd> {
    let file = fs::memfd_create("aotc", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = contents;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_file_is_sealed() {
        let file = sealed_memory_file(b"abc").unwrap();
        assert_eq!(fs::fstat(&file).unwrap().st_size, 3);
        assert!(rustix::io::write(&file, b"d").is_err());
    }
}
