//! Records, flags and small enums of `wasi_snapshot_preview1.witx`.
//!
//! Every record is written field by field into a byte array, so its layout is what stands here:
//!
//! ```text
//! filestat  64: dev u64@0  ino u64@8  filetype u8@16  nlink u64@24  size u64@32  atim u64@40  mtim u64@48  ctim u64@56
//! fdstat    24: filetype u8@0  flags u16@2  rights_base u64@8  rights_inheriting u64@16
//! prestat    8: tag u8@0  dir_name_length u32@4
//! dirent    24: next u64@0  ino u64@8  name_length u32@16  filetype u8@20, followed by the name
//! ```

use bitflags::{Flags, bitflags};
use cap_primitives::fs::{Metadata, MetadataExt};

use crate::errno::{Errno, Result};

/// `$filetype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    #[default]
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<rustix::fs::FileType> for FileType {
    fn from(host: rustix::fs::FileType) -> Self {
        match host {
            rustix::fs::FileType::RegularFile => Self::RegularFile,
            rustix::fs::FileType::Directory => Self::Directory,
            rustix::fs::FileType::Symlink => Self::SymbolicLink,
            rustix::fs::FileType::Socket => Self::SocketStream,
            rustix::fs::FileType::CharacterDevice => Self::CharacterDevice,
            rustix::fs::FileType::BlockDevice => Self::BlockDevice,
            rustix::fs::FileType::Fifo | rustix::fs::FileType::Unknown => Self::Unknown,
        }
    }
}

/// `$filestat`. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) file_type: FileType,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

impl FileStat {
    pub(crate) const SIZE: usize = 64;

    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let mut record = [0; Self::SIZE];
        record[0..8].copy_from_slice(&self.device.to_le_bytes());
        record[8..16].copy_from_slice(&self.inode.to_le_bytes());
        record[16] = self.file_type as u8;
        record[24..32].copy_from_slice(&self.links.to_le_bytes());
        record[32..40].copy_from_slice(&self.size.to_le_bytes());
        record[40..48].copy_from_slice(&self.accessed.to_le_bytes());
        record[48..56].copy_from_slice(&self.modified.to_le_bytes());
        record[56..64].copy_from_slice(&self.changed.to_le_bytes());
        record
    }
}

impl From<Metadata> for FileStat {
    fn from(host: Metadata) -> Self {
        Self {
            device: host.dev(),
            inode: host.ino(),
            file_type: rustix::fs::FileType::from_raw_mode(host.mode() as rustix::fs::RawMode)
                .into(),
            links: host.nlink(),
            size: host.size(),
            accessed: nanoseconds(host.atime(), host.atime_nsec()),
            modified: nanoseconds(host.mtime(), host.mtime_nsec()),
            changed: nanoseconds(host.ctime(), host.ctime_nsec()),
        }
    }
}

/// A time of the host as preview 1 counts: unsigned nanoseconds. Times before 1970 are 1970, and the year 2554 is the
/// last.
pub(crate) fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanoseconds).unwrap_or(0))
}

/// `$fdstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FdStat {
    pub(crate) file_type: FileType,
    pub(crate) flags: FdFlags,
    pub(crate) rights: Rights,
    pub(crate) rights_inheriting: Rights,
}

impl FdStat {
    pub(crate) const SIZE: usize = 24;

    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let mut record = [0; Self::SIZE];
        record[0] = self.file_type as u8;
        record[2..4].copy_from_slice(&self.flags.bits().to_le_bytes());
        record[8..16].copy_from_slice(&self.rights.bits().to_le_bytes());
        record[16..24].copy_from_slice(&self.rights_inheriting.bits().to_le_bytes());
        record
    }
}

/// `$dirent`, without the name that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirEnt {
    /// The cookie of the entry after this one.
    pub(crate) next: u64,
    pub(crate) inode: u64,
    pub(crate) name_length: u32,
    pub(crate) file_type: FileType,
}

impl DirEnt {
    pub(crate) const SIZE: usize = 24;

    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let mut record = [0; Self::SIZE];
        record[0..8].copy_from_slice(&self.next.to_le_bytes());
        record[8..16].copy_from_slice(&self.inode.to_le_bytes());
        record[16..20].copy_from_slice(&self.name_length.to_le_bytes());
        record[20] = self.file_type as u8;
        record
    }
}

/// Flags from the guest; bits without a meaning are `EINVAL`.
pub(crate) fn flags<F: Flags>(bits: u32) -> Result<F>
where
    F::Bits: TryFrom<u32>,
{
    F::Bits::try_from(bits).ok().and_then(F::from_bits).ok_or(Errno::Inval)
}

bitflags! {
    /// `$fdflags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct FdFlags: u16 {
        const APPEND = 1 << 0;
        const DSYNC = 1 << 1;
        const NONBLOCK = 1 << 2;
        const RSYNC = 1 << 3;
        const SYNC = 1 << 4;
    }

    /// `$oflags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct OpenFlags: u16 {
        const CREATE = 1 << 0;
        const DIRECTORY = 1 << 1;
        const EXCLUSIVE = 1 << 2;
        const TRUNCATE = 1 << 3;
    }

    /// `$lookupflags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct LookupFlags: u32 {
        const SYMLINK_FOLLOW = 1 << 0;
    }

    /// `$fstflags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct TimeFlags: u16 {
        const ACCESSED = 1 << 0;
        const ACCESSED_NOW = 1 << 1;
        const MODIFIED = 1 << 2;
        const MODIFIED_NOW = 1 << 3;
    }

    /// `$rights`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Rights: u64 {
        const FD_DATASYNC = 1 << 0;
        const FD_READ = 1 << 1;
        const FD_SEEK = 1 << 2;
        const FD_FDSTAT_SET_FLAGS = 1 << 3;
        const FD_SYNC = 1 << 4;
        const FD_TELL = 1 << 5;
        const FD_WRITE = 1 << 6;
        const FD_ADVISE = 1 << 7;
        const FD_ALLOCATE = 1 << 8;
        const PATH_CREATE_DIRECTORY = 1 << 9;
        const PATH_CREATE_FILE = 1 << 10;
        const PATH_LINK_SOURCE = 1 << 11;
        const PATH_LINK_TARGET = 1 << 12;
        const PATH_OPEN = 1 << 13;
        const FD_READDIR = 1 << 14;
        const PATH_READLINK = 1 << 15;
        const PATH_RENAME_SOURCE = 1 << 16;
        const PATH_RENAME_TARGET = 1 << 17;
        const PATH_FILESTAT_GET = 1 << 18;
        const PATH_FILESTAT_SET_SIZE = 1 << 19;
        const PATH_FILESTAT_SET_TIMES = 1 << 20;
        const FD_FILESTAT_GET = 1 << 21;
        const FD_FILESTAT_SET_SIZE = 1 << 22;
        const FD_FILESTAT_SET_TIMES = 1 << 23;
        const PATH_SYMLINK = 1 << 24;
        const PATH_REMOVE_DIRECTORY = 1 << 25;
        const PATH_UNLINK_FILE = 1 << 26;
        const POLL_FD_READWRITE = 1 << 27;
        const SOCK_SHUTDOWN = 1 << 28;
        const SOCK_ACCEPT = 1 << 29;
    }
}

impl Rights {
    /// What a file that is open for reading can do.
    pub(crate) const FILE_READ: Self = Self::FD_READ
        .union(Self::FD_SEEK)
        .union(Self::FD_TELL)
        .union(Self::FD_FDSTAT_SET_FLAGS)
        .union(Self::FD_ADVISE)
        .union(Self::FD_SYNC)
        .union(Self::FD_DATASYNC)
        .union(Self::FD_FILESTAT_GET)
        .union(Self::FD_FILESTAT_SET_TIMES)
        .union(Self::POLL_FD_READWRITE);

    /// What a file that is open for writing can do.
    pub(crate) const FILE_WRITE: Self = Self::FILE_READ
        .difference(Self::FD_READ)
        .union(Self::FD_WRITE)
        .union(Self::FD_ALLOCATE)
        .union(Self::FD_FILESTAT_SET_SIZE);

    /// What an open directory can do.
    pub(crate) const DIRECTORY: Self = Self::PATH_CREATE_DIRECTORY
        .union(Self::PATH_CREATE_FILE)
        .union(Self::PATH_LINK_SOURCE)
        .union(Self::PATH_LINK_TARGET)
        .union(Self::PATH_OPEN)
        .union(Self::FD_READDIR)
        .union(Self::PATH_READLINK)
        .union(Self::PATH_RENAME_SOURCE)
        .union(Self::PATH_RENAME_TARGET)
        .union(Self::PATH_FILESTAT_GET)
        .union(Self::PATH_FILESTAT_SET_SIZE)
        .union(Self::PATH_FILESTAT_SET_TIMES)
        .union(Self::PATH_SYMLINK)
        .union(Self::PATH_REMOVE_DIRECTORY)
        .union(Self::PATH_UNLINK_FILE)
        .union(Self::FD_FDSTAT_SET_FLAGS)
        .union(Self::FD_SYNC)
        .union(Self::FD_DATASYNC)
        .union(Self::FD_FILESTAT_GET)
        .union(Self::FD_FILESTAT_SET_TIMES);

    /// What a file or directory that is opened through a directory can have.
    pub(crate) const DIRECTORY_INHERITING: Self =
        Self::DIRECTORY.union(Self::FILE_READ).union(Self::FILE_WRITE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{read_u32, read_u64};

    #[test]
    fn filestat_has_its_layout() {
        let stat = FileStat {
            device: 1,
            inode: 2,
            file_type: FileType::RegularFile,
            links: 3,
            size: 4,
            accessed: 5,
            modified: 6,
            changed: u64::MAX,
        };
        let record = stat.encode();
        let fields = [0, 8, 16, 24, 32, 40, 48, 56].map(|offset| read_u64(&record, offset));
        assert_eq!(fields, [1, 2, 4, 3, 4, 5, 6, u64::MAX]);
    }

    #[test]
    fn fdstat_has_its_layout() {
        let stat = FdStat {
            file_type: FileType::Directory,
            flags: FdFlags::APPEND.union(FdFlags::SYNC),
            rights: Rights::from_bits_retain(0x1122),
            rights_inheriting: Rights::from_bits_retain(0x3344),
        };
        let record = stat.encode();
        assert_eq!(record[..8], [3, 0, 0b10001, 0, 0, 0, 0, 0]);
        assert_eq!((read_u64(&record, 8), read_u64(&record, 16)), (0x1122, 0x3344));
    }

    #[test]
    fn dirent_has_its_layout() {
        let record =
            DirEnt { next: 1, inode: 2, name_length: 3, file_type: FileType::SymbolicLink }
                .encode();
        assert_eq!((read_u64(&record, 0), read_u64(&record, 8), read_u32(&record, 16)), (1, 2, 3));
        assert_eq!(record[20..], [7, 0, 0, 0]);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert_eq!(flags::<OpenFlags>(0b1111), Ok(OpenFlags::all()));
        assert_eq!(flags::<OpenFlags>(0b1_0000), Err(Errno::Inval));
        assert_eq!(flags::<FdFlags>(0x1_0000), Err(Errno::Inval));
    }

    #[test]
    fn rights_have_the_bits_of_the_witx() {
        assert_eq!(Rights::all().bits(), (1 << 30) - 1);
        assert_eq!(Rights::PATH_UNLINK_FILE.bits(), 1 << 26);
    }

    #[test]
    fn times_outside_the_range_are_its_ends() {
        assert_eq!(nanoseconds(-5, 7), 7);
        assert_eq!(nanoseconds(i64::MAX, 7), u64::MAX);
        assert_eq!(nanoseconds(2, 7), 2_000_000_007);
    }
}
