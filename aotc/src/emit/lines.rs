//! Lines of the source: what the DWARF in a module's custom sections says of places in its functions, resolved so that
//! the loader needs to know nothing of DWARF.

use std::collections::HashMap;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use aotc_abi::meta::{Builder, LineFrame, LineFunction, LineWriter};

use crate::parse::WasmModule;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// A module's DWARF.
pub(super) struct Lines<'a> {
    context: Context<Reader<'a>>,
    /// What addresses in it count from: the start of the code section, as an offset in the file.
    code_start: u32,
    /// Names that are in the builder.
    strings: HashMap<String, u32>,
}

impl<'a> Lines<'a> {
    /// The DWARF of `module`; `None` if it has none, or none that can be read: it has no meaning for the module.
    pub(super) fn new(module: &WasmModule<'a>) -> Option<Self> {
        if module.dwarf.is_empty() {
            return None;
        }
        let section = |name: &str| {
            let found = module.dwarf.iter().find(|(known, _)| *known == name);
            EndianSlice::new(found.map_or(&[][..], |(_, bytes)| bytes), LittleEndian)
        };
        let dwarf = Dwarf::load(|id| Ok::<_, addr2line::gimli::Error>(section(id.name()))).ok()?;
        let context = Context::from_dwarf(dwarf).ok()?;
        Some(Self { context, code_start: module.code_start, strings: HashMap::new() })
    }

    /// Appends the lines of a function whose body is at `wasm_offset`, for the places `addresses`, in the file.
    pub(super) fn function(
        &mut self,
        builder: &mut Builder,
        wasm_offset: u32,
        addresses: impl Iterator<Item = u32>,
    ) {
        let start = builder.lines.len() as u32;
        let mut places: Vec<u32> = addresses.filter(|&at| at >= wasm_offset).collect();
        places.sort_unstable();
        places.dedup();
        let mut entries: Vec<(u32, Vec<LineFrame>)> = Vec::new();
        for place in places {
            let frames = self.frames(builder, place).unwrap_or_default();
            let known = entries.last().map_or(&[][..], |(_, frames)| frames);
            if known != frames {
                entries.push((place, frames));
            }
        }
        let mut writer = LineWriter::new(&mut builder.lines, wasm_offset);
        for (place, frames) in &entries {
            writer.entry(*place, frames);
        }
        let bytes = builder.lines.len() as u32 - start;
        builder.line_functions.push(LineFunction { start, bytes });
    }

    /// What is at a place in the file, the innermost frame first; `None` where the DWARF makes no sense.
    fn frames(&mut self, builder: &mut Builder, place: u32) -> Option<Vec<LineFrame>> {
        let address = u64::from(place.checked_sub(self.code_start)?);
        let mut frames = Vec::new();
        let mut found = self.context.find_frames(address).skip_all_loads().ok()?;
        while let Some(frame) = found.next().ok()? {
            let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let name = name.map(|name| string(&mut self.strings, builder, &name));
            let location = frame.location.as_ref();
            let file = location.and_then(|location| location.file);
            let file = file.map(|file| string(&mut self.strings, builder, file));
            let line = location.and_then(|location| location.line).unwrap_or(0);
            let column = location.and_then(|location| location.column).unwrap_or(0);
            frames.push(LineFrame { name, file, line, column });
        }
        Some(frames)
    }
}

/// The index of a name among the line strings.
fn string(strings: &mut HashMap<String, u32>, builder: &mut Builder, text: &str) -> u32 {
    if let Some(&index) = strings.get(text) {
        return index;
    }
    let name = builder.string(text);
    builder.line_strings.push(name);
    let index = builder.line_strings.len() as u32 - 1;
    strings.insert(text.to_owned(), index);
    index
}
