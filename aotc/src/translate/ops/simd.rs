//! 128-bit vectors.

use wasmparser::Operator;

use crate::translate::Translator;

/// Translates `operator` if it is of this family; gives back whether it is.
pub(super) fn translate(_t: &mut Translator<'_, '_>, _operator: &Operator<'_>) -> bool {
    false
}
