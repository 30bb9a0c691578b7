//! Names of symbols and sections.

use alloc::format;
use alloc::string::String;

use crate::target::Os;

/// Section that holds an artifact's module data ([`crate::meta`]) in ELF objects and in images.
pub const MODULE_DATA_SECTION: &str = ".rodata.aotc";

/// Segment of [`module_data_section`] in Mach-O objects.
pub const MODULE_DATA_SEGMENT: &str = "__TEXT";

/// Section that holds an artifact's module data in objects for `os`. Linkers of ELF and COFF put it with other constants;
/// in Mach-O, where it is in [`MODULE_DATA_SEGMENT`], it stays a section of its own.
pub const fn module_data_section(os: Os) -> &'static str {
    match os {
        Os::Linux => MODULE_DATA_SECTION,
        Os::MacOs => "__aotc",
        Os::Windows => ".rdata$aotc",
    }
}

/// Owner of the note that leads to an image's module data.
pub const NOTE_NAME: &str = "aotc";

/// Type of that note. Its description is two 64-bit numbers: address and size of the module data.
pub const NOTE_TYPE: u32 = 1;

/// Prefix of the exported symbol at the start of a module's data.
pub const DESCRIPTOR_PREFIX: &str = "aotc_module_";

/// Prefix of the symbol whose value is the type of a function that imports can be bound to: `aotc_type_<function>`.
pub const BOUND_TYPE_PREFIX: &str = "aotc_type_";

/// The exported symbol at the start of the module data of the module called `name`, as C calls it: in Mach-O files an
/// underscore stands before it. Bytes that a C identifier cannot hold become `_`.
pub fn descriptor_symbol(name: &str) -> String {
    let identifier: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{DESCRIPTOR_PREFIX}{identifier}")
}
