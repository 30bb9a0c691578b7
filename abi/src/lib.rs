//! The contract between compiled code, the compiler that emits it and the loader that runs it.
//!
//! Everything both sides must agree on is defined here once: the context layout ([`vmctx`]), the
//! builtin functions ([`builtin`]), trap kinds ([`trap`]), the artifact's metadata ([`meta`]),
//! symbol names ([`symbol`]), targets ([`target`]), executables ([`exe`]), and how near two names are to each other
//! ([`similar`]). The crate has no dependencies, no unsafe code and
//! no features; it describes bytes, it does not touch memory.
//!
//! A change of any layout, row or number changes [`meta::LAYOUT_HASH`] or must raise
//! [`meta::FORMAT_VERSION`]; the loader refuses artifacts that differ. The prose version of this
//! contract is `docs/abi.md`.
//!
//! Reading order: `target`, `index`, `types`, `trap`, `builtin`, `vmctx`, `symbol`, `meta`, `exe`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod builtin;
pub mod exe;
pub mod index;
pub mod meta;
pub mod similar;
pub mod symbol;
pub mod target;
pub mod trap;
pub mod types;
pub mod vmctx;
