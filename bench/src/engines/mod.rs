//! What is measured, and the two that do it.

#![allow(clippy::duplicate_mod, reason = "`shared.rs` is compiled against both engines")]

pub(crate) mod aotc;
pub(crate) mod wasmtime;

use std::num::NonZero;
use std::path::Path;

use anyhow::Result;

use crate::programs::Run;

/// Work that can be repeated: `work(times)` does it that often.
pub(crate) type Work<'a> = Box<dyn FnMut(u64) -> Result<()> + 'a>;

/// What an instance does before it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing.
    None,
    /// Its export `touch` is called.
    Touch,
}

/// An engine. All but `name`, `compile` and the ways to load is `shared.rs`, the same source for both.
pub(crate) trait Contender {
    /// Name, and extension of its artifacts.
    fn name(&self) -> &'static str;

    /// Compiles a module in the binary format, with all processors if `threads` is none.
    fn compile(&self, wasm: &[u8], threads: Option<NonZero<usize>>) -> Result<Vec<u8>>;

    /// Loads an artifact from a file, and drops it.
    fn load<'a>(&'a self, artifact: &Path) -> Work<'a>;

    /// Makes a store and an instance, uses it, and drops both; so many threads do it at once, each as often.
    fn instantiate<'a>(
        &'a self,
        artifact: &Path,
        used: Use,
        threads: NonZero<usize>,
    ) -> Result<Work<'a>>;

    /// Calls `add` through a typed function.
    fn typed_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>>;

    /// Calls `add` through an untyped function.
    fn untyped_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>>;

    /// Calls `add` through a typed function on a stack of its own, where it does not wait.
    fn async_call<'a>(&'a self, artifact: &Path) -> Result<Work<'a>>;

    /// Calls `export` once, with the number of times as the argument.
    fn counted_call<'a>(&'a self, artifact: &Path, export: &'static str) -> Result<Work<'a>>;

    /// Calls `unreachable`, which traps, and drops the error.
    fn trap<'a>(&'a self, artifact: &Path) -> Result<Work<'a>>;

    /// Instantiates a program and calls `_start`.
    fn program<'a>(&'a self, artifact: &Path, run: &'a Run) -> Result<Work<'a>>;

    /// Runs a program once, and gives what it wrote to standard output.
    fn program_output(&self, artifact: &Path, run: &Run) -> Result<Vec<u8>>;
}
