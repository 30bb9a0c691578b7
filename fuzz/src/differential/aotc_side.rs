//! aotc, as far as it differs from Wasmtime.

#[path = "shared.rs"]
mod shared;

use aotc::{Emit, Options};
use aotc_loader::{
    AsContext, AsContextMut, Caller, Config, Engine, Extern, ExternRef, ExternType, Func, FuncType,
    Global, Instance, Memory, Module, Ref, Store, Table, Trap, Val, ValType,
};

use super::outcome::Run;

/// What the module does.
///
/// # Panics
/// If it is not accepted.
pub(super) fn runs(wasm: &[u8], seed: u64, fuel: Option<u64>, options: &Options) -> Vec<Run> {
    let image = aotc::compile(wasm, Emit::Image, options)
        .unwrap_or_else(|error| panic!("{error}; options: {options:?}"));
    let engine = Engine::new(Config::new().consume_fuel(fuel.is_some())).expect("valid settings");
    let module = Module::from_bytes(&engine, &image)
        .unwrap_or_else(|error| panic!("{error:#}; options: {options:?}"));
    shared::runs(&module, seed, fuel).unwrap_or_else(|error| panic!("{error}"))
}

/// `call_indirect` has a trap of its own for this.
fn is_table_out_of_bounds(trap: Trap) -> bool {
    matches!(trap, Trap::TableOutOfBounds | Trap::UndefinedElement)
}
