//! Functions that look a path up beneath an open directory.
//!
//! cap-primitives does the looking up: absolute paths, `..` above the directory and links that lead out of it are
//! `EPERM`, whatever else changes on the host meanwhile.
#![expect(clippy::too_many_arguments, reason = "the specification has so many")]

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use cap_primitives::fs::{self, FollowSymlinks, SystemTimeSpec};

use crate::attributes::{NewTime, new_times};
use crate::ctx::WasiCtx;
use crate::directory::Directory;
use crate::errno::{Errno, Result};
use crate::fd_table::Object;

use crate::memory::GuestMemory;
use crate::types::{LookupFlags, Rights, flags};

/// Whether a link in the path's last place is followed.
pub(crate) fn follow(lookup_flags: u32) -> Result<FollowSymlinks> {
    let lookup_flags: LookupFlags = flags(lookup_flags)?;
    Ok(FollowSymlinks::follow(lookup_flags.contains(LookupFlags::SYMLINK_FOLLOW)))
}

fn directory(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<&Directory> {
    let descriptor = ctx.descriptors.get(fd)?;
    let Object::Directory(directory) = &descriptor.object else { return Err(Errno::NotDir) };
    descriptor.require(rights)?;
    Ok(directory)
}

/// The directory's handle, for a function that changes what is in it.
fn writable(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<&File> {
    let directory = directory(ctx, fd, rights)?;
    directory.require_writable()?;
    Ok(&directory.file)
}

pub(crate) fn path_create_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_length: u32,
) -> Result<()> {
    directory(ctx, fd, Rights::PATH_CREATE_DIRECTORY)?
        .create_directory(memory.path(path, path_length)?)
}

pub(crate) fn path_remove_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_length: u32,
) -> Result<()> {
    let directory = writable(ctx, fd, Rights::PATH_REMOVE_DIRECTORY)?;
    Ok(fs::remove_dir(directory, memory.path(path, path_length)?)?)
}

pub(crate) fn path_unlink_file(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_length: u32,
) -> Result<()> {
    let directory = writable(ctx, fd, Rights::PATH_UNLINK_FILE)?;
    Ok(fs::remove_file(directory, memory.path(path, path_length)?)?)
}

pub(crate) fn path_rename(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_path: u32,
    old_path_length: u32,
    new_fd: u32,
    new_path: u32,
    new_path_length: u32,
) -> Result<()> {
    let old_directory = writable(ctx, old_fd, Rights::PATH_RENAME_SOURCE)?;
    let new_directory = writable(ctx, new_fd, Rights::PATH_RENAME_TARGET)?;
    let old_path = memory.path(old_path, old_path_length)?;
    Ok(fs::rename(old_directory, old_path, new_directory, memory.path(new_path, new_path_length)?)?)
}

/// Links to what the path names itself; a symbolic link is not followed.
pub(crate) fn path_link(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_lookup_flags: u32,
    old_path: u32,
    old_path_length: u32,
    new_fd: u32,
    new_path: u32,
    new_path_length: u32,
) -> Result<()> {
    let old_directory = writable(ctx, old_fd, Rights::PATH_LINK_SOURCE)?;
    let new_directory = writable(ctx, new_fd, Rights::PATH_LINK_TARGET)?;
    if follow(old_lookup_flags)? == FollowSymlinks::Yes {
        return Err(Errno::Inval);
    }
    let old_path = memory.path(old_path, old_path_length)?;
    Ok(fs::hard_link(
        old_directory,
        old_path,
        new_directory,
        memory.path(new_path, new_path_length)?,
    )?)
}

/// Makes a symbolic link. One with an absolute path could not be followed here, and would mislead the host's programs:
/// it is `EPERM`.
pub(crate) fn path_symlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    target: u32,
    target_length: u32,
    fd: u32,
    path: u32,
    path_length: u32,
) -> Result<()> {
    let directory = writable(ctx, fd, Rights::PATH_SYMLINK)?;
    let target = memory.path(target, target_length)?;
    Ok(fs::symlink(target, directory, memory.path(path, path_length)?)?)
}

/// Reads a symbolic link's target; as much of it as the buffer holds.
pub(crate) fn path_readlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_length: u32,
    buffer: u32,
    buffer_length: u32,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let directory = directory(ctx, fd, Rights::PATH_READLINK)?;
    let target = fs::read_link(&directory.file, memory.path(path, path_length)?)?;
    let space = memory.bytes_mut(buffer, buffer_length as usize)?;
    let used = target.as_os_str().len().min(space.len());
    space[..used].copy_from_slice(&target.as_os_str().as_bytes()[..used]);
    memory.write_u32(result, u32::try_from(used).map_err(|_| Errno::Overflow)?)
}

pub(crate) fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup_flags: u32,
    path: u32,
    path_length: u32,
    result: u32,
) -> Result<()> {
    let directory = directory(ctx, fd, Rights::PATH_FILESTAT_GET)?;
    let stat = directory.stat(memory.path(path, path_length)?, follow(lookup_flags)?)?;
    memory.write(result, &stat.encode())
}

pub(crate) fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup_flags: u32,
    path: u32,
    path_length: u32,
    accessed: u64,
    modified: u64,
    time_flags: u32,
) -> Result<()> {
    let directory = writable(ctx, fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let (accessed, modified) = new_times(accessed, modified, flags(time_flags)?)?;
    let (accessed, modified) = (time_spec(accessed)?, time_spec(modified)?);
    let path = memory.path(path, path_length)?;
    Ok(match follow(lookup_flags)? {
        FollowSymlinks::Yes => fs::set_times(directory, path, accessed, modified),
        FollowSymlinks::No => fs::set_times_nofollow(directory, path, accessed, modified),
    }?)
}

fn time_spec(time: NewTime) -> Result<Option<SystemTimeSpec>> {
    Ok(match time {
        NewTime::Unchanged => None,
        NewTime::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTime::At(nanoseconds) => {
            let time = SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_nanos(nanoseconds))
                .ok_or(Errno::Overflow)?;
            Some(SystemTimeSpec::Absolute(cap_primitives::time::SystemTime::from_std(time)))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::ctx::FsPerms;
    use crate::memory::read_u64;
    use crate::testing::{BUFFER, Guest, RECORD, RESULT, ROOT};
    use crate::types::OpenFlags;

    const NONE: OpenFlags = OpenFlags::empty();
    const READ: Rights = Rights::FD_READ;
    const WRITE: Rights = Rights::FD_WRITE;

    fn guest() -> Guest {
        Guest::new(FsPerms::ReadWrite)
    }

    #[test]
    fn no_path_leads_out() {
        let mut guest = guest();
        symlink("../secret", guest.root().join("up")).unwrap();
        symlink(guest.root().join("file"), guest.root().join("absolute")).unwrap();
        symlink("..", guest.root().join("parent")).unwrap();
        let secret = guest.root().with_file_name("secret");
        let paths = [
            "../secret",
            "inner/../../secret",
            "up",
            "absolute",
            "parent/secret",
            "/file",
            "..",
            "/",
        ];
        for path in paths.map(Path::new).into_iter().chain([secret.as_path()]) {
            for follow in [1, 0] {
                let refused = guest.open_at(ROOT, follow, path, NONE, READ);
                let link_itself = follow == 0 && (path == "up" || path == "absolute");
                assert_eq!(
                    refused,
                    Err(if link_itself { Errno::Loop } else { Errno::Perm }),
                    "{path:?}"
                );
            }
            assert!(
                guest
                    .open_at(ROOT, 1, path, OpenFlags::CREATE.union(OpenFlags::TRUNCATE), WRITE)
                    .is_err()
            );
        }
        for path in ["../new", "parent/new"] {
            let refused = guest.with_path(path, |ctx, memory, path, length| {
                path_create_directory(ctx, memory, ROOT, path, length)
            });
            assert_eq!(refused, Err(Errno::Perm));
            let refused = guest.with_paths(
                "file",
                path,
                |ctx, memory, [old, old_length], [new, new_length]| {
                    assert_eq!(
                        path_link(ctx, memory, ROOT, 0, old, old_length, ROOT, new, new_length),
                        Err(Errno::Perm)
                    );
                    path_rename(ctx, memory, ROOT, old, old_length, ROOT, new, new_length)
                },
            );
            assert_eq!(refused, Err(Errno::Perm));
        }
        for path in ["../secret", "parent/secret"] {
            let refused = guest.with_path(path, |ctx, memory, path, length| {
                path_unlink_file(ctx, memory, ROOT, path, length)
            });
            assert_eq!(refused, Err(Errno::Perm));
            let refused = guest.with_path(path, |ctx, memory, path, length| {
                path_filestat_get(ctx, memory, ROOT, 1, path, length, RECORD)
            });
            assert_eq!(refused, Err(Errno::Perm));
        }
        assert_eq!(std::fs::read(secret).unwrap(), b"secret");
    }

    #[test]
    fn read_only_directories_stay_as_they_are() {
        let mut guest = Guest::new(FsPerms::ReadOnly);
        let inner = guest.open("inner", OpenFlags::DIRECTORY, READ).unwrap();
        assert!(guest.open("file", NONE, READ).is_ok());
        assert_eq!(guest.open("file", NONE, WRITE), Err(Errno::RoFs));
        assert_eq!(guest.open("file", OpenFlags::TRUNCATE, READ), Err(Errno::RoFs));
        assert_eq!(guest.open_at(inner, 0, "new", OpenFlags::CREATE, READ), Err(Errno::RoFs));
        guest.with_path("inner", |ctx, memory, path, length| {
            assert_eq!(path_create_directory(ctx, memory, ROOT, path, length), Err(Errno::RoFs));
            assert_eq!(path_remove_directory(ctx, memory, ROOT, path, length), Err(Errno::RoFs));
            assert_eq!(path_unlink_file(ctx, memory, ROOT, path, length), Err(Errno::RoFs));
            assert_eq!(
                path_symlink(ctx, memory, path, length, ROOT, path, length),
                Err(Errno::RoFs)
            );
            assert_eq!(
                path_link(ctx, memory, ROOT, 0, path, length, ROOT, path, length),
                Err(Errno::RoFs)
            );
            assert_eq!(
                path_rename(ctx, memory, ROOT, path, length, ROOT, path, length),
                Err(Errno::RoFs)
            );
            assert_eq!(
                path_filestat_set_times(ctx, memory, ROOT, 0, path, length, 0, 0, 2),
                Err(Errno::RoFs)
            );
        });
    }

    #[test]
    fn links_are_made_read_and_followed() {
        let mut guest = guest();
        guest.with_paths(
            "inner/../file",
            "link",
            |ctx, memory, [target, target_length], [path, length]| {
                path_symlink(ctx, memory, target, target_length, ROOT, path, length).unwrap();
                path_readlink(ctx, memory, ROOT, path, length, BUFFER, 100, RESULT).unwrap();
            },
        );
        assert_eq!(guest.result(), 13);
        assert_eq!(guest.bytes[BUFFER as usize..][..13], *b"inner/../file");
        guest.with_path("link", |ctx, memory, path, length| {
            path_readlink(ctx, memory, ROOT, path, length, BUFFER, 5, RESULT).unwrap();
        });
        assert_eq!(guest.result(), 5, "what does not fit is cut off");
        let fd = guest.open_at(ROOT, 1, "link", NONE, READ).unwrap();
        assert_eq!(guest.read(fd, 100), Ok(b"contents".to_vec()));
        assert_eq!(guest.open("link", NONE, READ), Err(Errno::Loop));
        let refused = guest.with_paths(
            "/etc/passwd",
            "absolute",
            |ctx, memory, [target, target_length], [path, length]| {
                path_symlink(ctx, memory, target, target_length, ROOT, path, length)
            },
        );
        assert_eq!(refused, Err(Errno::Perm));
    }

    #[test]
    fn entries_are_created_renamed_and_removed() {
        let mut guest = guest();
        guest.with_paths(
            "inner/new",
            "inner/newer",
            |ctx, memory, [old, old_length], [new, new_length]| {
                path_create_directory(ctx, memory, ROOT, old, old_length).unwrap();
                assert_eq!(
                    path_create_directory(ctx, memory, ROOT, old, old_length),
                    Err(Errno::Exist)
                );
                path_rename(ctx, memory, ROOT, old, old_length, ROOT, new, new_length).unwrap();
                assert_eq!(
                    path_remove_directory(ctx, memory, ROOT, old, old_length),
                    Err(Errno::NoEnt)
                );
                assert_eq!(path_unlink_file(ctx, memory, ROOT, new, new_length), Err(Errno::IsDir));
                path_remove_directory(ctx, memory, ROOT, new, new_length).unwrap();
            },
        );
        guest.with_paths(
            "file",
            "inner/hard",
            |ctx, memory, [old, old_length], [new, new_length]| {
                path_link(ctx, memory, ROOT, 0, old, old_length, ROOT, new, new_length).unwrap();
                assert_eq!(
                    path_link(ctx, memory, ROOT, 1, old, old_length, ROOT, new, new_length),
                    Err(Errno::Inval)
                );
                path_unlink_file(ctx, memory, ROOT, old, old_length).unwrap();
                assert_eq!(
                    path_remove_directory(ctx, memory, ROOT, new, new_length),
                    Err(Errno::NotDir)
                );
            },
        );
        assert_eq!(std::fs::read(guest.root().join("inner/hard")).unwrap(), b"contents");
    }

    #[test]
    fn times_and_sizes_are_those_that_were_set() {
        let mut guest = guest();
        let (accessed, modified) = (1_000_000_007, 2_000_000_000_000_000_009);
        guest.with_path("file", |ctx, memory, path, length| {
            path_filestat_set_times(ctx, memory, ROOT, 0, path, length, accessed, modified, 0b101)
                .unwrap();
            path_filestat_set_times(ctx, memory, ROOT, 1, path, length, 0, 0, 0).unwrap();
            assert_eq!(
                path_filestat_set_times(ctx, memory, ROOT, 1, path, length, 0, 0, 0b11),
                Err(Errno::Inval)
            );
            path_filestat_get(ctx, memory, ROOT, 0, path, length, RECORD).unwrap();
        });
        let record = &guest.bytes[RECORD as usize..];
        assert_eq!([32, 40, 48].map(|offset| read_u64(record, offset)), [8, accessed, modified]);
        assert_eq!(record[16], 4, "a regular file");
    }
}
