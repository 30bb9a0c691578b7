//! Errors of loading and linking. Traps are in [`crate::trap`].

use core::fmt;

use aotc_abi::meta::MetaError;

use crate::prelude::*;
use crate::sys::SysError;
use crate::types::{ExternType, FuncType};

/// Why an artifact cannot be used. The texts say what differs and what to do.
#[derive(Debug)]
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
    /// The operating system refused something.
    #[cfg(feature = "std")]
    Os {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// There is not enough memory.
    #[cfg(not(feature = "std"))]
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
            // The system's answer is the error's source.
            #[cfg(feature = "std")]
            Self::Os { action, .. } => write!(f, "cannot {action}"),
            #[cfg(not(feature = "std"))]
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

/// Why a module cannot be instantiated with these imports.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing is defined under the import's names.
    UnknownImport {
        /// First name.
        module: String,
        /// Second name.
        name: String,
        /// What the module expects.
        expected: ExternType,
    },
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
    /// An import belongs to another store.
    OtherStore,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownImport { module, name, .. } => {
                write!(f, "unknown import: `{module}::{name}` has not been defined")
            }
            Self::IncompatibleImport { module, name, .. } => {
                write!(f, "incompatible import type for `{module}::{name}`")
            }
            Self::ImportCount { expected, found } => {
                write!(f, "expected {expected} imports, found {found}")
            }
            Self::DuplicateDefinition { module, name } => {
                write!(f, "import of `{module}::{name}` defined twice")
            }
            Self::OtherEngine => f.write_str("module and store belong to different engines"),
            Self::OtherStore => f.write_str("an import belongs to another store"),
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
#[derive(Debug)]
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
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { expected, found } if expected.kind() != found.kind() => {
                write!(
                    f,
                    "expected {} `{expected}`, found {} `{found}`",
                    expected.kind(),
                    found.kind()
                )
            }
            Self::Type { expected, found } => {
                write!(f, "expected type `{expected}`, found type `{found}`")
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
