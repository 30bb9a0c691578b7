//! Tells what is in an artifact: what it needs, what it offers, where its bytes go.

use std::fmt;

use aotc_abi::meta::{
    Builder, CodeKind, CodeOrder, ExternKind, FORMAT_VERSION, Header, MetaError, ModuleData,
    NO_MAXIMUM, SECTION_COUNT, Section, flags,
};
use aotc_abi::symbol::module_data_section;
use aotc_abi::target::{CPU_FEATURES, CpuFeatures, Interruption, Os};
use aotc_abi::types::ValType;
use object::{BinaryFormat, Object, ObjectKind, ObjectSection};

/// What is in an artifact. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct Inspection {
    /// `object`, `image` or `executable`.
    pub form: &'static str,
    /// Name of the module.
    pub name: String,
    /// What made the artifact.
    pub producer: String,
    /// Version of the module data's format.
    pub format_version: u32,
    /// [`aotc_abi::meta::LAYOUT_HASH`] of the compiler, in hexadecimal.
    pub layout_hash: String,
    /// Architecture and operating system.
    pub target: String,
    /// Processor features that the code may use.
    pub cpu_features: Vec<String>,
    /// How the code traps.
    pub trap_style: &'static str,
    /// How the code keeps memory accesses in bounds.
    pub bounds_style: &'static str,
    /// By what the code can be interrupted: `fuel`, `epochs`.
    pub interruption: Vec<&'static str>,
    /// Guard behind memory that the code relies on.
    pub guard_bytes: u64,
    /// Page size the artifact was laid out for.
    pub page_bytes: u32,
    /// Imports in the order of the module.
    pub imports: Vec<ImportItem>,
    /// Exports in the order of the module.
    pub exports: Vec<ExportItem>,
    /// Code by its kind.
    pub code: Vec<CodeSize>,
    /// Parts of the module data.
    pub module_data: Vec<PartSize>,
    /// Sections of the file; those with the same name are added up.
    pub file: Vec<PartSize>,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct ImportItem {
    /// First name.
    pub module: String,
    /// Second name.
    pub name: String,
    /// Type in the text format.
    #[cfg_attr(feature = "cli", serde(rename = "type"))]
    pub ty: String,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct ExportItem {
    /// Its name.
    pub name: String,
    /// Type in the text format.
    #[cfg_attr(feature = "cli", serde(rename = "type"))]
    pub ty: String,
}

/// How much code of a kind there is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct CodeSize {
    /// What the code is.
    pub kind: &'static str,
    /// Number of pieces.
    pub count: u64,
    /// Their size, without padding.
    pub bytes: u64,
}

/// Size of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
pub struct PartSize {
    /// Name of the part.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

/// Why a file cannot be inspected.
#[derive(Debug)]
#[non_exhaustive]
pub enum InspectError {
    /// The file is not an object or image.
    File(object::Error),
    /// The file has no module data, or none that this version can read.
    ModuleData(MetaError),
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "not an object or image: {error}"),
            Self::ModuleData(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InspectError {}

/// Reads an object, an image, or what was linked from one object. All of the module data is checked.
///
/// # Errors
/// [`InspectError`], never a panic, for whatever bytes.
pub fn inspect(file: &[u8]) -> Result<Inspection, InspectError> {
    let file = object::File::parse(file).map_err(InspectError::File)?;
    let section = file
        .section_by_name(module_data_section(os_of(&file)))
        .ok_or(InspectError::ModuleData(MetaError::NotAnArtifact))?;
    let bytes = section.data().map_err(InspectError::File)?;
    // In an object the code offsets are still 0, so they may lie anywhere, in any order.
    let data = ModuleData::parse(bytes, i64::MIN..i64::MAX, CodeOrder::Linked)
        .map_err(InspectError::ModuleData)?;
    let fixed = &data.header().fixed;
    Ok(Inspection {
        form: match file.kind() {
            ObjectKind::Relocatable => "object",
            // What has an entry is no library.
            ObjectKind::Dynamic if file.entry() == 0 => "image",
            _ => "executable",
        },
        name: data.str(fixed.name).to_owned(),
        producer: data.str(fixed.producer).to_owned(),
        format_version: FORMAT_VERSION,
        layout_hash: format!("{:#018x}", fixed.layout_hash),
        target: data.target().to_string(),
        cpu_features: cpu_features(&data),
        trap_style: data.trap_style().name(),
        bounds_style: data.bounds_style().name(),
        interruption: interruption(&data),
        guard_bytes: fixed.guard_bytes,
        page_bytes: fixed.page_bytes,
        imports: imports(&data),
        exports: exports(&data),
        code: code_sizes(&data),
        module_data: module_data_sizes(&data),
        file: file_sizes(&file),
    })
}

/// The operating system whose files have this format.
fn os_of(file: &object::File<'_>) -> Os {
    match file.format() {
        BinaryFormat::MachO => Os::MacOs,
        BinaryFormat::Coff | BinaryFormat::Pe => Os::Windows,
        _ => Os::Linux,
    }
}

fn interruption(data: &ModuleData<'_>) -> Vec<&'static str> {
    let Interruption { fuel, epochs } = data.interruption();
    [("fuel", fuel), ("epochs", epochs)]
        .iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| *name)
        .collect()
}

/// Names of the features, and numbers of bits that have no name here.
fn cpu_features(data: &ModuleData<'_>) -> Vec<String> {
    let (arch, set) = (data.target().arch, data.header().fixed.cpu_features);
    let named = CPU_FEATURES.iter().filter(|feature| feature.arch == arch);
    let known = named.fold(CpuFeatures::NONE, |set, feature| set.with(feature));
    let names = CpuFeatures(set).iter(arch).map(|feature| feature.name.to_owned());
    let unknown = (0..u64::BITS).filter(|bit| (set & !known.0) >> bit & 1 == 1);
    names.chain(unknown.map(|bit| format!("bit {bit}"))).collect()
}

fn imports(data: &ModuleData<'_>) -> Vec<ImportItem> {
    let item = |import: aotc_abi::meta::Import| ImportItem {
        module: data.str(import.module).to_owned(),
        name: data.str(import.name).to_owned(),
        ty: extern_type(data, import.kind, import.index),
    };
    data.imports().iter().map(item).collect()
}

fn exports(data: &ModuleData<'_>) -> Vec<ExportItem> {
    let item = |export: aotc_abi::meta::Export| ExportItem {
        name: data.str(export.name).to_owned(),
        ty: extern_type(data, export.kind, export.index),
    };
    data.exports().iter().map(item).collect()
}

/// The type of an item in the text format.
fn extern_type(data: &ModuleData<'_>, kind: u32, index: u32) -> String {
    match ExternKind::from_u32(kind).expect("checked kind") {
        ExternKind::Func => {
            let ty = data.types().at(data.functions().at(index).ty);
            let params = val_types("param", data.params(&ty));
            format!("(func{params}{})", val_types("result", data.results(&ty)))
        }
        ExternKind::Table => {
            let table = data.tables().at(index);
            format!("(table {} {})", limits(table.min, table.max), val_type(table.element))
        }
        ExternKind::Memory => {
            let memory = data.memories().at(index);
            format!("(memory {})", limits(memory.min, memory.max))
        }
        ExternKind::Global => {
            let global = data.globals().at(index);
            match global.flags & flags::MUTABLE {
                0 => format!("(global {})", val_type(global.ty)),
                _ => format!("(global (mut {}))", val_type(global.ty)),
            }
        }
    }
}

fn val_types(word: &str, types: impl ExactSizeIterator<Item = ValType>) -> String {
    if types.len() == 0 {
        return String::new();
    }
    let names: Vec<_> = types.map(|ty| ty.to_string()).collect();
    format!(" ({word} {})", names.join(" "))
}

fn val_type(number: u32) -> ValType {
    u8::try_from(number).ok().and_then(ValType::from_u8).expect("checked value type")
}

fn limits(min: u64, max: u64) -> String {
    if max == NO_MAXIMUM { min.to_string() } else { format!("{min} {max}") }
}

const CODE_KINDS: [(CodeKind, &str); 8] = [
    (CodeKind::Function, "functions"),
    (CodeKind::Entry, "entry trampolines"),
    (CodeKind::DirectEntry, "direct entry trampolines"),
    (CodeKind::Exit, "exit trampolines"),
    (CodeKind::Builtin, "builtin trampolines"),
    (CodeKind::Thunk, "thunks of imports"),
    (CodeKind::StartUp, "start-up routine"),
    (CodeKind::BoundType, "types of bound functions"),
];

fn code_sizes(data: &ModuleData<'_>) -> Vec<CodeSize> {
    let size = |(code_kind, kind)| {
        let ranges = data.code_ranges().iter().filter(|range| range.kind == code_kind as u32);
        let (count, bytes) = ranges
            .filter(|range| range.bytes > 0)
            .fold((0, 0), |(count, bytes), range| (count + 1, bytes + u64::from(range.bytes)));
        CodeSize { kind, count, bytes }
    };
    CODE_KINDS.map(size).into_iter().filter(|size| size.count != 0).collect()
}

/// All but [`Section::CodeSites`], of which the parts are told.
const SECTIONS: [(Section, &str); SECTION_COUNT - 1] = [
    (Section::Types, "types"),
    (Section::ValTypes, "value types"),
    (Section::Imports, "imports"),
    (Section::Exports, "exports"),
    (Section::ExportOrder, "export order"),
    (Section::Functions, "functions"),
    (Section::Tables, "tables"),
    (Section::Memories, "memories"),
    (Section::Globals, "globals"),
    (Section::DataSegments, "data segments"),
    (Section::ElemSegments, "element segments"),
    (Section::ElemItems, "element segment items"),
    (Section::FunctionImports, "imported functions"),
    (Section::FunctionCodes, "function code"),
    (Section::FunctionExtents, "function extents"),
    (Section::OtherCodes, "other code"),
    (Section::LineFunctions, "functions with lines"),
    (Section::Lines, "lines"),
    (Section::LineStrings, "names in lines"),
    (Section::Bound, "bound functions"),
    (Section::Strings, "strings"),
];

fn module_data_sizes(data: &ModuleData<'_>) -> Vec<PartSize> {
    let header = data.header();
    let (fixed, first) = (&header.fixed, header.sections[Section::Types as usize].offset);
    let constant_bytes = u64::from(first.saturating_sub(Builder::DATA_START));
    let sections = SECTIONS.map(|(section, name)| (name, data.section_size_bytes(section) as u64));
    let mut parts = vec![("header", Header::BYTES as u64)];
    parts.push(("constant tables and segments", constant_bytes));
    parts.extend(sections);
    let (address_map, traps) = data.sites_bytes();
    let sites = data.section_size_bytes(Section::CodeSites);
    parts.push(("trap sites", traps as u64));
    parts.push(("address map", address_map as u64));
    parts.push(("heads of both", (sites - traps - address_map) as u64));
    parts.push(("initial context", fixed.vmctx_bytes.into()));
    parts.push(("initial memory", fixed.image_bytes - u64::from(fixed.vmctx_bytes)));
    parts.retain(|part| part.1 != 0);
    parts.into_iter().map(|(name, bytes)| PartSize { name: name.to_owned(), bytes }).collect()
}

fn file_sizes(file: &object::File<'_>) -> Vec<PartSize> {
    let mut sizes: Vec<PartSize> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for section in file.sections() {
        let name = String::from_utf8_lossy(section.name_bytes().unwrap_or_default()).into_owned();
        let place = *places.entry(name.clone()).or_insert(sizes.len());
        if place == sizes.len() {
            sizes.push(PartSize { name, bytes: 0 });
        }
        sizes[place].bytes = sizes[place].bytes.saturating_add(section.size());
    }
    sizes
}

#[cfg(feature = "cli")]
impl Inspection {
    /// The inspection as a JSON object with the names of the fields.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, numbers and lists are JSON")
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} `{}` for {}, made by {}",
            self.form, self.name, self.target, self.producer
        )?;
        let features = self.cpu_features.join(" ");
        let features = if features.is_empty() { "none" } else { &features };
        writeln!(f, "  CPU features  {features}")?;
        writeln!(f, "  traps         {}", self.trap_style)?;
        writeln!(f, "  bounds        {}, {} bytes of guard", self.bounds_style, self.guard_bytes)?;
        if !self.interruption.is_empty() {
            writeln!(f, "  interruption  {}", self.interruption.join(" "))?;
        }
        writeln!(f, "  page          {} bytes", self.page_bytes)?;
        writeln!(f, "  format        {}, layout {}", self.format_version, self.layout_hash)?;
        writeln!(f, "imports")?;
        for import in &self.imports {
            writeln!(f, "  {:?} {:?} {}", import.module, import.name, import.ty)?;
        }
        writeln!(f, "exports")?;
        for export in &self.exports {
            writeln!(f, "  {:?} {}", export.name, export.ty)?;
        }
        writeln!(f, "code")?;
        for size in &self.code {
            writeln!(f, "  {:<30} {:>12} bytes in {}", size.kind, size.bytes, size.count)?;
        }
        for (title, sizes) in [("module data", &self.module_data), ("file", &self.file)] {
            writeln!(f, "{title}")?;
            for size in sizes {
                writeln!(f, "  {:<30} {:>12} bytes", size.name, size.bytes)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::tests::Sample;

    #[test]
    fn image_and_object_say_the_same() {
        let sample = Sample::new();
        let image = inspect(&sample.image().unwrap()).unwrap();
        let object = inspect(&sample.object().unwrap()).unwrap();
        assert_eq!((image.form, object.form), ("image", "object"));
        assert_eq!(image.imports, object.imports);
        assert_eq!(image.module_data, object.module_data);
        assert_eq!(image.code, object.code);
        assert_eq!(image.imports[0].ty, "(func (param i32) (result i32))");
        assert_eq!(image.cpu_features.last().unwrap(), "lzcnt");
        let text = image.to_string();
        assert!(text.contains("\n  \"run\" (func (param i32) (result i32))\n"), "{text}");
    }

    #[test]
    fn objects_of_every_format_say_the_same() {
        for target in crate::TARGETS {
            let cpu = crate::Cpu::baseline(target.arch);
            let options = crate::Options { target, cpu, ..crate::Options::default() };
            let module = b"(module $m (memory 1 2) (func (export \"run\")))";
            let object = crate::compile(module, crate::Emit::Object, &options).unwrap();
            let object = inspect(&object).unwrap();
            assert_eq!((object.form, object.target), ("object", target.to_string()));
            assert_eq!(object.exports[0].ty, "(func)");
            assert!(object.file.iter().any(|part| part.name.contains("aotc")), "{:?}", object.file);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let image = Sample::new().image().unwrap();
        for length in 0..image.len() {
            let _ = inspect(&image[..length]);
        }
        for at in 0..image.len() {
            for pattern in [1, 0x80, 0xff] {
                let mut damaged = image.clone();
                damaged[at] ^= pattern;
                let _ = inspect(&damaged).map(|inspection| inspection.to_string());
            }
        }
        let other = inspect(b"\x7fELF").unwrap_err().to_string();
        assert!(other.starts_with("not an object or image"), "{other}");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn json_has_the_fields() {
        let image = inspect(&Sample::new().image().unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&image.to_json()).unwrap();
        assert_eq!(json["exports"][0]["type"], "(func (param i32) (result i32))");
        assert_eq!(json["form"], "image");
    }
}
