//! Names of symbols and sections.

use alloc::format;
use alloc::string::String;

/// Section that holds an artifact's module data ([`crate::meta`]) in objects and images.
pub const MODULE_DATA_SECTION: &str = ".rodata.aotc";

/// Prefix of the exported symbol at the start of a module's data.
pub const DESCRIPTOR_PREFIX: &str = "aotc_module_";

/// The exported symbol at the start of the module data of the module called `name`.
/// Bytes that a C identifier cannot hold become `_`.
pub fn descriptor_symbol(name: &str) -> String {
    let identifier: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{DESCRIPTOR_PREFIX}{identifier}")
}
