//! Errors: `aotc_error_t`, the last one of a thread, and how failures and panics become errors.
//!
//! A host function in C gives back an error or a trap, which travels through the loader as it is, or as
//! [`Carried`] if C has kept a reference to it.

use alloc::ffi::CString;
use alloc::sync::Arc;
use core::error::Error;
use core::ffi::{CStr, c_char};
use core::fmt;
use core::mem::MaybeUninit;

use anyhow::anyhow;
use aotc_abi::trap::TrapKind;
use aotc_loader::{Trap, WasmBacktrace, WasmCoreDump};

use crate::frame::{frames, wasm_frame_vec_t};
use crate::last::LAST;
use crate::panics::caught;
use crate::prelude::*;
use crate::sync::OnceLock;
use crate::trap::TrapObject;
use crate::vector::{Vector, wasm_byte_vec_t};

/// Why something failed.
pub(crate) struct aotc_error_t {
    error: anyhow::Error,
    /// Made when it is asked for.
    message: OnceLock<CString>,
}

/// What a fallible function returns: nothing, or an error that the caller deletes.
pub(crate) type Failure = Option<Box<aotc_error_t>>;

impl aotc_error_t {
    pub(crate) fn new(error: anyhow::Error) -> Self {
        Self { error, message: OnceLock::new() }
    }

    pub(crate) fn error(&self) -> &anyhow::Error {
        &self.error
    }

    pub(crate) fn into_error(self) -> anyhow::Error {
        self.error
    }

    /// The message, in one line.
    pub(crate) fn message(&self) -> &CStr {
        self.message.get_or_init(|| c_string(&message(&self.error)))
    }
}

/// The trap of a host function, of which C may have kept a reference.
pub(crate) struct Carried(pub(crate) Arc<TrapObject>);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&message(self.0.error().error()))
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.error().error(), f)
    }
}

impl Error for Carried {}

/// The status with which a host function ends the program.
#[derive(Debug)]
struct Exit(i32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with status {}", self.0)
    }
}

impl Error for Exit {}

/// What is in an error, or in the one that it carries.
pub(crate) fn find<T: fmt::Display + fmt::Debug + Send + Sync + 'static>(
    error: &anyhow::Error,
) -> Option<&T> {
    error.downcast_ref().or_else(|| find(error.downcast_ref::<Carried>()?.0.error().error()))
}

/// The chain of an error in one line, without backtrace and core dump.
fn message(error: &anyhow::Error) -> String {
    let mut left_out: Vec<String> = Vec::new();
    left_out.extend(error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::to_string));
    left_out.extend(error.downcast_ref::<WasmCoreDump>().map(WasmCoreDump::to_string));
    let parts = error.chain().map(|cause| cause.to_string());
    let parts: Vec<String> = parts.filter(|part| !left_out.contains(part)).collect();
    parts.join(": ")
}

/// `text` for C: up to its first zero byte.
pub(crate) fn c_string(text: &str) -> CString {
    let bytes = text.bytes().take_while(|&byte| byte != 0).collect::<Vec<u8>>();
    CString::new(bytes).expect("no zero bytes")
}

/// Keeps an error for `aotc_last_error`.
pub(crate) fn set_last(error: anyhow::Error) {
    LAST.set(Box::new(aotc_error_t::new(error)));
}

/// Runs `body`, and gives its error to the caller.
#[inline]
pub(crate) fn shield(body: impl FnOnce() -> anyhow::Result<()>) -> Failure {
    match caught(body) {
        Ok(()) => None,
        Err(error) => Some(Box::new(aotc_error_t::new(error))),
    }
}

/// Runs `body`, and gives its result, or `otherwise` and keeps the error for `aotc_last_error`.
#[inline]
pub(crate) fn shield_or<R>(otherwise: R, body: impl FnOnce() -> anyhow::Result<R>) -> R {
    caught(body).unwrap_or_else(|error| {
        set_last(error);
        otherwise
    })
}

/// Runs `body`, and puts its result in `out`; null there if it fails.
pub(crate) fn shield_into<R>(
    out: &mut MaybeUninit<Option<Box<R>>>,
    body: impl FnOnce() -> anyhow::Result<R>,
) -> Failure {
    out.write(None);
    shield(|| {
        out.write(Some(Box::new(body()?)));
        Ok(())
    })
}

/// Text from C.
///
/// # Errors
/// If it is not UTF-8.
pub(crate) fn text<'a>(text: *const c_char) -> anyhow::Result<&'a str> {
    // SAFETY: the crate's contract: a string that ends with a zero, valid during the call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| anyhow!("`{}` is not UTF-8", text.to_string_lossy()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_last_error() -> *const aotc_error_t {
    LAST.get()
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_new(message: *const c_char) -> Box<aotc_error_t> {
    // SAFETY: as in `text`.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    Box::new(aotc_error_t::new(anyhow!(message)))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_new_trap(code: u8) -> Failure {
    let kind = TrapKind::from_u8(code)?;
    Some(Box::new(aotc_error_t::new(Trap::from(kind).into())))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_new_exit(status: i32) -> Box<aotc_error_t> {
    Box::new(aotc_error_t::new(Exit(status).into()))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_delete(error: Failure) {
    drop(error);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_message(error: &aotc_error_t) -> *const c_char {
    error.message().as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_trap_code(error: &aotc_error_t, code: &mut MaybeUninit<u8>) -> bool {
    let trap = find::<Trap>(&error.error);
    trap.map(|trap| code.write(trap.kind() as u8)).is_some()
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_exit_status(error: &aotc_error_t, status: &mut MaybeUninit<i32>) -> bool {
    let found = find::<Exit>(&error.error).map(|exit| exit.0);
    #[cfg(feature = "wasi")]
    let found = found.or_else(|| find::<aotc_wasi::ProcExit>(&error.error).map(|exit| exit.0));
    found.map(|found| status.write(found)).is_some()
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_trace(error: &aotc_error_t, out: &mut MaybeUninit<wasm_frame_vec_t>) {
    out.write(frames(error.error.downcast_ref()));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_error_backtrace(error: &aotc_error_t, out: &mut MaybeUninit<wasm_byte_vec_t>) {
    let backtrace = error.error.downcast_ref::<WasmBacktrace>();
    let text = backtrace.map(WasmBacktrace::to_string).unwrap_or_default();
    out.write(Vector::from_vec(text.into_bytes()));
}
