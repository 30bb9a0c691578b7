//! Configuration and engine: `wasm_config_t`, `wasm_engine_t`.

use core::ffi::c_char;

use aotc_loader::{Config, Engine};

use crate::error::shield_or;
use crate::prelude::*;

#[derive(Default)]
pub(crate) struct wasm_config_t(pub(crate) Config);

pub(crate) struct wasm_engine_t(Engine);

impl wasm_engine_t {
    pub(crate) fn of(engine: Engine) -> Self {
        Self(engine)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }
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
