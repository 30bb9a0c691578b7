//! Errors of loading and linking. Traps are in [`crate::trap`].

use core::fmt;

use aotc_abi::meta::{BindStyle, MetaError};

use crate::prelude::*;
use crate::sys::SysError;
use crate::types::{ExternType, FuncType, GlobalType, Mutability};

/// Why an artifact cannot be used. The texts say what differs and what to do.
#[cfg_attr(feature = "std", derive(Debug))]
#[non_exhaustive]
pub enum LoadError {
    /// The file is not an image that this loader maps.
    Image {
        /// What is wrong with it.
        what: String,
    },
    /// The module data is not what it should be.
    Meta(MetaError),
    /// Compiled for another target.
    Target {
        /// What the artifact is for.
        found: String,
        /// What this program runs on.
        expected: String,
    },
    /// The processor lacks features that the code uses.
    CpuFeatures {
        /// Names of the missing features.
        missing: Vec<String>,
    },
    /// The engine interrupts code in a way that this code does not allow: it could run forever.
    Uninterruptible {
        /// The setting of the engine, which is on.
        setting: &'static str,
        /// The option with which the artifact was not compiled.
        option: &'static str,
    },
    /// The host's pages are larger than those the artifact was laid out for.
    PageSize {
        /// The artifact's, in bytes.
        found_bytes: u64,
        /// The host's, in bytes.
        host_bytes: u64,
    },
    /// Two different function types have the same 64-bit identity.
    TypeHashCollision {
        /// The type that was there.
        known: FuncType,
        /// The type that came.
        found: FuncType,
    },
    /// The artifact needs what this build of the loader does not have.
    Absent {
        /// What is absent.
        what: &'static str,
        /// The option of `aotc compile` that does without.
        option: &'static str,
    },
    /// The module does not fit the places of the engine's pool.
    #[cfg(feature = "std")]
    Pool {
        /// What exceeds which limit.
        what: String,
    },
    /// The operating system refused something.
    #[cfg(feature = "std")]
    Os {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// The allocator has no memory for what a module needs. The system's answer that it has none is `LoadError::Os`;
    /// [`LoadError::is_out_of_memory`] is true of both.
    OutOfMemory {
        /// What was tried.
        action: &'static str,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { what } => write!(f, "not an image that can be mapped: {what}"),
            Self::Meta(error) => error.fmt(f),
            Self::Target { found, expected } => write!(
                f,
                "artifact was compiled for {found}, this program runs on {expected}; compile the module with --target {expected}"
            ),
            Self::CpuFeatures { missing } => write!(
                f,
                "artifact needs processor features that are missing here: {}; compile the module without them (--cpu)",
                missing.join(", ")
            ),
            Self::Uninterruptible { setting, option } => write!(
                f,
                "artifact was compiled without {option}, the engine has `Config::{setting}(true)`; compile the module with {option}, or set `Config::{setting}(false)`"
            ),
            Self::PageSize { found_bytes, host_bytes } => write!(
                f,
                "artifact was laid out for pages of {found_bytes} bytes, the host has pages of {host_bytes} bytes"
            ),
            Self::TypeHashCollision { known, found } => {
                write!(f, "function types {known} and {found} have the same hash")
            }
            Self::Absent { what, option } => write!(
                f,
                "artifact needs {what}, which this build of the loader lacks; compile the module with {option}"
            ),
            #[cfg(feature = "std")]
            Self::Pool { what } => f.write_str(what),
            // The system's answer is the error's source.
            #[cfg(feature = "std")]
            Self::Os { action, .. } => write!(f, "cannot {action}"),
            Self::OutOfMemory { action } => write!(f, "cannot {action}: out of memory"),
        }
    }
}

impl core::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "std")]
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl LoadError {
    /// Whether memory, or addresses, ran out: the same may succeed when some was given back.
    ///
    /// ```
    /// use aotc_loader::{Engine, LoadError, Module};
    ///
    /// # let image: &[u8] = &[];
    /// if let Err(error) = Module::from_bytes(&Engine::default(), image)
    ///     && error.downcast_ref::<LoadError>().is_some_and(LoadError::is_out_of_memory)
    /// {
    ///     println!("try again later");
    /// }
    /// ```
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::OutOfMemory { .. } => true,
            #[cfg(feature = "std")]
            Self::Os { source, .. } => source.kind() == std::io::ErrorKind::OutOfMemory,
            _ => false,
        }
    }

    pub(crate) fn image(what: impl Into<String>) -> Self {
        Self::Image { what: what.into() }
    }

    /// What the platform refused.
    #[cfg(feature = "std")]
    pub(crate) fn os(action: &'static str) -> impl FnOnce(SysError) -> Self {
        move |source| Self::Os { action, source }
    }

    /// What the platform refused.
    #[cfg(not(feature = "std"))]
    pub(crate) fn os(action: &'static str) -> impl FnOnce(SysError) -> Self {
        move |SysError| Self::OutOfMemory { action }
    }
}

impl From<MetaError> for LoadError {
    fn from(error: MetaError) -> Self {
        Self::Meta(error)
    }
}

/// Nothing is defined under the names of an import. The text tells of names that may have been meant.
#[derive(Clone)]
#[cfg_attr(feature = "std", derive(Debug))]
pub struct UnknownImportError {
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) ty: ExternType,
    pub(crate) hint: Hint,
}

/// What there is in place of what was looked for.
#[derive(Clone)]
#[cfg_attr(feature = "std", derive(Debug))]
pub(crate) enum Hint {
    /// Pairs of names that may have been meant, the likeliest first; at least one.
    Near(Vec<(String, String)>),
    /// The module name is right; these are some of the names in it.
    Module {
        /// Some.
        names: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// The module name is not known; these are some that are.
    NoModule {
        /// Some.
        modules: Vec<String>,
        /// How many more there are.
        more: usize,
    },
}

impl UnknownImportError {
    /// The import's first name.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The import's second name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the module expects.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }

    /// Defined pairs of names that may have been meant, the likeliest first.
    pub fn similar(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let pairs = match &self.hint {
            Hint::Near(pairs) => &pairs[..],
            Hint::Module { .. } | Hint::NoModule { .. } => &[],
        };
        pairs.iter().map(|(module, name)| (&**module, &**name))
    }
}

impl fmt::Display for UnknownImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, name, .. } = self;
        write!(f, "unknown import: `{module}::{name}` has not been defined")?;
        let listed = |names: &[String], more: usize| {
            let mut list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            list.extend((more > 0).then(|| format!("{more} more")));
            list.join(", ")
        };
        match &self.hint {
            Hint::Near(pairs) => {
                let pairs = pairs.iter().map(|(module, name)| format!("`{module}::{name}`"));
                write!(f, "; did you mean {}?", pairs.collect::<Vec<_>>().join(" or "))
            }
            Hint::Module { names, more } => {
                write!(f, "; module `{module}` has: {}", listed(names, *more))
            }
            Hint::NoModule { modules, .. } if modules.is_empty() => {
                f.write_str("; nothing is defined")
            }
            Hint::NoModule { modules, more } => {
                write!(f, "; there is no module `{module}`, but these: {}", listed(modules, *more))
            }
        }
    }
}

impl core::error::Error for UnknownImportError {}

/// Why a module cannot be instantiated with these imports. What is not defined at all is an
/// [`UnknownImportError`].
#[cfg_attr(feature = "std", derive(Debug))]
#[non_exhaustive]
pub enum LinkError {
    /// What is defined has another type. The error's source says how it differs.
    IncompatibleImport {
        /// First name.
        module: String,
        /// Second name.
        name: String,
        /// How it differs.
        mismatch: TypeMismatch,
    },
    /// Not as many imports as the module has.
    ImportCount {
        /// The module's number of imports.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// The names are taken, and shadowing is not allowed.
    DuplicateDefinition {
        /// First name.
        module: String,
        /// Second name.
        name: String,
    },
    /// Module and store belong to different engines.
    OtherEngine,
    /// What is given to an import belongs to another store.
    OtherStore {
        /// First name.
        module: String,
        /// Second name.
        name: String,
    },
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncompatibleImport { module, name, .. } => {
                write!(f, "incompatible import type for `{module}::{name}`")
            }
            Self::ImportCount { expected, found } => {
                write!(f, "expected {expected} imports, found {found}")
            }
            Self::DuplicateDefinition { module, name } => {
                write!(f, "import of `{module}::{name}` defined twice")
            }
            Self::OtherEngine => f.write_str(
                "cross-engine instantiation is not supported: module and store, or linker, belong to different engines",
            ),
            Self::OtherStore { module, name } => write!(
                f,
                "cross-store instantiation is not supported: what is given to `{module}::{name}` belongs to another store"
            ),
        }
    }
}

impl core::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::IncompatibleImport { mismatch, .. } => Some(mismatch),
            _ => None,
        }
    }
}

/// How what was given differs from what a module expects.
#[cfg_attr(feature = "std", derive(Debug))]
#[non_exhaustive]
pub enum TypeMismatch {
    /// Another kind or type.
    Type {
        /// What the module expects.
        expected: ExternType,
        /// What was given.
        found: ExternType,
    },
    /// The module's code relies on reserved addresses round the memory, which this memory lacks.
    MemoryNotReserved {
        /// Bytes of guard that the code relies on.
        expected_guard_bytes: u64,
        /// Bytes there are; `None` if no addresses are reserved.
        found_guard_bytes: Option<u64>,
    },
    /// The import is bound to a C function that is called in another way.
    BoundFunction {
        /// The function.
        symbol: String,
        /// What it is called with.
        expected: BindStyle,
        /// What the host has recorded of it.
        found: String,
    },
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { expected, found } => describe(expected, found, f),
            Self::BoundFunction { symbol, expected, found } => {
                let expected = match expected {
                    BindStyle::Plain => "without its caller",
                    BindStyle::WithCaller => "with its caller",
                };
                write!(f, "`{symbol}` is called {expected}, the host recorded `{found}`")
            }
            Self::MemoryNotReserved { expected_guard_bytes, found_guard_bytes } => {
                write!(
                    f,
                    "expected a memory with 4 GiB reserved and a guard of {expected_guard_bytes} bytes, found "
                )?;
                match found_guard_bytes {
                    Some(bytes) => write!(f, "a guard of {bytes} bytes")?,
                    None => f.write_str("one without reserved addresses")?,
                }
                f.write_str("; compile the module with --bounds explicit")
            }
        }
    }
}

impl core::error::Error for TypeMismatch {}

/// Without `std`, errors print for debugging as they do for people: fields and their names are code that a small program can do
/// without.
#[cfg(not(feature = "std"))]
mod small {
    use super::*;

    macro_rules! debug_as_display {
        ($($error:ty)*) => {$(
            impl fmt::Debug for $error {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )*};
    }

    debug_as_display!(LoadError UnknownImportError LinkError TypeMismatch);
}

/// Says how two types differ.
fn describe(expected: &ExternType, found: &ExternType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let content = |kind, expected: &dyn fmt::Display, found: &dyn fmt::Display| {
        format!(
            "{kind} types incompatible: expected {kind} of type `{expected}`, found {kind} of type `{found}`"
        )
    };
    let limits = |kind, expected: (u64, Option<u64>), found: (u64, Option<u64>)| {
        format!(
            "{kind} types incompatible: expected {kind} limits ({}), found {kind} limits ({})",
            Limits(expected),
            Limits(found)
        )
    };
    let text = match (expected, found) {
        (ExternType::Func(expected), ExternType::Func(found)) => {
            format!("types incompatible: expected type `{expected}`, found type `{found}`")
        }
        (ExternType::Global(expected), ExternType::Global(found)) => {
            if expected.content() != found.content() {
                content("global", expected.content(), found.content())
            } else {
                let word = |ty: &GlobalType| match ty.mutability() {
                    Mutability::Const => "immutable",
                    Mutability::Var => "mutable",
                };
                format!(
                    "global types incompatible: expected {} global, found {} global",
                    word(expected),
                    word(found)
                )
            }
        }
        (ExternType::Table(expected), ExternType::Table(found)) => {
            if expected.element() != found.element() {
                content("table", expected.element(), found.element())
            } else {
                limits(
                    "table",
                    (expected.minimum(), expected.maximum()),
                    (found.minimum(), found.maximum()),
                )
            }
        }
        (ExternType::Memory(expected), ExternType::Memory(found)) => limits(
            "memory",
            (expected.minimum(), expected.maximum()),
            (found.minimum(), found.maximum()),
        ),
        (expected, found) => {
            format!("expected {} `{expected}`, found {} `{found}`", expected.kind(), found.kind())
        }
    };
    f.write_str(&text)
}

/// Minimum and maximum of a table or memory; the minimum of what was found is its current size.
struct Limits((u64, Option<u64>));

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (min, Some(max)) => write!(f, "min: {min}, max: {max}"),
            (min, None) => write!(f, "min: {min}, max: none"),
        }
    }
}
