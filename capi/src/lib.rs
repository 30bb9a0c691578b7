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
#![allow(non_camel_case_types, reason = "types have the names that they have in C")]

mod engine;
mod error;
mod extern_;
mod foreign;
mod frame;
mod func;
mod global;
mod host;
mod instance;
#[cfg(all(test, feature = "wasi"))]
mod layout;
mod linked;
mod linker;
mod memory;
mod module;
mod object;
mod store;
mod table;
mod trap;
mod types;
mod value;
mod vector;
#[cfg(feature = "wasi")]
mod wasi;
