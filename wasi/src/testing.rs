//! A guest for unit tests: an array for memory, and the functions with Rust's types for their parameters.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::ctx::{FsPerms, WasiCtx};
use crate::errno::Result;
use crate::memory::{GuestMemory, read_u32};
use crate::types::{OpenFlags, Rights};
use crate::{directory, files, open};

/// Where [`Guest`] puts what.
const VECTOR: u32 = 0;
pub(crate) const RESULT: u32 = 16;
pub(crate) const RECORD: u32 = 32;
const SECOND_PATH: u32 = 256;
const FIRST_PATH: u32 = 512;
pub(crate) const BUFFER: u32 = 1024;

/// The preopened directory's descriptor.
pub(crate) const ROOT: u32 = 3;

pub(crate) struct Guest {
    pub(crate) ctx: WasiCtx,
    pub(crate) bytes: Vec<u8>,
    directory: TempDir,
}

impl Guest {
    /// A guest with a directory of its own, in which there are `file` with the contents "contents" and an empty
    /// directory `inner`; beside the directory lies `secret`.
    pub(crate) fn new(permissions: FsPerms) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("inner")).unwrap();
        fs::write(root.join("file"), "contents").unwrap();
        fs::write(directory.path().join("secret"), "secret").unwrap();
        let ctx = WasiCtx::builder().preopened_dir(&root, "/", permissions).unwrap().build();
        Self { ctx, bytes: vec![0; 4096], directory }
    }

    /// The host's path of the preopened directory.
    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    /// Calls a function with the context and memory.
    pub(crate) fn call<R>(
        &mut self,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> R,
    ) -> R {
        function(&mut self.ctx, &mut GuestMemory::new(&mut self.bytes))
    }

    pub(crate) fn result(&self) -> u32 {
        read_u32(&self.bytes, RESULT as usize)
    }

    fn put(&mut self, offset: u32, bytes: &[u8]) -> (u32, u32) {
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        (offset, bytes.len() as u32)
    }

    /// Puts a path into memory and calls a function with its place and length.
    pub(crate) fn with_path<R>(
        &mut self,
        path: impl AsRef<Path>,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>, u32, u32) -> R,
    ) -> R {
        let (path, length) = self.put(FIRST_PATH, path.as_ref().as_os_str().as_encoded_bytes());
        self.call(|ctx, memory| function(ctx, memory, path, length))
    }

    /// As [`Self::with_path`], with two.
    pub(crate) fn with_paths<R>(
        &mut self,
        first: &str,
        second: &str,
        function: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>, [u32; 2], [u32; 2]) -> R,
    ) -> R {
        let second = self.put(SECOND_PATH, second.as_bytes());
        self.with_path(first, |ctx, memory, path, length| {
            function(ctx, memory, [path, length], second.into())
        })
    }

    /// Opens without following a link in the last place.
    pub(crate) fn open(
        &mut self,
        path: impl AsRef<Path>,
        flags: OpenFlags,
        rights: Rights,
    ) -> Result<u32> {
        self.open_at(ROOT, 0, path, flags, rights)
    }

    pub(crate) fn open_at(
        &mut self,
        fd: u32,
        lookup_flags: u32,
        path: impl AsRef<Path>,
        flags: OpenFlags,
        rights: Rights,
    ) -> Result<u32> {
        let (flags, rights) = (u32::from(flags.bits()), rights.bits());
        self.with_path(path, |ctx, memory, path, length| {
            open::path_open(
                ctx,
                memory,
                fd,
                lookup_flags,
                path,
                length,
                flags,
                rights,
                0,
                0,
                RESULT,
            )
        })?;
        Ok(self.result())
    }

    pub(crate) fn read(&mut self, fd: u32, length: u32) -> Result<Vec<u8>> {
        self.put(VECTOR, &[BUFFER.to_le_bytes(), length.to_le_bytes()].concat());
        self.call(|ctx, memory| files::fd_read(ctx, memory, fd, VECTOR, 1, RESULT))?;
        Ok(self.bytes[BUFFER as usize..][..self.result() as usize].to_vec())
    }

    pub(crate) fn pread(&mut self, fd: u32, length: u32, offset: u64) -> Result<Vec<u8>> {
        self.put(VECTOR, &[BUFFER.to_le_bytes(), length.to_le_bytes()].concat());
        self.call(|ctx, memory| files::fd_pread(ctx, memory, fd, VECTOR, 1, offset, RESULT))?;
        Ok(self.bytes[BUFFER as usize..][..self.result() as usize].to_vec())
    }

    pub(crate) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32> {
        let (buffer, length) = self.put(BUFFER, bytes);
        self.put(VECTOR, &[buffer.to_le_bytes(), length.to_le_bytes()].concat());
        self.call(|ctx, memory| files::fd_write(ctx, memory, fd, VECTOR, 1, RESULT))?;
        Ok(self.result())
    }

    pub(crate) fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: u64) -> Result<u32> {
        let (buffer, length) = self.put(BUFFER, bytes);
        self.put(VECTOR, &[buffer.to_le_bytes(), length.to_le_bytes()].concat());
        self.call(|ctx, memory| files::fd_pwrite(ctx, memory, fd, VECTOR, 1, offset, RESULT))?;
        Ok(self.result())
    }

    pub(crate) fn readdir(&mut self, fd: u32, length: u32, cookie: u64) -> Result<Vec<u8>> {
        self.call(|ctx, memory| {
            directory::fd_readdir(ctx, memory, fd, BUFFER, length, cookie, RESULT)
        })?;
        Ok(self.bytes[BUFFER as usize..][..self.result() as usize].to_vec())
    }
}
