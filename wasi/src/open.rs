//! Opening a path beneath an open directory.
#![expect(clippy::too_many_arguments, reason = "the specification has so many")]

use std::path::Path;

use cap_primitives::fs::{self, FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use crate::ctx::WasiCtx;
use crate::directory::Directory;
use crate::errno::{Errno, Result};
use crate::fd_table::{Descriptor, HostFile, Object};
use crate::memory::GuestMemory;
use crate::paths::follow;
use crate::types::{FdFlags, OpenFlags, Rights, flags};

pub(crate) fn path_open(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup_flags: u32,
    path: u32,
    path_length: u32,
    open_flags: u32,
    rights: u64,
    _rights_inheriting: u64,
    fd_flags: u32,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let parent = ctx.descriptors.get(fd)?;
    let request = OpenRequest {
        follow: follow(lookup_flags)?,
        open_flags: flags(open_flags)?,
        fd_flags: flags(fd_flags)?,
        // Programs ask for more than there is, and for more than they use; what matters is how they mean to use data.
        access: Rights::from_bits_truncate(rights)
            .intersection(Rights::FD_READ.union(Rights::FD_WRITE)),
    };
    let descriptor = open(parent, memory.path(path, path_length)?, &request)?;
    let opened = ctx.descriptors.insert(descriptor)?;
    memory.write_u32(result, opened)
}

struct OpenRequest {
    follow: FollowSymlinks,
    open_flags: OpenFlags,
    fd_flags: FdFlags,
    /// `FD_READ`, `FD_WRITE`, both or neither.
    access: Rights,
}

impl OpenRequest {
    fn options(&self) -> OpenOptions {
        let writes = self.access.contains(Rights::FD_WRITE);
        let truncates = self.open_flags.contains(OpenFlags::TRUNCATE);
        let creates = self.open_flags.contains(OpenFlags::CREATE);
        let exclusive = self.open_flags.contains(OpenFlags::EXCLUSIVE);
        let mut other = OFlags::empty();
        other.set(OFlags::DIRECTORY, self.open_flags.contains(OpenFlags::DIRECTORY));
        other.set(OFlags::APPEND, self.fd_flags.contains(FdFlags::APPEND));
        let mut options = OpenOptions::new();
        options
            .read(self.access.contains(Rights::FD_READ) || !writes && !truncates)
            .write(writes || truncates)
            .truncate(truncates)
            ._cap_fs_ext_follow(self.follow)
            ._cap_fs_ext_sync(self.fd_flags.intersects(FdFlags::SYNC.union(FdFlags::RSYNC)))
            ._cap_fs_ext_dsync(self.fd_flags.contains(FdFlags::DSYNC))
            ._cap_fs_ext_nonblock(self.fd_flags.contains(FdFlags::NONBLOCK));
        if writes || truncates {
            options.create(creates).create_new(creates && exclusive);
        } else {
            // POSIX creates a file that is opened for reading; Rust's options do not.
            other.set(OFlags::CREATE, creates);
            other.set(OFlags::EXCL, creates && exclusive);
        }
        options.custom_flags(other.bits().cast_signed());
        options
    }

    /// Checks that the directory's holder may open like this.
    fn check(&self, parent: &Descriptor, directory: &Directory) -> Result<()> {
        parent.require(Rights::PATH_OPEN)?;
        if !parent.rights_inheriting.contains(self.access) {
            return Err(Errno::NotCapable);
        }
        if self.open_flags.contains(OpenFlags::CREATE) {
            parent.require(Rights::PATH_CREATE_FILE)?;
        }
        if self.open_flags.contains(OpenFlags::TRUNCATE) {
            parent.require(Rights::PATH_FILESTAT_SET_SIZE)?;
        }
        let changing = OpenFlags::CREATE.union(OpenFlags::EXCLUSIVE).union(OpenFlags::TRUNCATE);
        if self.open_flags.intersects(changing) && self.open_flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::Inval);
        }
        if self.open_flags.intersects(changing) || self.access.contains(Rights::FD_WRITE) {
            directory.require_writable()?;
        }
        Ok(())
    }
}

fn open(parent: &Descriptor, path: &Path, request: &OpenRequest) -> Result<Descriptor> {
    let Object::Directory(directory) = &parent.object else { return Err(Errno::NotDir) };
    request.check(parent, directory)?;
    let file = fs::open(&directory.file, path, &request.options())?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    let (object, possible, inheriting) = if kind == rustix::fs::FileType::Directory {
        let directory = Directory::new(file, directory.permissions);
        (Object::Directory(directory), Rights::DIRECTORY, parent.rights_inheriting)
    } else {
        (Object::Host(HostFile::Opened(file)), file_rights(request.access), Rights::empty())
    };
    Ok(Descriptor {
        object,
        rights: possible.intersection(parent.rights_inheriting),
        rights_inheriting: inheriting,
        flags: request.fd_flags,
    })
}

/// What a file can do that is open for `access`.
fn file_rights(access: Rights) -> Rights {
    let mut rights = Rights::FILE_READ.difference(Rights::FD_READ);
    if access.contains(Rights::FD_READ) {
        rights |= Rights::FILE_READ;
    }
    if access.contains(Rights::FD_WRITE) {
        rights |= Rights::FILE_WRITE;
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::FsPerms;
    use crate::memory::read_u32;
    use crate::testing::{Guest, RESULT, ROOT};

    const NONE: OpenFlags = OpenFlags::empty();
    const READ: Rights = Rights::FD_READ;
    const WRITE: Rights = Rights::FD_WRITE;

    fn guest() -> Guest {
        Guest::new(FsPerms::ReadWrite)
    }

    #[test]
    fn files_open_for_what_was_asked() {
        let mut guest = guest();
        let fd = guest.open("file", NONE, READ).unwrap();
        assert_eq!(guest.read(fd, 100), Ok(b"contents".to_vec()));
        assert_eq!(guest.write(fd, b"x"), Err(Errno::BadF));
        let fd = guest.open("inner/../file", NONE, WRITE).unwrap();
        assert_eq!(guest.write(fd, b"C"), Ok(1));
        assert_eq!(guest.read(fd, 1), Err(Errno::BadF));
        assert_eq!(std::fs::read(guest.root().join("file")).unwrap(), b"Contents");
        assert_eq!(guest.open("missing", NONE, READ), Err(Errno::NoEnt));
        assert_eq!(guest.open("file/x", NONE, READ), Err(Errno::NotDir));
        assert_eq!(guest.open("inner", NONE, WRITE), Err(Errno::IsDir));
        assert_eq!(guest.open("file", OpenFlags::DIRECTORY, READ), Err(Errno::NotDir));
        assert_eq!(guest.open_at(fd, 0, "x", NONE, READ), Err(Errno::NotDir));
        assert_eq!(guest.open_at(99, 0, "x", NONE, READ), Err(Errno::BadF));
    }

    #[test]
    fn open_flags_are_those_of_posix() {
        let mut guest = guest();
        let exclusive = OpenFlags::CREATE.union(OpenFlags::EXCLUSIVE);
        for access in [READ, WRITE, READ.union(WRITE), Rights::empty()] {
            assert_eq!(guest.open("file", exclusive, access), Err(Errno::Exist));
            assert!(guest.open("file", OpenFlags::CREATE, access).is_ok());
            let fresh = format!("fresh{}", access.bits());
            assert!(guest.open(&fresh, exclusive, access).is_ok());
            assert!(guest.root().join(fresh).exists());
        }
        assert_eq!(std::fs::read(guest.root().join("file")).unwrap(), b"contents");
        assert!(guest.open("file", OpenFlags::TRUNCATE, WRITE).is_ok());
        assert_eq!(std::fs::read(guest.root().join("file")).unwrap(), b"");
        let fd =
            guest.open("inner", OpenFlags::DIRECTORY, Rights::all().difference(WRITE)).unwrap();
        assert!(guest.open_at(fd, 0, "new", OpenFlags::CREATE, WRITE).is_ok());
        assert_eq!(
            guest.open("other", OpenFlags::CREATE.union(OpenFlags::DIRECTORY), READ),
            Err(Errno::Inval)
        );
    }

    #[test]
    fn bad_parameters_are_errors() {
        let mut guest = guest();
        guest.with_path("file", |ctx, memory, path, length| {
            let mut open = |lookup_flags, path, length, open_flags, fd_flags, result| {
                path_open(
                    ctx,
                    memory,
                    ROOT,
                    lookup_flags,
                    path,
                    length,
                    open_flags,
                    u64::MAX,
                    u64::MAX,
                    fd_flags,
                    result,
                )
            };
            assert_eq!(open(0, path, length, 0, 0, RESULT), Ok(()), "unknown rights are ignored");
            assert_eq!(open(2, path, length, 0, 0, RESULT), Err(Errno::Inval));
            assert_eq!(open(0, path, length, 16, 0, RESULT), Err(Errno::Inval));
            assert_eq!(open(0, path, length, 0, 32, RESULT), Err(Errno::Inval));
            assert_eq!(open(0, path, u32::MAX, 0, 0, RESULT), Err(Errno::Fault));
            assert_eq!(open(0, path, 0, 0, 0, RESULT), Err(Errno::NoEnt));
            assert_eq!(open(0, path, length, 0, 0, u32::MAX), Err(Errno::Fault));
        });
        let opened = read_u32(&guest.bytes, RESULT as usize);
        assert_eq!(
            guest.open("file", NONE, READ),
            Ok(opened + 1),
            "a result outside memory opens nothing"
        );
    }
}
