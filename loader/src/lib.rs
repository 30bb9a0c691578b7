//! The runtime for what `aotc` compiles: maps artifacts, links their imports, calls them, and turns
//! their faults into traps. Nothing is compiled here, and no memory becomes executable that was
//! ever writable.
//!
//! The API has the names and shapes of Wasmtime's: an embedder ports by changing the import line.
//!
//! ```no_run
//! use aotc_loader::{Engine, Linker, Module, Store};
//!
//! # fn main() -> anyhow::Result<()> {
//! let engine = Engine::default();
//! let module = Module::open(&engine, "plugin.aot")?;
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "log", |value: i32| println!("{value}"))?;
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate(&mut store, &module)?;
//! let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
//! assert_eq!(run.call(&mut store, 1)?, 2);
//! # Ok(())
//! # }
//! ```
//!
//! An instance in memory, one reservation:
//!
//! ```text
//!   ctx - vmctx_bytes    ctx                      ctx + 4 GiB
//!   | records, globals,  | memory 0: in use | not | guard |
//!   | tables             |   readable,      | yet |       |
//!   |                    |   writable       |     |       |
//!   '--- mapped copy-on-write ----'  '- zero -'
//!        from the artifact
//! ```
//!
//! # Features
//!
//! Each adds something, and changes nothing of what is there without it. All are on by default.
//!
//! | feature | adds | with it come |
//! |---|---|---|
//! | none | modules that are linked into the program (`Module::from_linked`), with everything that can be done with their instances | `no_std` and `alloc`; `aotc-abi`, `anyhow` |
//! | `std` | modules from files and bytes, code that traps by faulting, memories with reserved addresses, instances that are mapped, panics of host functions that pass through WebAssembly | Linux; `goblin`, `libc`, `rustix` |
//! | `dlopen` | modules from shared libraries | `std`; `libloading` |
//! | `async` | calls that wait without keeping their thread | `std`; `corosensei` |
//!
//! Without `std`, the *tiny profile*, all memory comes from the program's global allocator, and no operating system is needed.
//!
//! - Modules are compiled with `aotc compile --emit obj --traps explicit`, which implies `--bounds explicit`, and are linked
//!   into the program. One that needs what is absent is refused with [`LoadError::Absent`], which names the option.
//!   On a bare machine, modules for Linux are right: what counts is the object format and the calling convention.
//! - The end of the stack is not known. `Config::max_wasm_stack` says how much of it compiled code may use; host functions need
//!   theirs besides.
//! - A host function that panics ends the program, as any panic that nobody can catch.
//! - Locks spin. A program without threads never waits for one; an interrupt handler must not use the loader.
//!
//! `fixtures/tiny` has complete programs of this kind, with no C library under them.
//!
//! # Unsafe code
//!
//! Files that contain unsafe code begin with a section on what they assume and what they guarantee:
//! `vmctx.rs`, `bound.rs`, `call.rs`, `creator.rs`, `fiber.rs`, `builtins.rs`, `func/host.rs`, `func/raw.rs`, `image.rs`, `memory.rs`,
//! `instance/slot.rs`, `instance/pool.rs`, `module/mod.rs`, `module/artifact.rs`, `module/registry.rs`, `store/hooks.rs`, `store/opaque.rs`, `sync.rs`, `sys/*`. Everything else is denied it.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

/// Includes the declaration of a module that the package's `build.rs` compiled with `aotc::Build`: a Rust module of
/// that name.
///
/// ```ignore
/// // build.rs: aotc::Build::new("plugin.wasm").compile();
/// aotc_loader::include_module!("plugin");
/// ```
#[macro_export]
macro_rules! include_module {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name, ".rs"));
    };
}

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "std")]
mod allocation;
mod backtrace;
mod bound;
mod builtins;
mod call;
mod config;
mod coredump;
mod creator;
mod engine;
mod error;
mod extern_;
#[cfg(feature = "async")]
mod fiber;
mod func;
mod global;
mod handle;
#[cfg(feature = "std")]
mod image;
mod instance;
mod limits;
mod linker;
mod locals;
mod memory;
mod memory_view;
mod module;
mod prelude;
mod reserve;
mod settings;
mod similar;
mod store;
mod sync;
mod sys;
mod table;
mod trap;
mod types;
mod unwind;
mod value;
mod vmctx;

#[cfg(feature = "std")]
pub use allocation::{
    Enabled, InstanceAllocationStrategy, PoolConcurrencyLimitError, PoolingAllocationConfig,
    PoolingAllocatorMetrics,
};
pub use anyhow::{Error, Result};
pub use backtrace::{FrameInfo, FrameSymbol, WasmBacktrace};
pub use bound::raise_to_caller;
pub use config::Config;
pub use coredump::WasmCoreDump;
pub use creator::{LinearMemory, MemoryCreator};
pub use engine::{Engine, EngineWeak};
pub use error::{LinkError, LoadError, TypeMismatch, UnknownImportError};
pub use extern_::{Export, Extern};
#[cfg(feature = "async")]
pub use func::WasmTyList;
pub use func::{
    Caller, DirectFunc, DirectWays, Func, IntoFunc, TypedFunc, ValRaw, WasmParams, WasmResults,
    WasmRet,
};
pub use global::Global;
#[cfg(feature = "std")]
pub use image::{ImageCreator, InstanceImage};
pub use instance::{Instance, InstancePre};
#[cfg(feature = "async")]
pub use limits::ResourceLimiterAsync;
pub use limits::{
    DEFAULT_INSTANCE_LIMIT, DEFAULT_MEMORY_LIMIT, DEFAULT_TABLE_LIMIT, ResourceLimiter,
    StoreLimits, StoreLimitsBuilder,
};
pub use linker::Linker;
pub use memory::{Memory, MemoryAccessError};
pub use memory_view::{MemoryTextError, MemoryValue};
#[cfg(feature = "std")]
pub use module::Precompiled;
pub use module::{Module, ModuleExport, ModuleFunction, ResourcesRequired};
#[cfg(feature = "async")]
pub use store::CallHookHandler;
pub use store::UpdateDeadline;
pub use store::{
    AsContext, AsContextMut, CallHook, OwnedRooted, RootScope, Store, StoreContext, StoreContextMut,
};
#[cfg(feature = "async")]
pub use sys::{StackCreator, StackMemory};
pub use table::Table;
pub use trap::Trap;
pub use types::{
    ExportType, ExternType, FuncType, GlobalType, HeapType, ImportType, MemoryType,
    MemoryTypeBuilder, Mutability, RefType, TableType, ValType,
};
pub use value::{ExternRef, Ref, Rooted, V128, Val, WasmTy};
