//! What is known of a descriptor and of its file: flags, rights, size and times.

use std::os::fd::AsFd;

use cap_primitives::fs::Metadata;
use rustix::event::Timespec;
use rustix::fs::{OFlags, Timestamps};
use rustix::io::retry_on_intr;

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::fd_table::{HostFile, Object};
use crate::memory::GuestMemory;
use crate::types::{FdFlags, FdStat, FileStat, FileType, Rights, TimeFlags, flags};

pub(crate) fn fd_fdstat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Result<()> {
    let descriptor = ctx.descriptors.get(fd)?;
    let file_type = match &descriptor.object {
        Object::Host(file) => {
            FileType::from(rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
        }
        Object::Directory(_) => FileType::Directory,
        Object::Reader(_) | Object::Writer(_) => FileType::Unknown,
    };
    // The C library takes a character device for a terminal if it cannot be positioned.
    let rights = match file_type {
        FileType::RegularFile | FileType::BlockDevice | FileType::Directory => descriptor.rights,
        FileType::Unknown
        | FileType::CharacterDevice
        | FileType::SocketStream
        | FileType::SymbolicLink => {
            descriptor.rights.difference(Rights::FD_SEEK.union(Rights::FD_TELL))
        }
    };
    let stat = FdStat {
        file_type,
        flags: descriptor.flags,
        rights,
        rights_inheriting: descriptor.rights_inheriting,
    };
    memory.write(result, &stat.encode())
}

/// Changes what the host can change while a file is open: appending and blocking.
pub(crate) fn fd_fdstat_set_flags(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    bits: u32,
) -> Result<()> {
    let wanted: FdFlags = flags(bits)?;
    let descriptor = ctx.descriptors.get_mut(fd)?;
    descriptor.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    let changeable = FdFlags::APPEND.union(FdFlags::NONBLOCK);
    if wanted.difference(changeable) != descriptor.flags.difference(changeable) {
        return Err(Errno::Inval);
    }
    if let Object::Host(HostFile::Opened(file)) = &descriptor.object {
        let mut host = rustix::fs::fcntl_getfl(file)?;
        host.set(OFlags::APPEND, wanted.contains(FdFlags::APPEND));
        host.set(OFlags::NONBLOCK, wanted.contains(FdFlags::NONBLOCK));
        rustix::fs::fcntl_setfl(file, host)?;
    }
    descriptor.flags = wanted;
    Ok(())
}

/// Drops rights; none can be gained.
pub(crate) fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    rights: u64,
    rights_inheriting: u64,
) -> Result<()> {
    let descriptor = ctx.descriptors.get_mut(fd)?;
    let rights = Rights::from_bits(rights).ok_or(Errno::Inval)?;
    let rights_inheriting = Rights::from_bits(rights_inheriting).ok_or(Errno::Inval)?;
    if !descriptor.rights.contains(rights)
        || !descriptor.rights_inheriting.contains(rights_inheriting)
    {
        return Err(Errno::NotCapable);
    }
    descriptor.rights = rights;
    descriptor.rights_inheriting = rights_inheriting;
    Ok(())
}

pub(crate) fn fd_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Result<()> {
    let descriptor = ctx.descriptors.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_GET)?;
    let stat = match &descriptor.object {
        Object::Host(HostFile::Opened(file) | HostFile::Given(file)) => {
            Metadata::from_file(file)?.into()
        }
        Object::Host(HostFile::Standard(stream)) => {
            Metadata::from_file(&stream.as_fd().try_clone_to_owned()?.into())?.into()
        }
        Object::Directory(directory) => Metadata::from_file(&directory.file)?.into(),
        Object::Reader(_) | Object::Writer(_) => FileStat::default(),
    };
    memory.write(result, &stat.encode())
}

pub(crate) fn fd_filestat_set_size(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    size: u64,
) -> Result<()> {
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_FILESTAT_SET_SIZE)?;
    Ok(retry_on_intr(|| rustix::fs::ftruncate(file, size))?)
}

pub(crate) fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    time_flags: u32,
) -> Result<()> {
    let descriptor = ctx.descriptors.get(fd)?;
    descriptor.require(Rights::FD_FILESTAT_SET_TIMES)?;
    let (accessed, modified) = new_times(accessed, modified, flags(time_flags)?)?;
    let times =
        Timestamps { last_access: accessed.to_host()?, last_modification: modified.to_host()? };
    match &descriptor.object {
        Object::Host(file) => Ok(rustix::fs::futimens(file, &times)?),
        Object::Directory(directory) => {
            directory.require_writable()?;
            Ok(rustix::fs::futimens(&directory.file, &times)?)
        }
        Object::Reader(_) | Object::Writer(_) => Err(Errno::Inval),
    }
}

/// What becomes of a file's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewTime {
    Unchanged,
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

impl NewTime {
    fn new(value: u64, set: bool, set_now: bool) -> Result<Self> {
        match (set, set_now) {
            (false, false) => Ok(Self::Unchanged),
            (false, true) => Ok(Self::Now),
            (true, false) => Ok(Self::At(value)),
            (true, true) => Err(Errno::Inval),
        }
    }

    fn to_host(self) -> Result<Timespec> {
        let nanoseconds = match self {
            Self::Unchanged => rustix::fs::UTIME_OMIT,
            Self::Now => rustix::fs::UTIME_NOW,
            Self::At(time) => {
                let tv_sec = i64::try_from(time / 1_000_000_000).map_err(|_| Errno::Overflow)?;
                return Ok(Timespec { tv_sec, tv_nsec: (time % 1_000_000_000) as _ });
            }
        };
        Ok(Timespec { tv_sec: 0, tv_nsec: nanoseconds })
    }
}

/// The times of access and of modification that the guest asks for.
pub(crate) fn new_times(
    accessed: u64,
    modified: u64,
    flags: TimeFlags,
) -> Result<(NewTime, NewTime)> {
    Ok((
        NewTime::new(
            accessed,
            flags.contains(TimeFlags::ACCESSED),
            flags.contains(TimeFlags::ACCESSED_NOW),
        )?,
        NewTime::new(
            modified,
            flags.contains(TimeFlags::MODIFIED),
            flags.contains(TimeFlags::MODIFIED_NOW),
        )?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::FsPerms;
    use crate::memory::read_u64;
    use crate::testing::{Guest, RECORD, ROOT};
    use crate::types::OpenFlags;

    fn guest_with_file() -> (Guest, u32) {
        let mut guest = Guest::new(FsPerms::ReadWrite);
        let fd = guest.open("file", OpenFlags::empty(), Rights::FD_WRITE).unwrap();
        (guest, fd)
    }

    /// Type, flags and rights of a descriptor.
    fn fdstat(guest: &mut Guest, fd: u32) -> (u8, u8, Rights) {
        guest.call(|ctx, memory| fd_fdstat_get(ctx, memory, fd, RECORD)).unwrap();
        let record = &guest.bytes[RECORD as usize..];
        (record[0], record[2], Rights::from_bits_truncate(read_u64(record, 8)))
    }

    #[test]
    fn rights_say_what_is_possible() {
        let (mut guest, fd) = guest_with_file();
        let (file_type, flags, rights) = fdstat(&mut guest, fd);
        assert_eq!((file_type, flags), (4, 0));
        assert!(
            rights.contains(Rights::FD_WRITE.union(Rights::FD_SEEK))
                && !rights.contains(Rights::FD_READ)
        );
        assert_eq!(fdstat(&mut guest, ROOT), (3, 0, Rights::DIRECTORY));
        let (file_type, _, rights) = fdstat(&mut guest, 1);
        assert!(file_type == 0 && !rights.intersects(Rights::FD_SEEK.union(Rights::FD_READ)));
    }

    #[test]
    fn rights_are_only_dropped() {
        let (mut guest, fd) = guest_with_file();
        guest.call(|ctx, memory| {
            let write = Rights::FD_WRITE.bits();
            assert_eq!(fd_fdstat_set_rights(ctx, memory, fd, write, 0), Ok(()));
            assert_eq!(
                fd_fdstat_set_rights(ctx, memory, fd, write | Rights::FD_SEEK.bits(), 0),
                Err(Errno::NotCapable)
            );
            assert_eq!(fd_fdstat_set_rights(ctx, memory, fd, write, write), Err(Errno::NotCapable));
            assert_eq!(fd_fdstat_set_rights(ctx, memory, fd, 1 << 40, 0), Err(Errno::Inval));
            assert_eq!(
                fd_fdstat_set_rights(ctx, memory, ROOT, Rights::PATH_OPEN.bits(), 0),
                Ok(())
            );
        });
        assert_eq!(guest.write(fd, b"x"), Ok(1));
        assert_eq!(guest.open("file", OpenFlags::empty(), Rights::FD_READ), Err(Errno::NotCapable));
    }

    #[test]
    fn appending_is_switched_on_and_off() {
        let (mut guest, fd) = guest_with_file();
        let append = FdFlags::APPEND.bits().into();
        guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, append)).unwrap();
        assert_eq!(fdstat(&mut guest, fd).1, 1);
        guest.write(fd, b"+").unwrap();
        assert_eq!(std::fs::read(guest.root().join("file")).unwrap(), b"contents+");
        let sync = FdFlags::SYNC.bits().into();
        assert_eq!(
            guest.call(|ctx, memory| fd_fdstat_set_flags(ctx, memory, fd, sync)),
            Err(Errno::Inval)
        );
    }

    #[test]
    fn sizes_and_times_are_set() {
        let (mut guest, fd) = guest_with_file();
        guest.call(|ctx, memory| {
            fd_filestat_set_size(ctx, memory, fd, 3).unwrap();
            assert_eq!(fd_filestat_set_size(ctx, memory, fd, u64::MAX), Err(Errno::Inval));
            assert_eq!(fd_filestat_set_size(ctx, memory, ROOT, 3), Err(Errno::BadF));
            fd_filestat_set_times(ctx, memory, fd, 1_000_000_007, 0, 0b1001).unwrap();
            assert_eq!(fd_filestat_set_times(ctx, memory, fd, 0, 0, 0b1100), Err(Errno::Inval));
            assert_eq!(fd_filestat_set_times(ctx, memory, fd, 0, 0, 0b10000), Err(Errno::Inval));
            fd_filestat_get(ctx, memory, fd, RECORD).unwrap();
        });
        let record = &guest.bytes[RECORD as usize..];
        assert_eq!((read_u64(record, 32), read_u64(record, 40)), (3, 1_000_000_007));
        assert!(read_u64(record, 48) > 1_600_000_000_000_000_000, "modified now");
        guest.call(|ctx, memory| fd_filestat_get(ctx, memory, 2, RECORD)).unwrap();
        assert!(guest.bytes[RECORD as usize..][..FileStat::SIZE].iter().all(|byte| *byte == 0));
    }
}
