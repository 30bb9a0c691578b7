//! What the guest has open, by number.
//!
//! The guest's numbers are its own: 0 to 2 are the standard streams, then come the preopened directories, and a new
//! descriptor takes the lowest free number. They have nothing to do with the numbers of the host.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::directory::Directory;
use crate::errno::{Errno, Result};
use crate::types::{FdFlags, Rights};

/// One open descriptor.
pub(crate) struct Descriptor {
    pub(crate) object: Object,
    /// What may be done with it: what its object can do, less what the guest has dropped.
    pub(crate) rights: Rights,
    /// What files that are opened through it may have.
    pub(crate) rights_inheriting: Rights,
    pub(crate) flags: FdFlags,
}

/// What a descriptor stands for.
pub(crate) enum Object {
    /// A descriptor of the host.
    Host(HostFile),
    /// A directory of the host, with what preview 1 needs to read it.
    Directory(Directory),
    /// A source that the embedder gave.
    Reader(Box<dyn Read + Send>),
    /// A sink that the embedder gave.
    Writer(Box<dyn Write + Send>),
}

/// A descriptor of the host that the guest reads and writes.
pub(crate) enum HostFile {
    /// Opened by the guest: its status flags are the guest's to change.
    Opened(File),
    /// Given by the embedder: others may share it, so its status flags stay as they are.
    Given(File),
    /// A standard stream of this process, shared likewise.
    Standard(BorrowedFd<'static>),
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Opened(file) | Self::Given(file) => file.as_fd(),
            Self::Standard(fd) => *fd,
        }
    }
}

impl Descriptor {
    /// Checks that the guest may do this. What POSIX calls a bad descriptor is one here too: reading what is open for
    /// writing.
    pub(crate) fn require(&self, rights: Rights) -> Result<()> {
        if self.rights.contains(rights) {
            return Ok(());
        }
        let data = Rights::FD_READ
            .union(Rights::FD_WRITE)
            .union(Rights::FD_ALLOCATE)
            .union(Rights::FD_ADVISE);
        let of_a_directory = matches!(self.object, Object::Directory(_));
        if data.contains(rights) || of_a_directory && !Rights::DIRECTORY.contains(rights) {
            Err(Errno::BadF)
        } else if rights == Rights::FD_FILESTAT_SET_SIZE {
            Err(Errno::Inval)
        } else {
            Err(Errno::NotCapable)
        }
    }

    /// The host's descriptor of what is not a directory.
    ///
    /// # Errors
    ///
    /// `EBADF` for directories, `ESPIPE` for what the host has no descriptor of.
    pub(crate) fn host_file(&self, rights: Rights) -> Result<&HostFile> {
        self.require(rights)?;
        match &self.object {
            Object::Host(file) => Ok(file),
            Object::Directory(_) => Err(Errno::BadF),
            Object::Reader(_) | Object::Writer(_) => Err(Errno::SPipe),
        }
    }
}

/// The descriptors of one guest.
#[derive(Default)]
pub(crate) struct FdTable {
    entries: Vec<Option<Descriptor>>,
    /// No number below this is free.
    lowest_free: usize,
}

impl FdTable {
    /// Adds a descriptor under the lowest free number.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32> {
        let taken =
            self.entries[self.lowest_free..].iter().take_while(|entry| entry.is_some()).count();
        let index = self.lowest_free + taken;
        let fd = u32::try_from(index).map_err(|_| Errno::MFile)?;
        if index == self.entries.len() {
            self.entries.push(Some(descriptor));
        } else {
            self.entries[index] = Some(descriptor);
        }
        self.lowest_free = index + 1;
        Ok(fd)
    }

    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor> {
        self.entries.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BadF)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BadF)
    }

    /// Takes a descriptor out; its number is free again.
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor> {
        let descriptor =
            self.entries.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BadF)?;
        self.lowest_free = self.lowest_free.min(fd as usize);
        Ok(descriptor)
    }

    /// Moves `from` to the number `to`, which must be open and is closed.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<()> {
        self.get(from)?;
        self.get(to)?;
        if from != to {
            let moved = self.remove(from)?;
            *self.get_mut(to)? = moved;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(rights: Rights) -> Descriptor {
        Descriptor {
            object: Object::Writer(Box::new(std::io::sink())),
            rights,
            rights_inheriting: Rights::default(),
            flags: FdFlags::default(),
        }
    }

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut table = FdTable::default();
        for fd in 0..5 {
            assert_eq!(table.insert(sink(Rights::all())), Ok(fd));
        }
        table.remove(3).unwrap();
        table.remove(1).unwrap();
        assert_eq!(table.insert(sink(Rights::all())), Ok(1));
        assert_eq!(table.insert(sink(Rights::all())), Ok(3));
        assert_eq!(table.insert(sink(Rights::all())), Ok(5));
    }

    #[test]
    fn closed_and_unknown_numbers_are_bad() {
        let mut table = FdTable::default();
        table.insert(sink(Rights::all())).unwrap();
        table.remove(0).unwrap();
        assert_eq!(table.remove(0).err(), Some(Errno::BadF));
        assert_eq!(table.get(u32::MAX).err(), Some(Errno::BadF));
        assert_eq!(table.renumber(0, 7), Err(Errno::BadF));
    }

    #[test]
    fn renumber_replaces_and_frees() {
        let mut table = FdTable::default();
        for _ in 0..3 {
            table.insert(sink(Rights::default())).unwrap();
        }
        table.get_mut(2).unwrap().rights = Rights::FD_WRITE;
        assert_eq!(table.renumber(2, 0), Ok(()));
        assert_eq!(table.get(0).unwrap().rights, Rights::FD_WRITE);
        assert_eq!(table.get(2).err(), Some(Errno::BadF));
        assert_eq!(table.renumber(0, 0), Ok(()));
        assert_eq!(table.renumber(0, 2), Err(Errno::BadF), "the target must be open");
    }

    #[test]
    fn missing_rights_have_the_errno_of_posix() {
        let descriptor = sink(Rights::FD_SYNC);
        assert_eq!(descriptor.require(Rights::FD_SYNC), Ok(()));
        assert_eq!(descriptor.require(Rights::FD_READ), Err(Errno::BadF));
        assert_eq!(descriptor.require(Rights::FD_FILESTAT_SET_SIZE), Err(Errno::Inval));
        assert_eq!(descriptor.require(Rights::FD_SEEK), Err(Errno::NotCapable));
    }
}
