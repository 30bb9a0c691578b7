//! Entering compiled code, and what comes back.
//!
//! ```text
//!   host: call()  ->  entry trampoline  ->  wasm ... wasm  ->  exit trampoline  ->  host function
//!         ^                  ^                  |                                      |
//!         '--- status -------'<---- raise ------'<------------- status 1 --------------'
//! ```
//!
//! A trap, a host function's error and its panic are recorded first (in the store, or by the signal
//! handler in the thread's record), then SP, FP and PC are set to those of the innermost entry trampoline, which returns
//! status 1. No Rust frame is ever skipped: between an exit and the next entry there is always
//! a [`call`] that restores what it found.
//!
//! # Safety
//!
//! A [`Callee`] is made from records of the store it is called with, so its addresses are alive, and
//! `values` has as many slots as its type needs. Compiled code reaches the store by its address: while it runs,
//! the `&mut StoreOpaque` here is not used; its address is handed to the thread's activation first.
#![allow(unsafe_code, reason = "calls of compiled code")]

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Mutex;

use anyhow::{Error, Result};
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::VmValue;

use crate::backtrace::{self, WasmBacktrace};
use crate::func;
use crate::store::StoreOpaque;
use crate::sys::thread::{self, Activation};
use crate::trap::Trap;

/// What calling a function takes.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    pub(crate) ctx: u64,
    /// Wasm-call entry; 0 for a host function.
    pub(crate) code: u64,
    /// Entry trampoline for the type.
    pub(crate) entry: u64,
}

/// Why wasm was left.
pub(crate) enum Raised {
    /// A trap that a builtin reported.
    Trap(TrapKind, Option<WasmBacktrace>),
    /// A host function returned an error.
    Error(Error),
    /// A host function panicked.
    Panic(PanicBox),
}

/// A panic's payload: `Send`, and nobody can look at it before it is taken out.
pub(crate) struct PanicBox(Mutex<Box<dyn Any + Send>>);

impl PanicBox {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(payload))
    }

    fn into_inner(self) -> Box<dyn Any + Send> {
        self.0.into_inner().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// `extern "C" fn(callee_ctx, callee_code, values) -> status`.
type Entry = unsafe extern "C" fn(u64, u64, *mut VmValue) -> u32;

/// Calls `callee` with the arguments in `values`, where it leaves its results.
///
/// # Errors
/// A trap or a host function's error, with the backtrace as context.
#[inline]
pub(crate) fn call(store: &mut StoreOpaque, callee: Callee, values: &mut [VmValue]) -> Result<()> {
    let values = values.as_mut_ptr();
    let status = if callee.entry == 0 {
        // SAFETY: the file's contract: without an entry it is a host function.
        unsafe { func::call_host(callee.ctx, values) }
    } else {
        let mut activation = Activation::new(store.vm.get());
        // SAFETY: the activation stays where it is until it is left, below.
        unsafe { activation.enter() };
        // SAFETY: the file's contract; the activation is current, so the signal handler is prepared.
        let status = unsafe {
            let entry: Entry = std::mem::transmute(callee.entry as usize);
            entry(callee.ctx, callee.code, values)
        };
        if status != 0 {
            record_signal(store);
        }
        activation.leave();
        status
    };
    if status == 0 { Ok(()) } else { Err(take_error(store)) }
}

/// Turns what the signal handler recorded, if it did, into the store's record.
#[cold]
fn record_signal(store: &mut StoreOpaque) {
    if let Some(kind) = thread::take_trap() {
        let backtrace = backtrace::from_signal(store);
        store.raised = Some(Box::new(Raised::Trap(kind, backtrace)));
    }
}

#[cold]
fn take_error(store: &mut StoreOpaque) -> Error {
    match *store.raised.take().expect("compiled code raises only after the reason was recorded") {
        Raised::Trap(kind, None) => Trap::from(kind).into(),
        Raised::Trap(kind, Some(backtrace)) => Error::from(Trap::from(kind)).context(backtrace),
        Raised::Error(error) => error,
        Raised::Panic(panic) => resume_unwind(panic.into_inner()),
    }
}
