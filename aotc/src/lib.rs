//! Compiles WebAssembly to native code ahead of time.
//!
//! ```text
//! wasm bytes --parse--> WasmModule --plan--> Plan --translate--> CLIF --codegen--> CompiledFunction --emit--> artifact
//! ```
//!
//! [`compile`] is that line as code. Each arrow is a module; what a stage gives, later stages only
//! borrow. The artifact's form is defined by the crate `aotc-abi`.
#![forbid(unsafe_code)]

mod codegen;
mod emit;
mod error;
mod options;
mod parse;
mod plan;
mod translate;

pub use error::Error;
pub use options::{AddressMapStyle, Cpu, OptLevel, Options};
