//! The text of an image: all code, with every call resolved.

use cranelift_codegen::control::ControlPlane;

use super::{Parts, internal, too_large};
use crate::error::Result;

/// Code, and where each piece of it starts.
pub(super) struct Text {
    /// Never empty, since a segment must not be.
    pub(super) bytes: Vec<u8>,
    /// Start of each piece of code, in bytes; ascending.
    pub(super) offsets: Vec<u32>,
}

/// Lays out the code in order.
///
/// # Errors
/// An internal error if a relocation would remain: nobody would apply it.
pub(super) fn lay_out(parts: &Parts<'_>) -> Result<Text> {
    let code_bytes: u64 =
        parts.functions.iter().map(|f| f.code.len() as u64 + u64::from(parts.code_align(f))).sum();
    if code_bytes >= 1 << 31 {
        return Err(too_large());
    }
    let mut builder = parts.isa.text_section_builder(parts.functions.len());
    let mut control = ControlPlane::default();
    let mut offsets = Vec::with_capacity(parts.functions.len());
    for (function, symbol) in parts.functions.iter().zip(&parts.symbols) {
        let align = parts.code_align(function);
        let start = builder.append(true, &function.code, align, &mut control);
        if let Some(site) = function.symbols.first() {
            let message = format!("a symbol would remain in the text: {:?}", site.kind);
            return Err(internal(symbol, message));
        }
        for call in &function.calls {
            let target = call.target.0 as usize;
            let at = start + u64::from(call.offset);
            if target >= parts.functions.len()
                || !builder.resolve_reloc(at, call.kind, call.addend, target)
            {
                let message = format!(
                    "a relocation would remain in the text: {:?} at {:#x}",
                    call.kind, call.offset
                );
                return Err(internal(symbol, message));
            }
        }
        offsets.push(start as u32);
    }
    let mut bytes = builder.finish(&mut control);
    if bytes.is_empty() {
        bytes.resize(16, 0);
    }
    Ok(Text { bytes, offsets })
}
