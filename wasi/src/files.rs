//! The data of files and streams: reading, writing, positions, and bringing it to the disk.
//!
//! Data goes between guest memory and the host's kernel without a copy in between, and without a lock.

use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::SeekFrom;
use rustix::io::retry_on_intr;

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::fd_table::{Descriptor, HostFile, Object};
use crate::memory::GuestMemory;
use crate::types::{FdFlags, Rights};

pub(crate) fn fd_read(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let descriptor = ctx.descriptors.get_mut(fd)?;
    let read = memory.with_targets(vectors, count, |targets| read(descriptor, targets))?;
    memory.write_u32(result, size(read)?)
}

pub(crate) fn fd_write(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let descriptor = ctx.descriptors.get_mut(fd)?;
    let written = memory.with_sources(vectors, count, |sources| write(descriptor, sources))?;
    memory.write_u32(result, size(written)?)
}

pub(crate) fn fd_pread(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_READ.union(Rights::FD_SEEK))?;
    let read = memory.with_targets(vectors, count, |targets| {
        Ok(retry_on_intr(|| match &mut *targets {
            [one] => rustix::io::pread(file, &mut **one, offset),
            several => rustix::io::preadv(file, several, offset),
        })?)
    })?;
    memory.write_u32(result, size(read)?)
}

pub(crate) fn fd_pwrite(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vectors: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_WRITE.union(Rights::FD_SEEK))?;
    let written = memory.with_sources(vectors, count, |sources| {
        Ok(retry_on_intr(|| match sources {
            [one] => rustix::io::pwrite(file, one, offset),
            several => rustix::io::pwritev(file, several, offset),
        })?)
    })?;
    memory.write_u32(result, size(written)?)
}

fn read(descriptor: &mut Descriptor, targets: &mut [IoSliceMut<'_>]) -> Result<usize> {
    descriptor.require(Rights::FD_READ)?;
    match &mut descriptor.object {
        Object::Host(file) => {
            wait_unless_blocking(file, descriptor.flags, PollFlags::IN)?;
            Ok(retry_on_intr(|| match &mut *targets {
                [one] => rustix::io::read(&*file, &mut **one),
                several => rustix::io::readv(&*file, several),
            })?)
        }
        Object::Reader(reader) => Ok(retry_interrupted(|| reader.read_vectored(targets))?),
        Object::Directory(_) | Object::Writer(_) => Err(Errno::BadF),
    }
}

fn write(descriptor: &mut Descriptor, sources: &[IoSlice<'_>]) -> Result<usize> {
    descriptor.require(Rights::FD_WRITE)?;
    match &mut descriptor.object {
        Object::Host(file) => {
            wait_unless_blocking(file, descriptor.flags, PollFlags::OUT)?;
            Ok(retry_on_intr(|| match sources {
                [one] => rustix::io::write(&*file, one),
                several => rustix::io::writev(&*file, several),
            })?)
        }
        Object::Writer(writer) => Ok(retry_interrupted(|| writer.write_vectored(sources))?),
        Object::Directory(_) | Object::Reader(_) => Err(Errno::BadF),
    }
}

/// A stream that others share must not become non-blocking for them. A guest that asked for that is told `EAGAIN` from
/// here instead.
fn wait_unless_blocking(file: &HostFile, flags: FdFlags, events: PollFlags) -> Result<()> {
    if !flags.contains(FdFlags::NONBLOCK) || matches!(file, HostFile::Opened(_)) {
        return Ok(());
    }
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = rustix::event::poll(&mut [PollFd::new(file, events)], Some(&at_once))?;
    if ready == 0 { Err(Errno::Again) } else { Ok(()) }
}

fn retry_interrupted(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn size(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Errno::Overflow)
}

pub(crate) fn fd_close(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Result<()> {
    ctx.descriptors.remove(fd).map(drop)
}

pub(crate) fn fd_renumber(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    from: u32,
    to: u32,
) -> Result<()> {
    ctx.descriptors.renumber(from, to)
}

pub(crate) fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    result: u32,
) -> Result<()> {
    memory.check(result, 8)?;
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_SEEK)?;
    let target = match whence {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::Inval),
    };
    memory.write_u64(result, rustix::fs::seek(file, target)?)
}

pub(crate) fn fd_tell(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Result<()> {
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_TELL)?;
    memory.write_u64(result, rustix::fs::tell(file)?)
}

pub(crate) fn fd_sync(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Result<()> {
    let descriptor = ctx.descriptors.get_mut(fd)?;
    descriptor.require(Rights::FD_SYNC)?;
    match &mut descriptor.object {
        Object::Host(file) => Ok(rustix::fs::fsync(&*file)?),
        Object::Directory(directory) => Ok(rustix::fs::fsync(&directory.file)?),
        Object::Writer(writer) => Ok(writer.flush()?),
        Object::Reader(_) => Err(Errno::Inval),
    }
}

pub(crate) fn fd_datasync(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32) -> Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    if let Object::Host(_) = ctx.descriptors.get(fd)?.object {
        let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_DATASYNC)?;
        return Ok(rustix::fs::fdatasync(file)?);
    }
    fd_sync(ctx, memory, fd)
}

pub(crate) fn fd_advise(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    length: u64,
    advice: u32,
) -> Result<()> {
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_ADVISE)?;
    advise(file, offset, length, advice)
}

#[cfg(target_os = "linux")]
fn advise(file: &HostFile, offset: u64, length: u64, advice: u32) -> Result<()> {
    use rustix::fs::Advice;
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(length), advice)?)
}

/// Advice may be ignored.
#[cfg(not(target_os = "linux"))]
fn advise(_: &HostFile, _: u64, _: u64, advice: u32) -> Result<()> {
    if advice <= 5 { Ok(()) } else { Err(Errno::Inval) }
}

pub(crate) fn fd_allocate(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    length: u64,
) -> Result<()> {
    let file = ctx.descriptors.get(fd)?.host_file(Rights::FD_ALLOCATE)?;
    allocate(file, offset, length)
}

#[cfg(target_os = "linux")]
fn allocate(file: &HostFile, offset: u64, length: u64) -> Result<()> {
    Ok(retry_on_intr(|| {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, length)
    })?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &HostFile, _: u64, _: u64) -> Result<()> {
    Err(Errno::NotSup)
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::ctx::FsPerms;
    use crate::memory::read_u64;
    use crate::streams::{MemoryInputPipe, MemoryOutputPipe, OutputStream};
    use crate::testing::{Guest, RECORD, ROOT};
    use crate::types::OpenFlags;

    fn guest_with_file() -> (Guest, u32) {
        let mut guest = Guest::new(FsPerms::ReadWrite);
        let fd = guest
            .open("file", OpenFlags::empty(), Rights::FD_READ.union(Rights::FD_WRITE))
            .unwrap();
        (guest, fd)
    }

    fn seek(guest: &mut Guest, fd: u32, offset: i64, whence: u32) -> Result<u64> {
        guest.call(|ctx, memory| fd_seek(ctx, memory, fd, offset, whence, RECORD))?;
        Ok(read_u64(&guest.bytes, RECORD as usize))
    }

    #[test]
    fn positions_move() {
        let (mut guest, fd) = guest_with_file();
        assert_eq!(seek(&mut guest, fd, -3, 2), Ok(5));
        assert_eq!(guest.read(fd, 100), Ok(b"nts".to_vec()));
        assert_eq!(seek(&mut guest, fd, -2, 1), Ok(6));
        assert_eq!(seek(&mut guest, fd, 1, 0), Ok(1));
        assert_eq!(guest.pread(fd, 2, 6), Ok(b"ts".to_vec()));
        assert_eq!(guest.pwrite(fd, b"TS", 6), Ok(2));
        guest.call(|ctx, memory| fd_tell(ctx, memory, fd, RECORD)).unwrap();
        assert_eq!(
            read_u64(&guest.bytes, RECORD as usize),
            1,
            "pread and pwrite leave the position"
        );
        assert_eq!(guest.read(fd, 100), Ok(b"ontenTS".to_vec()));
        assert_eq!(guest.read(fd, 100), Ok(vec![]));
        for (offset, whence) in [(-1, 0), (i64::MIN, 1), (i64::MIN, 2), (0, 3), (0, u32::MAX)] {
            assert_eq!(seek(&mut guest, fd, offset, whence), Err(Errno::Inval));
        }
        assert_eq!(guest.pread(fd, 2, u64::MAX), Err(Errno::Inval));
    }

    #[test]
    fn directories_have_no_data() {
        let (mut guest, _) = guest_with_file();
        assert_eq!(guest.read(ROOT, 1), Err(Errno::BadF));
        assert_eq!(guest.write(ROOT, b"x"), Err(Errno::BadF));
        assert_eq!(seek(&mut guest, ROOT, 0, 0), Err(Errno::BadF));
        assert_eq!(
            guest.call(|ctx, memory| fd_advise(ctx, memory, ROOT, 0, 0, 0)),
            Err(Errno::BadF)
        );
        assert_eq!(guest.call(|ctx, memory| fd_sync(ctx, memory, ROOT)), Ok(()));
    }

    #[test]
    fn streams_of_the_embedder_are_read_and_written() {
        let (mut guest, _) = guest_with_file();
        let output = MemoryOutputPipe::new(6);
        guest.ctx = WasiCtx::builder()
            .stdin(MemoryInputPipe::new(*b"input"))
            .stdout(output.clone())
            .build();
        assert_eq!(guest.read(0, 3), Ok(b"inp".to_vec()));
        assert_eq!(guest.read(0, 3), Ok(b"ut".to_vec()));
        assert_eq!(guest.read(0, 3), Ok(vec![]));
        assert_eq!(guest.write(1, b"four"), Ok(4));
        assert_eq!(guest.write(1, b"more"), Ok(2));
        assert_eq!(guest.write(1, b"more"), Err(Errno::NoSpc));
        assert_eq!(output.contents(), b"fourmo");
        assert_eq!(guest.write(2, b"nowhere"), Ok(7));
        assert_eq!(guest.write(0, b"x"), Err(Errno::BadF));
        assert_eq!(seek(&mut guest, 1, 0, 0), Err(Errno::SPipe));
    }

    #[test]
    fn shared_pipes_do_not_block_guests_that_ask() {
        let (mut guest, _) = guest_with_file();
        let (reader, writer) = pipe().unwrap();
        guest.ctx = WasiCtx::builder()
            .stdin(OwnedFd::from(reader))
            .stdout(OutputStream::from(OwnedFd::from(writer)))
            .build();
        let nonblocking = u32::from(FdFlags::NONBLOCK.bits());
        guest
            .call(|ctx, memory| crate::attributes::fd_fdstat_set_flags(ctx, memory, 0, nonblocking))
            .unwrap();
        assert_eq!(guest.read(0, 3), Err(Errno::Again));
        assert_eq!(guest.write(1, b"x"), Ok(1));
        assert_eq!(guest.read(0, 3), Ok(b"x".to_vec()));
        assert_eq!(seek(&mut guest, 0, 0, 0), Err(Errno::SPipe));
    }

    #[test]
    fn closed_descriptors_are_bad() {
        let (mut guest, fd) = guest_with_file();
        guest.call(|ctx, memory| fd_close(ctx, memory, fd)).unwrap();
        assert_eq!(guest.call(|ctx, memory| fd_close(ctx, memory, fd)), Err(Errno::BadF));
        assert_eq!(guest.read(fd, 1), Err(Errno::BadF));
    }

    #[test]
    fn space_is_reserved_and_data_brought_to_disk() {
        let (mut guest, fd) = guest_with_file();
        guest.call(|ctx, memory| {
            fd_datasync(ctx, memory, fd).unwrap();
            fd_sync(ctx, memory, fd).unwrap();
            fd_advise(ctx, memory, fd, 0, 10, 3).unwrap();
            assert_eq!(fd_advise(ctx, memory, fd, 0, 10, 6), Err(Errno::Inval));
            assert_eq!(fd_sync(ctx, memory, 0), Err(Errno::Inval));
        });
        if cfg!(target_os = "linux") {
            guest.call(|ctx, memory| fd_allocate(ctx, memory, fd, 0, 100)).unwrap();
            assert_eq!(std::fs::metadata(guest.root().join("file")).unwrap().len(), 100);
        }
    }
}
