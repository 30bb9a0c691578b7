//! Error numbers of preview 1, and the host's errors in them.

use std::io;

use rustix::io::Errno as Host;

/// What a function of preview 1 gives: nothing, or an error number.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// `$errno` of `wasi_snapshot_preview1.witx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[expect(
    dead_code,
    reason = "the list is complete so that its numbers are; the host does not report each of them"
)]
pub(crate) enum Errno {
    Success,
    TooBig,
    Acces,
    AddrInUse,
    AddrNotAvail,
    AfNoSupport,
    Again,
    Already,
    BadF,
    BadMsg,
    Busy,
    Canceled,
    Child,
    ConnAborted,
    ConnRefused,
    ConnReset,
    DeadLk,
    DestAddrReq,
    Dom,
    DQuot,
    Exist,
    Fault,
    FBig,
    HostUnreach,
    IdRm,
    IlSeq,
    InProgress,
    Intr,
    Inval,
    Io,
    IsConn,
    IsDir,
    Loop,
    MFile,
    MLink,
    MsgSize,
    MultiHop,
    NameTooLong,
    NetDown,
    NetReset,
    NetUnreach,
    NFile,
    NoBufs,
    NoDev,
    NoEnt,
    NoExec,
    NoLck,
    NoLink,
    NoMem,
    NoMsg,
    NoProtoOpt,
    NoSpc,
    NoSys,
    NotConn,
    NotDir,
    NotEmpty,
    NotRecoverable,
    NotSock,
    NotSup,
    NotTty,
    NxIo,
    Overflow,
    OwnerDead,
    Perm,
    Pipe,
    Proto,
    ProtoNoSupport,
    Prototype,
    Range,
    RoFs,
    SPipe,
    Srch,
    Stale,
    TimedOut,
    TxtBsy,
    XDev,
    NotCapable,
}

impl From<Host> for Errno {
    fn from(host: Host) -> Self {
        match host {
            Host::TOOBIG => Self::TooBig,
            Host::ACCESS => Self::Acces,
            Host::AGAIN => Self::Again,
            Host::BADF => Self::BadF,
            Host::BUSY => Self::Busy,
            Host::CANCELED => Self::Canceled,
            Host::CONNABORTED => Self::ConnAborted,
            Host::CONNREFUSED => Self::ConnRefused,
            Host::CONNRESET => Self::ConnReset,
            Host::DEADLK => Self::DeadLk,
            Host::DQUOT => Self::DQuot,
            Host::EXIST => Self::Exist,
            Host::FAULT => Self::Fault,
            Host::FBIG => Self::FBig,
            Host::ILSEQ => Self::IlSeq,
            Host::INTR => Self::Intr,
            Host::INVAL => Self::Inval,
            Host::IO => Self::Io,
            Host::ISDIR => Self::IsDir,
            Host::LOOP => Self::Loop,
            Host::MFILE => Self::MFile,
            Host::MLINK => Self::MLink,
            Host::MSGSIZE => Self::MsgSize,
            Host::NAMETOOLONG => Self::NameTooLong,
            Host::NFILE => Self::NFile,
            Host::NOBUFS => Self::NoBufs,
            Host::NODEV => Self::NoDev,
            Host::NOENT => Self::NoEnt,
            Host::NOLCK => Self::NoLck,
            Host::NOMEM => Self::NoMem,
            Host::NOSPC => Self::NoSpc,
            Host::NOSYS => Self::NoSys,
            Host::NOTCONN => Self::NotConn,
            Host::NOTDIR => Self::NotDir,
            Host::NOTEMPTY => Self::NotEmpty,
            Host::NOTSOCK => Self::NotSock,
            // The host has two names for this number on Linux.
            Host::NOTSUP => Self::NotSup,
            Host::NOTTY => Self::NotTty,
            Host::NXIO => Self::NxIo,
            Host::OVERFLOW => Self::Overflow,
            Host::PERM => Self::Perm,
            Host::PIPE => Self::Pipe,
            Host::RANGE => Self::Range,
            Host::ROFS => Self::RoFs,
            Host::SPIPE => Self::SPipe,
            Host::STALE => Self::Stale,
            Host::TIMEDOUT => Self::TimedOut,
            Host::TXTBSY => Self::TxtBsy,
            Host::XDEV => Self::XDev,
            _ => Self::Io,
        }
    }
}

impl From<io::Error> for Errno {
    /// An error with a number of the host keeps it; one that was made in Rust has only a kind. Of the latter,
    /// `PermissionDenied` is how cap-primitives refuses a path that leads out of its directory.
    fn from(error: io::Error) -> Self {
        if let Some(host) = Host::from_io_error(&error) {
            return host.into();
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoEnt,
            io::ErrorKind::PermissionDenied => Self::Perm,
            io::ErrorKind::AlreadyExists => Self::Exist,
            io::ErrorKind::WouldBlock => Self::Again,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::Inval,
            io::ErrorKind::NotADirectory => Self::NotDir,
            io::ErrorKind::IsADirectory => Self::IsDir,
            io::ErrorKind::DirectoryNotEmpty => Self::NotEmpty,
            io::ErrorKind::BrokenPipe => Self::Pipe,
            io::ErrorKind::StorageFull => Self::NoSpc,
            io::ErrorKind::Interrupted => Self::Intr,
            io::ErrorKind::Unsupported => Self::NotSup,
            io::ErrorKind::OutOfMemory => Self::NoMem,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_witx() {
        for (errno, number) in [
            (Errno::Success, 0),
            (Errno::BadF, 8),
            (Errno::Exist, 20),
            (Errno::Inval, 28),
            (Errno::NoEnt, 44),
            (Errno::NoSys, 52),
            (Errno::Overflow, 61),
            (Errno::SPipe, 70),
            (Errno::NotCapable, 76),
        ] {
            assert_eq!(errno as u16, number, "{errno:?}");
        }
    }

    #[test]
    fn errors_of_the_host_keep_their_meaning() {
        assert_eq!(Errno::from(io::Error::from(Host::NOENT)), Errno::NoEnt);
        assert_eq!(Errno::from(io::Error::from(Host::ACCESS)), Errno::Acces);
        assert_eq!(Errno::from(io::Error::from(Host::XDEV)), Errno::XDev);
        assert_eq!(Errno::from(io::Error::from(io::ErrorKind::PermissionDenied)), Errno::Perm);
        assert_eq!(Errno::from(io::Error::other("unknown")), Errno::Io);
    }
}
