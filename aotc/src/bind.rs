//! Imports that are bound to C functions: the artifact calls a symbol that the linker resolves.
//!
//! ```text
//!   (import "host" "log" (func (param i32)))      --bind host.log=my_log
//!
//!   function --wasm call--> `host::log` --C call--> my_log          one undefined symbol, no import of the artifact any more
//!   loader   --at load----> type of my_log --GOT--> aotc_type_my_log    a weak symbol: what the host says its function is
//! ```
//!
//! In the module that is compiled, a bound import is a function that the module defines, with a body of our making
//! (`translate/bound.rs`). So it is exported, referenced and called like any other function of the module.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use aotc_abi::index::DefinedFuncIndex;
use aotc_abi::types::ValType;

pub use aotc_abi::meta::BindStyle;

use crate::Emit;
use crate::error::{Error, Result};
use crate::parse::FuncType;

/// An import that is to be bound to a symbol.
///
/// As text it is `MODULE.NAME=SYMBOL`, with `:caller` behind it for [`BindStyle::WithCaller`]; the first dot ends the
/// module's name.
///
/// ```
/// use aotc::{BindStyle, Binding};
///
/// let binding: Binding = "host.log=my_log:caller".parse()?;
/// assert_eq!((&*binding.module, &*binding.name, &*binding.symbol), ("host", "log", "my_log"));
/// assert_eq!(binding.style, BindStyle::WithCaller);
/// # Ok::<(), aotc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The import's first name.
    pub module: String,
    /// The import's second name.
    pub name: String,
    /// The symbol of the function, as C knows it.
    pub symbol: String,
    /// What the function is called with.
    pub style: BindStyle,
}

impl FromStr for Binding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || {
            Error::Options(format!(
                "expected MODULE.NAME=SYMBOL or MODULE.NAME=SYMBOL:caller, found `{text}`"
            ))
        };
        let (names, symbol) = text.rsplit_once('=').ok_or_else(expected)?;
        let (module, name) = names.split_once('.').ok_or_else(expected)?;
        let (symbol, style) = match symbol.rsplit_once(':') {
            Some((symbol, "caller")) => (symbol, BindStyle::WithCaller),
            Some(_) => return Err(expected()),
            None => (symbol, BindStyle::Plain),
        };
        let binding = Self {
            module: module.to_owned(),
            name: name.to_owned(),
            symbol: symbol.to_owned(),
            style,
        };
        binding.check()?;
        Ok(binding)
    }
}

impl Binding {
    /// Reads a list: a binding in each line, but for empty ones and those that start with `#`.
    ///
    /// # Errors
    /// [`Error::Options`] with the number of the line that is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(number, line)| {
                line.parse::<Self>()
                    .map_err(|error| Error::Options(format!("line {}: {error}", number + 1)))
            })
            .collect()
    }

    /// Reads the list in a file.
    ///
    /// # Errors
    /// [`Error::Options`]: the file cannot be read, or a line of it is no binding.
    pub fn read_list(path: &Path) -> Result<Vec<Self>> {
        let named =
            |error: &dyn std::fmt::Display| Error::Options(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        Self::parse_list(&text).map_err(|error| named(&error))
    }

    /// Whether the symbol can be one.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts = self.symbol.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if starts && self.symbol.bytes().all(fits) {
            return Ok(());
        }
        Err(Error::Options(format!("`{}` cannot be the name of a C function", self.symbol)))
    }
}

/// A bound import, as a function of the module.
#[derive(Clone, Debug)]
pub(crate) struct BoundFunction {
    pub(crate) binding: Binding,
    /// Which of the module's functions it is.
    pub(crate) function: DefinedFuncIndex,
}

/// A symbol that a linker resolves.
pub(crate) struct ExternalSymbol {
    pub(crate) name: String,
    pub(crate) kind: ExternalKind,
}

/// What a symbol is that of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExternalKind {
    /// A C function, which must be defined.
    Function,
    /// The recorded type of one, which may be absent.
    Type,
}

/// The symbols of bound functions: for each the function and its type.
pub(crate) fn symbols(bound: &[BoundFunction]) -> Vec<ExternalSymbol> {
    let of_one = |BoundFunction { binding, .. }: &BoundFunction| {
        let function =
            ExternalSymbol { name: binding.symbol.clone(), kind: ExternalKind::Function };
        let ty = ExternalSymbol { name: type_symbol(&binding.symbol), kind: ExternalKind::Type };
        [function, ty]
    };
    bound.iter().flat_map(of_one).collect()
}

/// The symbol whose value is the type of the function `symbol`, as the host recorded it.
fn type_symbol(symbol: &str) -> String {
    format!("{}{symbol}", aotc_abi::symbol::BOUND_TYPE_PREFIX)
}

/// Whether artifacts of the kinds `emits` can lead to symbols.
///
/// # Errors
/// [`Error::Options`].
pub(crate) fn check_emits(emits: &[Emit]) -> Result<()> {
    if emits.contains(&Emit::Image) {
        return Err(Error::Options(
            "an image has no relocations: functions can only be bound in objects and static libraries (--emit obj, --emit archive)"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether a C function can have this type.
pub(crate) fn has_prototype(ty: &FuncType) -> bool {
    let is_number =
        |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
    ty.results.len() <= 1 && ty.params.iter().chain(&ty.results).all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let list = "# host functions\n\n  env.sin=sin\nenv.a.b=c:caller\n";
        let bindings = Binding::parse_list(list).unwrap();
        let [sin, c] = &bindings[..] else { panic!("{bindings:?}") };
        assert_eq!((&*sin.module, &*sin.name, &*sin.symbol), ("env", "sin", "sin"));
        assert_eq!((&*c.name, c.style), ("a.b", BindStyle::WithCaller));
        let error = Binding::parse_list("env.sin=sin\nenv.cos").unwrap_err().to_string();
        assert!(error.starts_with("line 2: expected MODULE.NAME=SYMBOL"), "{error}");
    }

    #[test]
    fn symbols() {
        for text in ["a.b=", "a.b=x y", "a.b=x.y", "a.b=2x", "a.b=x\0", "a.b=x:calls", "ab=x"] {
            assert!(text.parse::<Binding>().is_err(), "{text:?}");
        }
        assert!("=.b=x".parse::<Binding>().is_ok(), "a module's name may be anything");
    }
}
