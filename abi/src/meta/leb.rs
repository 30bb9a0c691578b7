//! Numbers of variable length: LEB128 of 32 bits, and the zigzag code for signed ones: 0, -1, 1, -2, ...

use alloc::vec::Vec;

/// Takes a number from the front of `bytes`; `None` if there is none.
pub(super) fn read(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// As [`read`], for signed numbers.
pub(super) fn read_signed(bytes: &mut &[u8]) -> Option<i32> {
    let value = read(bytes)?;
    Some((value >> 1) as i32 ^ -((value & 1) as i32))
}

/// Appends a number.
pub(super) fn write(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// As [`write`], for signed numbers.
pub(super) fn write_signed(out: &mut Vec<u8>, value: i32) {
    write(out, (value << 1 ^ value >> 31) as u32);
}
