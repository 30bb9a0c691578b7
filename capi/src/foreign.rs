//! Objects of the host's: `wasm_foreign_t`.

use alloc::sync::Arc;
use core::ffi::c_void;

use crate::object::{HostInfo, Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::sync::Mutex;

object_type! {
    /// An object of the host's.
    wasm_foreign_t
}

/// The object: nothing but what the host makes of it.
#[derive(Default)]
pub(crate) struct Foreign {
    pub(crate) host_info: Mutex<HostInfo>,
}

#[unsafe(no_mangle)]
extern "C" fn wasm_foreign_new(_store: &wasm_store_t) -> Box<wasm_foreign_t> {
    Box::new(wasm_foreign_t::new(None, Kind::Foreign(Arc::default())))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_foreign_new(
    data: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> Box<wasm_foreign_t> {
    let foreign = Foreign { host_info: Mutex::new(HostInfo::new(data, finalizer)) };
    Box::new(wasm_foreign_t::new(None, Kind::Foreign(Arc::new(foreign))))
}
