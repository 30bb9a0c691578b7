//! Functions on sockets. There is no way for a guest to have one, so what is open is `ENOTSOCK` and what is not is
//! `EBADF`.
#![expect(clippy::too_many_arguments, reason = "the specification has so many")]

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::memory::GuestMemory;

fn not_a_socket(ctx: &WasiCtx, fd: u32) -> Result<()> {
    ctx.descriptors.get(fd).and(Err(Errno::NotSock))
}

pub(crate) fn sock_accept(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}

pub(crate) fn sock_recv(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _vectors: u32,
    _count: u32,
    _flags: u32,
    _length_result: u32,
    _flags_result: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}

pub(crate) fn sock_send(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _vectors: u32,
    _count: u32,
    _flags: u32,
    _result: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}

pub(crate) fn sock_shutdown(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _how: u32,
) -> Result<()> {
    not_a_socket(ctx, fd)
}
