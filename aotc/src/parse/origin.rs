//! Where code comes from: the files of a module that was made of several, and the way back from its offsets to theirs.
//!
//! ```text
//!   merged module   | body of main's f | body of env's g | ...       offsets of the bytes that are compiled
//!                        |                  |
//!                      Origin             Origin                     a list of places from which on the distance is the same
//!                        v                  v
//!   files           main.wasm          env.wasm                      offsets that backtraces and DWARF speak of
//! ```
//!
//! A module that is one file has no origins: its offsets are the file's.

use aotc_abi::index::DefinedFuncIndex;

use super::WasmModule;

/// What backtraces need of a file that code comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source<'a> {
    /// Where the contents of the code section start in the file.
    pub(crate) code_start: u32,
    /// Custom sections with DWARF: names and contents.
    pub(crate) dwarf: Vec<(&'a str, &'a [u8])>,
}

/// Where the body of a function comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The file; `None` for a function that stands in none.
    pub(crate) source: Option<u32>,
    /// Offsets in the body, ascending from 0, and the offset in the file of what stands there; in between both grow
    /// alike. Empty for a function that stands in no file.
    pub(crate) places: Vec<(u32, u32)>,
}

impl Origin {
    /// The offset in the file of what stands at `offset` in the body.
    fn place(&self, offset: u32) -> Option<u32> {
        let next = self.places.partition_point(|&(start, _)| start <= offset);
        let (start, place) = self.places[next.checked_sub(1)?];
        Some(place + (offset - start))
    }
}

impl<'a> WasmModule<'a> {
    /// The offset in its file of what stands at `offset` of the module, in the body of `function`; `None` if it stands
    /// in no file.
    pub(crate) fn file_offset(&self, function: DefinedFuncIndex, offset: u64) -> Option<u32> {
        let Some(origin) = self.origins.get(function.index()) else { return Some(offset as u32) };
        origin.place((offset - self.bodies[function.index()].range().start) as u32)
    }

    /// Number of the file that `function` comes from, among [`WasmModule::sources`]; `None` if from none.
    pub(crate) fn source_of(&self, function: DefinedFuncIndex) -> Option<usize> {
        match self.origins.get(function.index()) {
            None => Some(0),
            Some(origin) => origin.source.map(|source| source as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let origin = Origin { source: Some(0), places: vec![(0, 100), (7, 105), (9, 200)] };
        let found = [0, 6, 7, 8, 9, 20].map(|offset| origin.place(offset));
        assert_eq!(found, [100, 106, 105, 106, 200, 211].map(Some));
        assert_eq!(Origin::default().place(3), None);
    }
}
