//! The map from code offsets to offsets in the wasm file, of one piece of code.

use alloc::vec::Vec;

/// Steps through the address map of one piece of code: pairs of unsigned and signed LEB128 deltas,
/// code offset and wasm offset, both from the pair before; the first from 0 and from the body's offset.
/// There is a pair for the first byte of every instruction that can trap, and for the last byte of
/// every call: one before its return address.
#[derive(Clone, Debug)]
pub struct AddressMap<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) code_offset: u32,
    pub(super) wasm_offset: u32,
}

impl Iterator for AddressMap<'_> {
    /// Code offset in the piece of code, wasm offset in the file.
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.leb()?;
        let wasm = self.leb()?;
        // The wasm delta is zigzag-coded: 0, -1, 1, -2, ...
        let wasm = (wasm >> 1) as i32 ^ -((wasm & 1) as i32);
        self.code_offset = self.code_offset.wrapping_add(code);
        self.wasm_offset = self.wasm_offset.wrapping_add(wasm as u32);
        Some((self.code_offset, self.wasm_offset))
    }
}

impl AddressMap<'_> {
    fn leb(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Appends one pair; the counterpart of [`AddressMap::next`].
    pub fn encode(out: &mut Vec<u8>, code_delta: u32, wasm_delta: i32) {
        for mut value in [code_delta, (wasm_delta << 1 ^ wasm_delta >> 31) as u32] {
            while value >= 0x80 {
                out.push(value as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        }
    }
}
