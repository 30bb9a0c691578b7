//! What a guest's standard streams can be.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fd_table::{Descriptor, HostFile, Object};
use crate::types::{FdFlags, Rights};

/// A source for the guest's standard input.
pub struct InputStream(Object);

impl InputStream {
    /// A source with nothing in it.
    pub fn empty() -> Self {
        Self::reader(io::empty())
    }

    /// The standard input of this process.
    pub fn inherit() -> Self {
        Self::standard(rustix::stdio::stdin())
    }

    /// Whatever can be read. For files, pipes and sockets of the host use [`From<File>`] and [`From<OwnedFd>`]: from
    /// those, data comes to the guest without a copy.
    pub fn reader(reader: impl Read + Send + 'static) -> Self {
        Self(Object::Reader(Box::new(reader)))
    }

    fn standard(stream: BorrowedFd<'static>) -> Self {
        Self(Object::Host(HostFile::Standard(stream)))
    }

    pub(crate) fn into_descriptor(self) -> Descriptor {
        descriptor(self.0, Rights::FILE_READ)
    }
}

impl Default for InputStream {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<File> for InputStream {
    fn from(file: File) -> Self {
        Self(Object::Host(HostFile::Given(file)))
    }
}

impl From<OwnedFd> for InputStream {
    fn from(fd: OwnedFd) -> Self {
        File::from(fd).into()
    }
}

impl From<MemoryInputPipe> for InputStream {
    fn from(pipe: MemoryInputPipe) -> Self {
        Self::reader(pipe.0)
    }
}

/// A sink for the guest's standard output or standard error.
pub struct OutputStream(Object);

impl OutputStream {
    /// A sink that forgets what it gets.
    pub fn sink() -> Self {
        Self::writer(io::sink())
    }

    /// The standard output of this process. What the guest writes goes past the buffer of [`std::io::stdout`].
    pub fn inherit_stdout() -> Self {
        Self(Object::Host(HostFile::Standard(rustix::stdio::stdout())))
    }

    /// The standard error of this process.
    pub fn inherit_stderr() -> Self {
        Self(Object::Host(HostFile::Standard(rustix::stdio::stderr())))
    }

    /// Whatever can be written. For files, pipes and sockets of the host use [`From<File>`] and [`From<OwnedFd>`]: to
    /// those, data goes from the guest without a copy.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self(Object::Writer(Box::new(writer)))
    }

    pub(crate) fn into_descriptor(self) -> Descriptor {
        descriptor(self.0, Rights::FILE_WRITE)
    }
}

impl Default for OutputStream {
    fn default() -> Self {
        Self::sink()
    }
}

impl From<File> for OutputStream {
    fn from(file: File) -> Self {
        Self(Object::Host(HostFile::Given(file)))
    }
}

impl From<OwnedFd> for OutputStream {
    fn from(fd: OwnedFd) -> Self {
        File::from(fd).into()
    }
}

impl From<MemoryOutputPipe> for OutputStream {
    fn from(pipe: MemoryOutputPipe) -> Self {
        Self::writer(pipe)
    }
}

fn descriptor(object: Object, rights: Rights) -> Descriptor {
    Descriptor { object, rights, rights_inheriting: Rights::empty(), flags: FdFlags::empty() }
}

/// Standard input from bytes.
#[derive(Clone, Debug, Default)]
pub struct MemoryInputPipe(Cursor<Vec<u8>>);

impl MemoryInputPipe {
    /// A source of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Cursor::new(bytes.into()))
    }
}

/// Standard output into bytes. Clones share them, so that the embedder reads what the guest has written to its clone.
#[derive(Clone, Debug)]
pub struct MemoryOutputPipe {
    contents: Arc<Mutex<Vec<u8>>>,
    capacity: usize,
}

impl MemoryOutputPipe {
    /// A sink that takes up to `capacity` bytes; writing more is `ENOSPC` to the guest.
    pub fn new(capacity: usize) -> Self {
        Self { contents: Arc::default(), capacity }
    }

    /// What has been written so far.
    pub fn contents(&self) -> Vec<u8> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for MemoryOutputPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bytes.len().min(self.capacity - contents.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        contents.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
