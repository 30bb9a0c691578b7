//! Random numbers.

use crate::ctx::WasiCtx;
use crate::errno::{Errno, Result};
use crate::memory::GuestMemory;

/// Fills a buffer from the host's generator, which is fit for keys.
pub(crate) fn random_get(
    _: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    buffer: u32,
    length: u32,
) -> Result<()> {
    getrandom::fill(memory.bytes_mut(buffer, length as usize)?).map_err(|_| Errno::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_filled_and_nothing_else() {
        let mut ctx = WasiCtx::builder().build();
        let mut bytes = [0; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(random_get(&mut ctx, &mut memory, 60, 5), Err(Errno::Fault));
        random_get(&mut ctx, &mut memory, 16, 32).unwrap();
        assert!(bytes[16..48].iter().any(|byte| *byte != 0));
        assert!(bytes[..16].iter().chain(&bytes[48..]).all(|byte| *byte == 0));
    }
}
