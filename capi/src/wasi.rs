//! Programs for WASI preview 1: `aotc_wasi_config_t`.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

use anyhow::bail;
use aotc_wasi::{FsPerms, MemoryInputPipe, WasiCtx, WasiCtxBuilder};

use crate::error::{Failure, shield, text};
use crate::func::slice;
use crate::linker::aotc_linker_t;
use crate::prelude::*;
use crate::store::{Data, wasm_store_t};

#[derive(Default)]
pub(crate) struct aotc_wasi_config_t(WasiCtxBuilder);

/// `AOTC_WASI_READ_ONLY` and `AOTC_WASI_READ_WRITE`.
pub(crate) const READ_ONLY: u8 = 0;
pub(crate) const READ_WRITE: u8 = 1;

/// A string of the host's, of any bytes.
fn os_text<'a>(text: *const c_char) -> &'a OsStr {
    // SAFETY: the crate's contract: a string that ends with a zero, valid during the call.
    OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_new() -> Box<aotc_wasi_config_t> {
    Box::default()
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_delete(config: Option<Box<aotc_wasi_config_t>>) {
    drop(config);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_arg(config: &mut aotc_wasi_config_t, arg: *const c_char) {
    config.0.arg(os_text(arg));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_env(
    config: &mut aotc_wasi_config_t,
    name: *const c_char,
    value: *const c_char,
) {
    config.0.env(os_text(name), os_text(value));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_inherit_env(config: &mut aotc_wasi_config_t) {
    config.0.inherit_env();
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_inherit_stdio(config: &mut aotc_wasi_config_t) {
    config.0.inherit_stdio();
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_stdin(
    config: &mut aotc_wasi_config_t,
    bytes: *const u8,
    count: usize,
) {
    // SAFETY: the crate's contract: C has as many bytes there.
    let bytes = unsafe { slice(bytes, count) };
    config.0.stdin(MemoryInputPipe::new(bytes));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_wasi_config_preopen(
    config: &mut aotc_wasi_config_t,
    host_path: *const c_char,
    guest_path: *const c_char,
    permissions: u8,
) -> Failure {
    shield(|| {
        let permissions = match permissions {
            READ_ONLY => FsPerms::ReadOnly,
            READ_WRITE => FsPerms::ReadWrite,
            other => bail!("there are no permissions {other}"),
        };
        config.0.preopened_dir(os_text(host_path), text(guest_path)?, permissions)?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_set_wasi(store: &wasm_store_t, mut config: Box<aotc_wasi_config_t>) {
    let context = config.0.build();
    drop(store.0.with(|mut store| store.data_mut().wasi.replace(context)));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_linker_define_wasi(linker: &mut aotc_linker_t) -> Failure {
    shield(|| aotc_wasi::add_to_linker(&mut linker.0, context_of))
}

/// The context of a store; one that gives the program nothing if none was set.
fn context_of(data: &mut Data) -> &mut WasiCtx {
    data.wasi.get_or_insert_with(|| WasiCtx::builder().build())
}
