//! Wasmtime, as far as it differs from aotc.

#[path = "shared.rs"]
mod shared;

use std::sync::OnceLock;

use wasmtime::{
    AsContext, AsContextMut, Caller, Config, Engine, Extern, ExternRef, ExternType, Func, FuncType,
    Global, Instance, Memory, Module, OptLevel, Ref, Store, Table, Trap, Val, ValType,
};

use super::outcome::Run;

/// What the module does; `None` if this engine does not accept it, or an import cannot be made.
pub(super) fn runs(wasm: &[u8], seed: u64, fuel: Option<u64>) -> Option<Vec<Run>> {
    static ENGINES: [OnceLock<Engine>; 2] = [const { OnceLock::new() }; 2];
    let engine = ENGINES[usize::from(fuel.is_some())].get_or_init(|| {
        // Not optimised: what the optimiser does wrong is not wrong on both sides.
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::None);
        config.consume_fuel(fuel.is_some());
        Engine::new(&config).expect("valid configuration")
    });
    let module = Module::new(engine, wasm).ok()?;
    shared::runs(&module, seed, fuel).ok()
}

/// There is one trap for all such accesses.
fn is_table_out_of_bounds(trap: Trap) -> bool {
    trap == Trap::TableOutOfBounds
}
