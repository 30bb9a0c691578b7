//! The lines of the source that made the wasm, for the places that the address map knows.
//!
//! A function's part of the section is a list of entries in the order of wasm offsets. An entry holds up to the next:
//!
//! ```text
//!   offset    from the entry before, the first from the function's body
//!   count     frames at this place, the innermost first: a function and those that it is inlined into
//!   count times:
//!     name    index in the line strings + 1, or 0
//!     file    index in the line strings + 1, or 0
//!     line    from that of the frame before, in the order of this list, the first from 0; 0 is no line
//!     column  0 is none
//! ```
//!
//! All are LEB128; the difference of lines is zigzag-coded.

use alloc::vec::Vec;

use super::leb;

/// A place in the source, as indices of line strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineFrame {
    /// The function.
    pub name: Option<u32>,
    /// The file.
    pub file: Option<u32>,
    /// The line, from 1; 0 if it is not known.
    pub line: u32,
    /// The column, from 1; 0 if it is not known.
    pub column: u32,
}

/// Appends a function's entries.
#[derive(Debug)]
pub struct LineWriter<'a> {
    out: &'a mut Vec<u8>,
    offset: u32,
    line: u32,
}

impl<'a> LineWriter<'a> {
    /// For a function whose body is at `wasm_offset`.
    pub fn new(out: &'a mut Vec<u8>, wasm_offset: u32) -> Self {
        Self { out, offset: wasm_offset, line: 0 }
    }

    /// Appends an entry. Offsets ascend.
    pub fn entry(&mut self, wasm_offset: u32, frames: &[LineFrame]) {
        leb::write(self.out, wasm_offset - self.offset);
        self.offset = wasm_offset;
        leb::write(self.out, frames.len() as u32);
        for frame in frames {
            leb::write(self.out, frame.name.map_or(0, |name| name + 1));
            leb::write(self.out, frame.file.map_or(0, |file| file + 1));
            leb::write_signed(self.out, frame.line.wrapping_sub(self.line) as i32);
            self.line = frame.line;
            leb::write(self.out, frame.column);
        }
    }
}

/// Steps through the frames of one entry. Ends early where the bytes make no sense.
#[derive(Clone, Debug)]
pub struct LineFrames<'a> {
    bytes: &'a [u8],
    left: u32,
    line: u32,
}

impl<'a> LineFrames<'a> {
    /// The frames at `wanted`, by the entries of a function whose body is at `wasm_offset`.
    pub(super) fn find(bytes: &'a [u8], wasm_offset: u32, wanted: u32) -> Self {
        let mut found = Self { bytes: &[], left: 0, line: 0 };
        let mut reader = Self { bytes, left: 0, line: 0 };
        let mut offset = wasm_offset;
        while let Some(difference) = leb::read(&mut reader.bytes) {
            offset = offset.wrapping_add(difference);
            let Some(count) = leb::read(&mut reader.bytes) else { break };
            if offset > wanted {
                break;
            }
            reader.left = count;
            found = reader.clone();
            while reader.next().is_some() {}
        }
        found
    }
}

impl Iterator for LineFrames<'_> {
    type Item = LineFrame;

    fn next(&mut self) -> Option<LineFrame> {
        self.left = self.left.checked_sub(1)?;
        let name = leb::read(&mut self.bytes)?.checked_sub(1);
        let file = leb::read(&mut self.bytes)?.checked_sub(1);
        self.line = self.line.wrapping_add_signed(leb::read_signed(&mut self.bytes)?);
        let column = leb::read(&mut self.bytes)?;
        Some(LineFrame { name, file, line: self.line, column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: u32, line: u32) -> LineFrame {
        LineFrame { name: Some(name), file: None, line, column: line * 2 }
    }

    #[test]
    fn what_is_written_is_found() {
        let mut bytes = Vec::new();
        let mut writer = LineWriter::new(&mut bytes, 1000);
        let inlined = [frame(3, 700), frame(2, 5)];
        writer.entry(1002, &[frame(1, 10)]);
        writer.entry(1300, &inlined);
        writer.entry(1301, &[]);
        writer.entry(2000, &[LineFrame::default()]);
        let find = |wanted| LineFrames::find(&bytes, 1000, wanted).collect::<Vec<_>>();
        assert_eq!(find(1001), []);
        assert_eq!(find(1002), [frame(1, 10)]);
        assert_eq!(find(1299), [frame(1, 10)]);
        assert_eq!(find(1300), inlined);
        assert_eq!(find(1999), []);
        assert_eq!(find(u32::MAX), [LineFrame::default()]);
    }

    #[test]
    fn bytes_without_sense_end() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 60) as u8 | ((state >> 40) as u8 & 0x80)
                })
                .collect();
            assert!(LineFrames::find(&bytes, 0, u32::MAX).count() <= bytes.len());
        }
    }
}
