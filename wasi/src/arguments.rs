//! Program arguments and environment variables.

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::memory::GuestMemory;

/// Strings as the guest gets them: one after the other, each ended by a zero byte.
///
/// ```text
/// pointers: | p0 | p1 |       bytes: | l s \0 | - l \0 |
///             |    '----------------------------^
///             '-----------------------^
/// ```
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Where each string starts in `bytes`.
    starts: Vec<usize>,
}

impl Strings {
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.push(0);
    }

    fn write_sizes(&self, memory: &mut GuestMemory<'_>, count: u32, size: u32) -> Result<()> {
        let too_big = |_| Errno::Overflow;
        memory.write_u32(count, u32::try_from(self.starts.len()).map_err(too_big)?)?;
        memory.write_u32(size, u32::try_from(self.bytes.len()).map_err(too_big)?)
    }

    fn write(&self, memory: &mut GuestMemory<'_>, pointers: u32, buffer: u32) -> Result<()> {
        memory.write(buffer, &self.bytes)?;
        let table = memory.bytes_mut(pointers, self.starts.len() * 4)?;
        for (entry, start) in table.chunks_exact_mut(4).zip(&self.starts) {
            // The strings are in memory, so their addresses are addresses of the guest.
            let start = u32::try_from(*start).map_err(|_| Errno::Overflow)?;
            entry.copy_from_slice(&buffer.wrapping_add(start).to_le_bytes());
        }
        Ok(())
    }
}

pub(crate) fn args_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    pointers: u32,
    buffer: u32,
) -> Result<()> {
    ctx.arguments.write(memory, pointers, buffer)
}

pub(crate) fn args_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    count: u32,
    size: u32,
) -> Result<()> {
    ctx.arguments.write_sizes(memory, count, size)
}

pub(crate) fn environ_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    pointers: u32,
    buffer: u32,
) -> Result<()> {
    ctx.environment.write(memory, pointers, buffer)
}

pub(crate) fn environ_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    count: u32,
    size: u32,
) -> Result<()> {
    ctx.environment.write_sizes(memory, count, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::read_u32;

    #[test]
    fn strings_lie_one_after_the_other() {
        let mut ctx = WasiCtx::builder().args(["ls", "", "-l"]).env("HOME", "/").build();
        let mut bytes = [0xff; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        args_sizes_get(&mut ctx, &mut memory, 0, 4).unwrap();
        args_get(&mut ctx, &mut memory, 8, 32).unwrap();
        assert_eq!([0, 4, 8, 12, 16].map(|offset| read_u32(&bytes, offset)), [3, 7, 32, 35, 36]);
        assert_eq!(bytes[32..40], *b"ls\0\0-l\0\xff");

        let mut memory = GuestMemory::new(&mut bytes);
        environ_get(&mut ctx, &mut memory, 0, 16).unwrap();
        assert_eq!(bytes[16..23], *b"HOME=/\0");
    }

    #[test]
    fn strings_that_do_not_fit_are_faults() {
        let mut ctx = WasiCtx::builder().args(["program"]).build();
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(args_get(&mut ctx, &mut memory, 0, 8), Ok(()));
        assert_eq!(args_get(&mut ctx, &mut memory, 0, 9), Err(Errno::Fault));
        assert_eq!(args_get(&mut ctx, &mut memory, 13, 8), Err(Errno::Fault));
    }
}
