//! The map from code offsets to offsets in the wasm file, of one piece of code.

use alloc::vec::Vec;

use super::leb;

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
        let code = leb::read(&mut self.bytes)?;
        let wasm = leb::read_signed(&mut self.bytes)?;
        self.code_offset = self.code_offset.wrapping_add(code);
        self.wasm_offset = self.wasm_offset.wrapping_add(wasm as u32);
        Some((self.code_offset, self.wasm_offset))
    }
}

impl AddressMap<'_> {
    /// Appends one pair; the counterpart of [`AddressMap::next`].
    pub fn encode(out: &mut Vec<u8>, code_delta: u32, wasm_delta: i32) {
        leb::write(out, code_delta);
        leb::write_signed(out, wasm_delta);
    }
}
