//! Configuration and engine: `wasm_config_t`, `wasm_engine_t`.

use std::ffi::c_char;

use aotc_loader::{Config, Engine, PoolingAllocationConfig};

use crate::error::shield_or;

#[derive(Default)]
pub(crate) struct wasm_config_t(Config);

pub(crate) struct wasm_engine_t(Engine);

impl wasm_engine_t {
    pub(crate) fn of(engine: Engine) -> Self {
        Self(engine)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }
}

/// `aotc_pooling_t`. What is 0 stays as it is.
#[repr(C)]
pub(crate) struct aotc_pooling_t {
    pub(crate) instances: u32,
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    pub(crate) table_elements: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) warm_slots: u32,
}

#[unsafe(no_mangle)]
extern "C" fn wasm_config_new() -> Box<wasm_config_t> {
    Box::default()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_config_delete(config: Option<Box<wasm_config_t>>) {
    drop(config);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_config_consume_fuel(config: &mut wasm_config_t, enable: bool) {
    config.0.consume_fuel(enable);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_config_epoch_interruption(config: &mut wasm_config_t, enable: bool) {
    config.0.epoch_interruption(enable);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_config_pooling(config: &mut wasm_config_t, pooling: &aotc_pooling_t) {
    let mut pool = PoolingAllocationConfig::new();
    if pooling.instances != 0 {
        pool.total_core_instances(pooling.instances);
    }
    if pooling.memories != 0 {
        pool.total_memories(pooling.memories);
    }
    if pooling.tables != 0 {
        pool.total_tables(pooling.tables);
    }
    if pooling.table_elements != 0 {
        pool.table_elements(pooling.table_elements);
    }
    if pooling.memory_bytes != 0 {
        pool.max_memory_size(pooling.memory_bytes);
    }
    if pooling.warm_slots != 0 {
        pool.max_unused_warm_slots(pooling.warm_slots);
    }
    config.0.allocation_strategy(pool);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_engine_new() -> Option<Box<wasm_engine_t>> {
    shield_or(None, || Ok(Some(Box::new(wasm_engine_t(Engine::default())))))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_engine_new_with_config(
    config: Box<wasm_config_t>,
) -> Option<Box<wasm_engine_t>> {
    shield_or(None, || Ok(Some(Box::new(wasm_engine_t(Engine::new(&config.0)?)))))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_engine_delete(engine: Option<Box<wasm_engine_t>>) {
    drop(engine);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_engine_copy(engine: &wasm_engine_t) -> Box<wasm_engine_t> {
    Box::new(wasm_engine_t(engine.0.clone()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_engine_increment_epoch(engine: &wasm_engine_t) {
    engine.0.increment_epoch();
}

#[unsafe(no_mangle)]
extern "C" fn aotc_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
