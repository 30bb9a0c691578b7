//! What can go wrong in a compilation, and whose fault it is.

use std::fmt;

use crate::text::TextError;

/// Why a module was not compiled.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a module, or not a valid one; the message shows the line.
    Text(TextError),
    /// The bytes are not a valid module.
    Invalid {
        /// What is wrong.
        message: String,
        /// Offset in the module, in bytes.
        offset: u64,
    },
    /// The module is valid but needs something that is not supported.
    Unsupported {
        /// What.
        what: String,
        /// Offset in the module, in bytes.
        offset: u64,
    },
    /// The module exceeds a limit of this implementation.
    Limit(String),
    /// The options do not fit together or name something unknown.
    Options(String),
    /// Modules that are to become one do not fit together.
    Link {
        /// What does not fit.
        message: String,
        /// Offset in the module that imports, in bytes.
        offset: u64,
    },
    /// What is wrong with one of several modules.
    In {
        /// What the file is called.
        file: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// A bug of this compiler.
    Internal {
        /// Which function was compiled.
        function: String,
        /// What the code generator says.
        message: String,
    },
}

impl Error {
    /// The kind of the error, as a word that does not change.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Invalid { .. } => "invalid",
            Self::Unsupported { .. } => "unsupported",
            Self::Limit(_) => "limit",
            Self::Options(_) => "options",
            Self::Link { .. } => "link",
            Self::In { error, .. } => error.kind(),
            Self::Internal { .. } => "internal",
        }
    }

    /// Where in the module it is, in bytes, if it is of a place in the binary format.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Invalid { offset, .. }
            | Self::Unsupported { offset, .. }
            | Self::Link { offset, .. } => Some(*offset),
            Self::In { error, .. } => error.offset(),
            Self::Text(_) | Self::Limit(_) | Self::Options(_) | Self::Internal { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(error) => error.fmt(f),
            Self::Invalid { message, offset } => {
                write!(f, "invalid WebAssembly: {message} (at offset {offset:#x})")
            }
            Self::Unsupported { what, offset } => {
                write!(f, "unsupported: {what} (at offset {offset:#x})")
            }
            Self::Limit(what) => write!(f, "implementation limit exceeded: {what}"),
            Self::Options(message) => f.write_str(message),
            Self::Link { message, offset } => write!(f, "{message} (at offset {offset:#x})"),
            Self::In { file, error } => write!(f, "{file}: {error}"),
            Self::Internal { function, message } => {
                write!(
                    f,
                    "internal error while compiling {function} (this is a bug of aotc): {message}"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<wasmparser::BinaryReaderError> for Error {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid { message: error.message().to_owned(), offset: error.offset() }
    }
}

/// A result with this crate's [`Error`].
pub(crate) type Result<T> = std::result::Result<T, Error>;
