//! What the operators do, a file per family.

mod float;
mod integer;
mod simd;
mod variable;

use wasmparser::Operator;

use super::Translator;
use crate::error::{Error, Result};

impl Translator<'_, '_> {
    /// Translates one operator. `offset` is where it stands in the file.
    pub(super) fn operator(&mut self, operator: &Operator<'_>, offset: u64) -> Result<()> {
        if self.skip_unreachable(operator) {
            return Ok(());
        }
        self.before_operator(operator);
        // A family gives back whether the operator is one of its own.
        let handled = integer::translate(self, operator)
            || self.control_operator(operator)
            || variable::translate(self, operator)
            || float::translate(self, operator)
            || simd::translate(self, operator);
        if !handled {
            return Err(Error::Unsupported { what: format!("instruction {operator:?}"), offset });
        }
        self.after_operator(operator, offset);
        Ok(())
    }
}
