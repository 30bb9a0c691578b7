//! Names of symbols and sections.

use alloc::format;
use alloc::string::String;

/// Section that holds an artifact's module data ([`crate::meta`]) in objects and images.
pub const MODULE_DATA_SECTION: &str = ".rodata.aotc";

/// Owner of the note that leads to an image's module data.
pub const NOTE_NAME: &str = "aotc";

/// Type of that note. Its description is two 64-bit numbers: address and size of the module data.
pub const NOTE_TYPE: u32 = 1;

/// Prefix of the exported symbol at the start of a module's data.
pub const DESCRIPTOR_PREFIX: &str = "aotc_module_";

/// The exported symbol at the start of the module data of the module called `name`.
/// Bytes that a C identifier cannot hold become `_`.
pub fn descriptor_symbol(name: &str) -> String {
    let identifier: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{DESCRIPTOR_PREFIX}{identifier}")
}
