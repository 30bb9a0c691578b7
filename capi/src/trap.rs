//! Traps: `wasm_trap_t`, an object with an error.

use alloc::sync::Arc;
use core::mem::MaybeUninit;

use anyhow::anyhow;

use crate::error::{Carried, aotc_error_t};
use crate::frame::{frames, wasm_frame_t, wasm_frame_vec_t};
use crate::object::{HostInfo, Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::sync::Mutex;
use crate::vector::{Vector, wasm_byte_vec_t};

object_type! {
    /// A trap, or any other error of a call.
    wasm_trap_t
}

/// The object of a trap.
pub(crate) struct TrapObject {
    error: aotc_error_t,
    pub(crate) host_info: Mutex<HostInfo>,
}

impl TrapObject {
    pub(crate) fn error(&self) -> &aotc_error_t {
        &self.error
    }
}

/// What a fallible function of `wasm.h` returns: nothing, or a trap that the caller deletes.
pub(crate) type Trapped = Option<Box<wasm_trap_t>>;

impl wasm_trap_t {
    pub(crate) fn of(error: aotc_error_t) -> Box<Self> {
        let trap = TrapObject { error, host_info: Mutex::default() };
        Box::new(Self::new(None, Kind::Trap(Arc::new(trap))))
    }

    fn trap(&self) -> &Arc<TrapObject> {
        match self.kind() {
            Kind::Trap(trap) => trap,
            _ => unreachable!("a wasm_trap_t is a trap"),
        }
    }

    /// The error, with which a host function ends.
    pub(crate) fn into_error(self: Box<Self>) -> anyhow::Error {
        let trap = self.trap().clone();
        drop(self);
        match Arc::try_unwrap(trap) {
            Ok(trap) => trap.error.into_error(),
            Err(trap) => Carried(trap).into(),
        }
    }
}

/// Makes a trap of an error.
pub(crate) fn trapped(failure: Option<Box<aotc_error_t>>) -> Trapped {
    failure.map(|error| wasm_trap_t::of(*error))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_trap_new(_store: &wasm_store_t, message: &wasm_byte_vec_t) -> Box<wasm_trap_t> {
    let message = message.as_slice();
    let message = message.strip_suffix(&[0]).unwrap_or(message);
    wasm_trap_t::of(aotc_error_t::new(anyhow!(String::from_utf8_lossy(message).into_owned())))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_trap_message(trap: &wasm_trap_t, out: &mut MaybeUninit<wasm_byte_vec_t>) {
    out.write(Vector::from_vec(trap.trap().error.message().to_bytes_with_nul().to_vec()));
}

#[unsafe(no_mangle)]
extern "C" fn wasm_trap_origin(trap: &wasm_trap_t) -> Option<Box<wasm_frame_t>> {
    let backtrace: &aotc_loader::WasmBacktrace = trap.trap().error.error().downcast_ref()?;
    Some(Box::new(wasm_frame_t::new(backtrace.frames().first()?)))
}

#[unsafe(no_mangle)]
extern "C" fn wasm_trap_trace(trap: &wasm_trap_t, out: &mut MaybeUninit<wasm_frame_vec_t>) {
    out.write(frames(trap.trap().error.error().downcast_ref()));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_trap_error(trap: &wasm_trap_t) -> &aotc_error_t {
    &trap.trap().error
}

#[unsafe(no_mangle)]
extern "C" fn aotc_trap_from_error(error: Box<aotc_error_t>) -> Box<wasm_trap_t> {
    wasm_trap_t::of(*error)
}
