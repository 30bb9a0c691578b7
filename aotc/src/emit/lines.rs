//! Lines of the source: what the DWARF in a module's custom sections says of places in its functions, resolved so that
//! the loader needs to know nothing of DWARF.

use std::collections::HashMap;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use aotc_abi::meta::{Builder, LineFrame, LineFunction, LineWriter};

use crate::parse::{Source, WasmModule};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// The DWARF of a module's files.
pub(super) struct Lines<'a> {
    /// By file; `None` if it has no DWARF, or none that can be read: it has no meaning for the module.
    files: Vec<Option<FileLines<'a>>>,
    /// Names that are in the builder.
    strings: HashMap<String, u32>,
}

/// A file's DWARF.
struct FileLines<'a> {
    context: Context<Reader<'a>>,
    /// What addresses in it count from: the start of the code section, as an offset in the file.
    code_start: u32,
}

impl<'a> FileLines<'a> {
    fn new(source: &Source<'a>) -> Option<Self> {
        if source.dwarf.is_empty() {
            return None;
        }
        let section = |name: &str| {
            let found = source.dwarf.iter().find(|(known, _)| *known == name);
            EndianSlice::new(found.map_or(&[][..], |(_, bytes)| bytes), LittleEndian)
        };
        let dwarf = Dwarf::load(|id| Ok::<_, addr2line::gimli::Error>(section(id.name()))).ok()?;
        let context = Context::from_dwarf(dwarf).ok()?;
        Some(Self { context, code_start: source.code_start })
    }
}

impl<'a> Lines<'a> {
    /// The DWARF of `module`; `None` if none of its files has any.
    pub(super) fn new(module: &WasmModule<'a>) -> Option<Self> {
        let files: Vec<_> = module.sources.iter().map(FileLines::new).collect();
        let any = files.iter().any(Option::is_some);
        any.then(|| Self { files, strings: HashMap::new() })
    }

    /// Appends the lines of a function of file `source`, whose body is at `wasm_offset` there, for the places
    /// `addresses`, also there.
    pub(super) fn function(
        &mut self,
        builder: &mut Builder,
        source: Option<usize>,
        wasm_offset: u32,
        addresses: impl Iterator<Item = u32>,
    ) {
        let start = builder.lines.len() as u32;
        let mut places: Vec<u32> = addresses.filter(|&at| at >= wasm_offset).collect();
        places.sort_unstable();
        places.dedup();
        let mut entries: Vec<(u32, Vec<LineFrame>)> = Vec::new();
        for place in places {
            let frames = self.frames(builder, source, place).unwrap_or_default();
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
    fn frames(
        &mut self,
        builder: &mut Builder,
        source: Option<usize>,
        place: u32,
    ) -> Option<Vec<LineFrame>> {
        let file = self.files[source?].as_ref()?;
        let address = u64::from(place.checked_sub(file.code_start)?);
        let mut frames = Vec::new();
        let mut found = file.context.find_frames(address).skip_all_loads().ok()?;
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
