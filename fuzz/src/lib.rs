//! Fuzz bodies: plain functions from bytes to a [`Verdict`], which panic when they find something.
//!
//! ```text
//!   bytes ── generate ── wasm ──┬── compile ──────────── is it accepted, in every style and form?
//!                               ├── differential ──┬── Wasmtime ──┬── Outcome ── are they equal?
//!                               │                  └── aotc ──────┘
//!                               └── compile, damage ──── load: is it refused or read, without a crash?
//!   bytes ──────────────────────── bytes ─────────────── is it refused, without a panic?
//! ```
//!
//! The binary `fuzz` gives them random bytes; a fuzzer that is led by coverage can call the same functions.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod compile;
pub mod differential;
pub mod generate;
pub mod load;
pub mod random;
mod style;

/// What became of an input in which nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was checked.
    Checked,
    /// It could not be checked: it ran out of bytes, or of stack.
    Skipped,
}

/// A fuzz body.
#[derive(Clone, Copy)]
pub struct Body {
    /// What the command line calls it.
    pub name: &'static str,
    /// Checks one input.
    ///
    /// # Panics
    /// If it finds something.
    pub run: fn(&[u8]) -> Verdict,
}

/// Every body.
pub const BODIES: [Body; 4] = [
    Body { name: "compile", run: compile::run },
    Body { name: "differential", run: differential::run },
    Body { name: "load", run: load::run },
    Body { name: "bytes", run: bytes::run },
];
