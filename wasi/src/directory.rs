//! Open directories: what they allow, their listing, and the names of the preopened ones.

use std::fs::File;
use std::path::Path;

use cap_primitives::fs::{DirOptions, FollowSymlinks, Metadata};

use crate::ctx::{FsPerms, WasiCtx};
use crate::errno::{Errno, Result};
use crate::fd_table::Object;
use crate::memory::GuestMemory;
use crate::types::{DirEnt, FileStat, FileType, Rights};

/// An open directory. Paths are looked up beneath it and cannot leave it.
pub(crate) struct Directory {
    pub(crate) file: File,
    pub(crate) permissions: FsPerms,
    /// The name under which the guest finds a preopened directory.
    pub(crate) preopen_name: Option<Box<str>>,
    /// The entries as they were when the guest last began to read them. A listing that the guest reads in parts thus
    /// stays the same while it removes what it has read.
    listing: Option<Vec<Entry>>,
}

struct Entry {
    name: Box<[u8]>,
    inode: u64,
    file_type: FileType,
}

impl Directory {
    pub(crate) fn new(file: File, permissions: FsPerms) -> Self {
        Self { file, permissions, preopen_name: None, listing: None }
    }

    pub(crate) fn preopened(file: File, permissions: FsPerms, name: &str) -> Self {
        Self { file, permissions, preopen_name: Some(name.into()), listing: None }
    }

    /// Checks that the guest may change what is in here.
    pub(crate) fn require_writable(&self) -> Result<()> {
        match self.permissions {
            FsPerms::ReadWrite => Ok(()),
            FsPerms::ReadOnly => Err(Errno::RoFs),
        }
    }

    pub(crate) fn stat(&self, path: &Path, follow: FollowSymlinks) -> Result<FileStat> {
        Ok(cap_primitives::fs::stat(&self.file, path, follow)?.into())
    }

    pub(crate) fn create_directory(&self, path: &Path) -> Result<()> {
        self.require_writable()?;
        Ok(cap_primitives::fs::create_dir(&self.file, path, &DirOptions::new())?)
    }

    /// The entries from number `first` on. Reading from the start takes them anew.
    fn entries(&mut self, first: u64) -> Result<&[Entry]> {
        if first == 0 || self.listing.is_none() {
            self.listing = Some(self.read_entries()?);
        }
        let listing = self.listing.as_deref().unwrap_or_default();
        Ok(usize::try_from(first).ok().and_then(|first| listing.get(first..)).unwrap_or_default())
    }

    /// All entries, "." and ".." first. The latter has the number of the directory itself: what is above is not the
    /// guest's to know.
    fn read_entries(&self) -> Result<Vec<Entry>> {
        let inode = FileStat::from(Metadata::from_file(&self.file)?).inode;
        let special =
            |name: &[u8]| Entry { name: name.into(), inode, file_type: FileType::Directory };
        let mut entries = vec![special(b"."), special(b"..")];
        for entry in rustix::fs::Dir::read_from(&self.file)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(Entry {
                    name: name.into(),
                    inode: entry.ino(),
                    file_type: entry.file_type().into(),
                });
            }
        }
        Ok(entries)
    }
}

/// Fills the buffer with entries; the last one is cut off where the buffer ends, by which the guest sees that there are
/// more. The cookie of an entry is its number in the listing.
pub(crate) fn fd_readdir(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buffer: u32,
    buffer_length: u32,
    cookie: u64,
    result: u32,
) -> Result<()> {
    memory.check(result, 4)?;
    let descriptor = ctx.descriptors.get_mut(fd)?;
    descriptor.require(Rights::FD_READDIR)?;
    let Object::Directory(directory) = &mut descriptor.object else { return Err(Errno::NotDir) };
    let space = memory.bytes_mut(buffer, buffer_length as usize)?;
    let mut used = 0;
    for (index, entry) in directory.entries(cookie)?.iter().enumerate() {
        let name_length = u32::try_from(entry.name.len()).map_err(|_| Errno::NameTooLong)?;
        let record = DirEnt {
            next: cookie + index as u64 + 1,
            inode: entry.inode,
            name_length,
            file_type: entry.file_type,
        };
        for part in [&record.encode()[..], &entry.name] {
            let fitting = part.len().min(space.len() - used);
            space[used..][..fitting].copy_from_slice(&part[..fitting]);
            used += fitting;
        }
        if used == space.len() {
            break;
        }
    }
    memory.write_u32(result, u32::try_from(used).map_err(|_| Errno::Overflow)?)
}

/// The name's length of a preopened directory; `EBADF` for everything else, which is how the guest knows that it has
/// seen the last one.
pub(crate) fn fd_prestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Result<()> {
    let length = u32::try_from(preopen_name(ctx, fd)?.len()).map_err(|_| Errno::NameTooLong)?;
    // The tag of the union's only case is 0.
    memory.write(result, &u64::from(length).rotate_left(32).to_le_bytes())
}

pub(crate) fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buffer: u32,
    buffer_length: u32,
) -> Result<()> {
    let name = preopen_name(ctx, fd)?;
    if name.len() > buffer_length as usize {
        return Err(Errno::NameTooLong);
    }
    memory.write(buffer, name.as_bytes())
}

fn preopen_name(ctx: &WasiCtx, fd: u32) -> Result<&str> {
    match &ctx.descriptors.get(fd)?.object {
        Object::Directory(directory) => directory.preopen_name.as_deref().ok_or(Errno::BadF),
        Object::Host(_) | Object::Reader(_) | Object::Writer(_) => Err(Errno::BadF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{read_u32, read_u64};
    use crate::testing::{Guest, RECORD, ROOT};

    /// Reads a directory as the C library does, in parts of `length`: names with their cookies and types.
    fn list(guest: &mut Guest, length: u32) -> Vec<(String, u64, u8)> {
        let mut entries = Vec::new();
        let mut cookie = 0;
        loop {
            let bytes = guest.readdir(ROOT, length, cookie).unwrap();
            let mut rest = &bytes[..];
            while rest.len() >= DirEnt::SIZE {
                let name_length = read_u32(rest, 16) as usize;
                let Some(name) = rest[DirEnt::SIZE..].get(..name_length) else { break };
                cookie = read_u64(rest, 0);
                entries.push((String::from_utf8(name.to_vec()).unwrap(), cookie, rest[20]));
                rest = &rest[DirEnt::SIZE + name_length..];
            }
            if bytes.len() < length as usize {
                return entries;
            }
        }
    }

    #[test]
    fn listings_are_the_same_in_parts() {
        let mut guest = Guest::new(FsPerms::ReadWrite);
        for i in 0..20 {
            std::fs::write(guest.root().join(format!("entry{i}")), "").unwrap();
        }
        let whole = list(&mut guest, 2000);
        assert_eq!(whole.len(), 24);
        assert_eq!(whole[0], (".".to_owned(), 1, 3));
        assert_eq!(whole[1], ("..".to_owned(), 2, 3));
        assert!(whole.iter().any(|(name, _, file_type)| name == "file" && *file_type == 4));
        assert_eq!(list(&mut guest, 33), whole);
        assert_eq!(list(&mut guest, 100), whole);
    }

    #[test]
    fn removed_entries_do_not_disturb_a_listing() {
        let mut guest = Guest::new(FsPerms::ReadWrite);
        let first = guest.readdir(ROOT, 60, 0).unwrap();
        assert_eq!(first.len(), 60);
        std::fs::remove_file(guest.root().join("file")).unwrap();
        std::fs::remove_dir(guest.root().join("inner")).unwrap();
        assert_eq!(
            guest.readdir(ROOT, 2000, 2).unwrap().len(),
            2 * DirEnt::SIZE + "file".len() + "inner".len()
        );
        assert_eq!(list(&mut guest, 2000).len(), 2, "a new listing has what is there now");
    }

    #[test]
    fn cookies_beyond_the_end_are_the_end() {
        let mut guest = Guest::new(FsPerms::ReadWrite);
        assert_eq!(guest.readdir(ROOT, 100, 4), Ok(vec![]));
        assert_eq!(guest.readdir(ROOT, 100, u64::MAX), Ok(vec![]));
        assert_eq!(guest.readdir(ROOT, 0, 0), Ok(vec![]));
        assert_eq!(guest.readdir(ROOT, u32::MAX, 0), Err(Errno::Fault));
        assert_eq!(guest.readdir(1, 100, 0), Err(Errno::NotCapable));
    }

    #[test]
    fn preopened_directories_have_names() {
        let mut guest = Guest::new(FsPerms::ReadOnly);
        guest.call(|ctx, memory| {
            fd_prestat_get(ctx, memory, ROOT, RECORD).unwrap();
            assert_eq!(memory.bytes(RECORD, 8), Ok(&[0, 0, 0, 0, 1, 0, 0, 0][..]));
            fd_prestat_dir_name(ctx, memory, ROOT, RECORD, 1).unwrap();
            assert_eq!(memory.bytes(RECORD, 1), Ok(&b"/"[..]));
            assert_eq!(fd_prestat_dir_name(ctx, memory, ROOT, RECORD, 0), Err(Errno::NameTooLong));
            assert_eq!(fd_prestat_get(ctx, memory, ROOT + 1, RECORD), Err(Errno::BadF));
            assert_eq!(fd_prestat_get(ctx, memory, 0, RECORD), Err(Errno::BadF));
        });
    }
}
