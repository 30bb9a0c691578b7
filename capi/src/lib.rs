//! The C API of the loader: the standard `wasm.h`, and `aotc.h` with what that lacks. `include/*.h` documents the
//! functions; here are their definitions, in a file for each thing.
//!
//! ```text
//!   wasm_func_t, wasm_memory_t, wasm_extern_t, ...   one struct: an Object of a kind, with a handle of its store
//!        |                                           (object.rs)
//!        '--- Arc<StoreCell> ── Store<Data>          kept until the store and all its objects are deleted (store.rs)
//!   wasm_functype_t, wasm_externtype_t, ...          one struct: a type of a kind (types.rs)
//!   wasm_*_vec_t                                     size, and an array of the C library's allocator (vector.rs)
//! ```
//!
//! # Safety
//!
//! This crate is an interface for C, so every file has exported names and raw pointers. What it assumes:
//!
//! 1. Pointers that C gives are what the headers say: from the function that makes such an object, not deleted yet,
//!    and not null unless the header allows it. That is why functions can take references.
//! 2. What is borrowed from an object is not used after its owner was deleted.
//! 3. A store is used by one thread at a time.
//!
//! What it guarantees: no panic reaches C. Functions that run something of the loader's catch it
//! (`error::shield`), in others a panic ends the process.
//!
//! # Without `std`
//!
//! The crate is `no_std` and `alloc`. The feature `std` adds what needs an operating system: modules from files and bytes,
//! pools, panics as errors, a last error for each thread. Without it, `tiny.rs` has what Rust's library is otherwise
//! there for, and the library needs nothing but the functions of C that are in `c_library.rs`, and those that copy and
//! compare memory.
#![no_std]
#![allow(non_camel_case_types, reason = "types have the names that they have in C")]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod artifact;
mod bound;
mod c_library;
#[cfg(feature = "wasi")]
mod command;
mod engine;
mod error;
mod extern_;
mod foreign;
mod frame;
mod func;
mod global;
mod host;
mod host_infos;
mod instance;
mod last;
#[cfg(all(test, feature = "wasi"))]
mod layout;
mod linked;
mod linker;
mod memory;
mod module;
mod object;
mod panics;
#[cfg(feature = "std")]
mod pooling;
mod prelude;
mod store;
/// The loader's locks, with and without `std`.
#[allow(dead_code, unused_imports, reason = "the loader needs more of them")]
#[path = "../../loader/src/sync.rs"]
mod sync;
mod table;
#[cfg(not(feature = "std"))]
mod tiny;
mod trap;
mod types;
mod value;
mod vector;
#[cfg(feature = "wasi")]
mod wasi;
