//! WASI preview 1 for [`aotc_loader`]: what programs built for `wasm32-wasip1` need from their host.
//!
//! ```no_run
//! use aotc_loader::{Engine, Linker, Module, Store};
//! use aotc_wasi::{FsPerms, ProcExit, WasiCtx};
//!
//! # fn main() -> anyhow::Result<()> {
//! let engine = Engine::default();
//! let module = Module::open(&engine, "program.aot")?;
//! let mut linker = Linker::new(&engine);
//! aotc_wasi::add_to_linker(&mut linker, |ctx: &mut WasiCtx| ctx)?;
//! let ctx = WasiCtx::builder()
//!     .inherit_stdio()
//!     .args(["program", "--verbose"])
//!     .preopened_dir("data", "/", FsPerms::ReadOnly)?
//!     .build();
//! let mut store = Store::new(&engine, ctx);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
//! let code = match start.call(&mut store, ()) {
//!     Ok(()) => 0,
//!     Err(error) => error.downcast::<ProcExit>()?.0,
//! };
//! # std::process::exit(code);
//! # }
//! ```
//!
//! A guest has what its [`WasiCtx`] was given and nothing else: there is no way from here to the host's files but
//! through preopened directories, and none out of those.
//!
//! ```text
//! guest --call--> linker.rs --(&mut WasiCtx, &mut GuestMemory, numbers)--> files.rs, paths.rs, clocks.rs, ...
//!                                      |               |
//!                                  ctx.rs          memory.rs: every offset and length is checked here
//!                                      |
//!                                  fd_table.rs: what is open, and with which rights
//! ```
//!
//! The functions know nothing of the loader, so that tests call them with an array for memory. Numbers and layouts are
//! those of [the specification][witx], in `types.rs` and `errno.rs`.
//!
//! [witx]: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/witx/wasi_snapshot_preview1.witx
#![forbid(unsafe_code)]

mod arguments;
mod attributes;
mod clocks;
mod ctx;
mod directory;
mod errno;
mod fd_table;
mod files;
mod linker;
mod memory;
mod open;
mod paths;
mod poll;
mod process;
mod random;
mod sockets;
mod streams;
#[cfg(test)]
mod testing;
mod types;

pub use ctx::{FsPerms, WasiCtx, WasiCtxBuilder};
pub use linker::add_to_linker;
pub use process::ProcExit;
pub use streams::{InputStream, MemoryInputPipe, MemoryOutputPipe, OutputStream};
