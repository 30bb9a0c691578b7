//! The trap sites of a piece of code: instructions that were made to trap.
//!
//! A site is one LEB128 number: the offset from the site before, the first from 0, and below it the kind in
//! [`KIND_BITS`]. Accesses to memory are not among them: a fault of any other instruction is one of memory, or of the stack.

use alloc::vec::Vec;

use super::leb;
use crate::trap::{TRAP_KINDS, TrapKind};

/// How many bits a kind takes.
const KIND_BITS: u32 = 4;
const _: () = assert!(TRAP_KINDS.len() < 1 << KIND_BITS);

/// Appends sites: offsets in a piece of code, ascending, and kinds. A site is less than 2 to the 28th behind the one before,
/// since code is smaller.
pub(super) fn encode(out: &mut Vec<u8>, sites: &[(u32, TrapKind)]) {
    let mut previous = 0;
    for &(offset, kind) in sites {
        leb::write(out, (offset - previous) << KIND_BITS | kind as u32);
        previous = offset;
    }
}

/// The sites in `bytes`. Ends early where these make no sense.
pub(super) fn sites(mut bytes: &[u8]) -> impl Iterator<Item = (u32, TrapKind)> {
    let mut offset = 0u32;
    core::iter::from_fn(move || {
        let number = leb::read(&mut bytes)?;
        offset = offset.wrapping_add(number >> KIND_BITS);
        let kind = number & ((1 << KIND_BITS) - 1);
        Some((offset, TrapKind::from_u8(kind as u8)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = [
            (0, TrapKind::Unreachable),
            (2, TrapKind::Interrupt),
            (300, TrapKind::StackOverflow),
            ((1 << 28) - 1, TrapKind::MemoryOutOfBounds),
        ];
        let mut bytes = Vec::new();
        encode(&mut bytes, &written);
        assert_eq!(sites(&bytes).collect::<Vec<_>>(), written);
    }

    #[test]
    fn bytes_without_sense_end() {
        assert_eq!(sites(&[0x21, 0x20, 0x21]).collect::<Vec<_>>(), [(2, TrapKind::Unreachable)]);
        assert_eq!(sites(&[0xff; 9]).count(), 0);
    }
}
