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
//! the `&mut StoreOpaque` here is not used; it is lent first, with [`StoreOpaque::lend`].
#![allow(unsafe_code, reason = "calls of compiled code")]

use core::ptr;

use crate::prelude::*;
use crate::sync::Mutex;

use anyhow::{Error, Result};
use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::{self, VmValue};

use crate::backtrace::{self, WasmBacktrace};
use crate::coredump::WasmCoreDump;
use crate::func::{self, for_each_arity};
use crate::store::{CallHook, StoreOpaque};
use crate::sys::thread::{self, Activation, OutermostEntered};
use crate::trap::Trap;
use crate::unwind::{self, Payload};

/// What calling a function takes.
#[derive(Clone, Copy)]
pub(crate) struct Callee {
    pub(crate) ctx: u64,
    /// Wasm-call entry; 0 for a host function.
    pub(crate) code: u64,
    /// Entry trampoline for the type.
    pub(crate) entry: u64,
}

/// What calling a function of an instance directly takes, without the store at hand: its address is below the context.
// First what whoever has the address of this one calls.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DirectCallee {
    /// `extern "C-unwind" fn(callee: &DirectCallee, arguments: u64...) -> Called`: a gate or `unusual`.
    pub(crate) call: u64,
    pub(crate) ctx: u64,
    /// Wasm-call entry.
    pub(crate) code: u64,
    /// What a gate calls: `code`, or [`Gate::adapter`].
    pub(crate) behind_gate: u64,
    /// Direct entry trampoline for the type.
    pub(crate) entry: u64,
    /// As [`DirectWays::unusual`].
    pub(crate) unusual: u64,
    /// As [`DirectWays::raised`].
    pub(crate) raised: u64,
}

/// The short way into a function, for calls of which nothing unusual is known.
pub(crate) struct Gate {
    /// Address of a function as [`DirectCallee::call`] is.
    pub(crate) address: u64,
    /// Address of code that moves arguments from where the gate has them to where the function has them, and goes on there. `None` if
    /// they are there.
    pub(crate) adapter: Option<u64>,
}

/// The functions that are called in place of a function of an instance, or after it, when a call is not the usual
/// one that gives a result.
#[derive(Clone, Copy, Debug)]
pub struct DirectWays {
    /// Address of a function of the type that [`DirectFunc`](crate::DirectFunc) describes, which makes the call whatever it needs:
    /// the store has something to do besides, or the function has more arguments than a gate takes.
    pub unusual: *const (),
    /// Address of an `extern "C-unwind" fn(&DirectFunc) -> (bits: u64, error: *mut ())`, which says what was raised in the call.
    pub raised: *const (),
}

/// What a call by way of a [`DirectCallee`] gives.
#[repr(C)]
pub struct Called {
    /// Those of the result, if it has one; with a result of 32 bits anything may be above them.
    bits: u64,
    error: Option<Box<Error>>,
}

impl From<Result<u64>> for Called {
    #[inline]
    fn from(outcome: Result<u64>) -> Self {
        match outcome {
            Ok(bits) => Self { bits, error: None },
            Err(error) => Self { bits: 0, error: Some(Box::new(error)) },
        }
    }
}

impl DirectCallee {
    /// The store, to which the caller has lent it.
    ///
    /// # Safety
    /// The store is alive, and was lent with [`StoreOpaque::lend`] to whoever calls.
    #[inline]
    unsafe fn store<'a>(&self) -> &'a mut StoreOpaque {
        let field = self.ctx.wrapping_add_signed(vmctx::ctx::STORE.offset.into());
        // SAFETY: the caller's promise; below every context is the address of the store's first field.
        unsafe {
            let vm = ptr::with_exposed_provenance::<u64>(field as usize).read();
            &mut *ptr::with_exposed_provenance_mut(vm as usize)
        }
    }

    /// Calls, without a gate.
    ///
    /// # Errors
    /// As [`call`].
    ///
    /// # Safety
    /// As [`Self::store`]; and there are as many arguments as the function has parameters.
    #[inline]
    pub(crate) unsafe fn call_without_gate<A: DirectArguments>(&self, arguments: A) -> Result<u64> {
        // SAFETY: the caller's promise.
        let store = unsafe { self.store() };
        // SAFETY: the caller's promise.
        match as_outermost(store, || unsafe { arguments.enter(self) }) {
            Some(outcome) => outcome,
            None => call_unusually(store, self, arguments),
        }
    }

    /// What was raised in a call that a gate made.
    ///
    /// # Panics
    /// With the panic of a host function.
    ///
    /// # Safety
    /// As [`Self::store`]; and the gate has just said so.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn take_raised(&self) -> Error {
        // SAFETY: the caller's promise; the gate has made the store's outermost activation.
        unsafe { leave_outermost_raised(self.store(), OutermostEntered::by_gate()) }
    }
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
pub(crate) struct PanicBox(Mutex<Payload>);

impl PanicBox {
    pub(crate) fn new(payload: Payload) -> Self {
        Self(Mutex::new(payload))
    }

    fn into_inner(self) -> Payload {
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
    if callee.entry == 0 {
        store.lend();
        // SAFETY: the file's contract: without an entry it is a host function.
        let status = unsafe { func::call_host(callee.ctx, values) };
        return if status == 0 { Ok(()) } else { Err(take_error(store)) };
    }
    // SAFETY: the file's contract.
    let enter = || unsafe {
        let entry: Entry = core::mem::transmute(callee.entry as *const ());
        DirectReturn { result: 0, status: entry(callee.ctx, callee.code, values).into() }
    };
    if let Some(outcome) = as_outermost(store, enter) {
        return outcome.map(|_| ());
    }
    activate(store, enter).map(|_| ())
}

/// Calls `callee` with the arguments' bits, as many as its type has parameters. Gives the bits of the result, if it has
/// one.
///
/// # Errors
/// As [`call`].
#[inline]
pub(crate) fn call_directly<A: DirectArguments>(
    store: &mut StoreOpaque,
    callee: &DirectCallee,
    arguments: A,
) -> Result<u64> {
    // SAFETY: the file's contract.
    activate(store, || unsafe { arguments.enter(callee) })
}

/// As [`call_directly`], through [`StoreOpaque::synchronously`] where that is more than a call. It stands in every typed call,
/// so that whatever is not the usual case is elsewhere: a call of a plain store, the only one on its thread.
///
/// # Errors
/// As [`call`].
#[inline]
pub(crate) fn call_synchronously<A: DirectArguments>(
    store: &mut StoreOpaque,
    callee: &DirectCallee,
    arguments: A,
) -> Result<u64> {
    store.lend();
    // SAFETY: the file's contract, and the store is lent.
    match unsafe { arguments.call(callee) } {
        Called { bits, error: None } => Ok(bits),
        Called { error: Some(error), .. } => Err(*error),
    }
}

/// [`DirectWays::raised`] of calls from Rust.
///
/// # Safety
/// As [`DirectCallee::take_raised`].
unsafe extern "C-unwind" fn raised_in_rust(callee: &DirectCallee) -> Called {
    // SAFETY: the caller's promise.
    Err(unsafe { callee.take_raised() }).into()
}

/// Runs `enter`, which enters compiled code, as the thread's only activation. `None` if it is not, or the store is not plain:
/// nothing has then been done.
#[inline(always)]
fn as_outermost(
    store: &mut StoreOpaque,
    enter: impl FnOnce() -> DirectReturn,
) -> Option<Result<u64>> {
    // SAFETY: the store is where it is until the activation is left, below.
    let mut outermost = unsafe { store.outermost.enter(store.obstacles.home()) };
    if outermost.is_none() {
        let home = settle(store)?;
        // SAFETY: as above.
        outermost = unsafe { store.outermost.enter(home) };
    }
    let outermost = outermost?;
    store.lend();
    let DirectReturn { result, status } = enter();
    if status != 0 {
        // SAFETY: nobody else uses the store.
        return Some(Err(unsafe { leave_outermost_raised(&raw mut *store, outermost) }));
    }
    // SAFETY: the store's.
    unsafe { outermost.leave(store.vm.get()) };
    Some(Ok(result))
}

/// Prepares calls that are the only ones on this thread, and gives the thread's number. `None` if they are not, or the store is
/// not plain.
#[cold]
#[inline(never)]
fn settle(store: &mut StoreOpaque) -> Option<u64> {
    if !store.is_plain() {
        return None;
    }
    *store.reached.get_mut() = true;
    // SAFETY: both are the store's.
    let home = unsafe { store.outermost.settle(store.vm.get()) }?;
    store.obstacles.set_home(home);
    Some(home)
}

#[cold]
#[inline(never)]
fn call_unusually<A: DirectArguments>(
    store: &mut StoreOpaque,
    callee: &DirectCallee,
    arguments: A,
) -> Result<u64> {
    store.synchronously(|store| call_directly(store, callee, arguments))
}

/// As [`leave_raised`].
///
/// # Safety
/// As there.
#[cold]
#[inline(never)]
unsafe fn leave_outermost_raised(store: *mut StoreOpaque, outermost: OutermostEntered) -> Error {
    // SAFETY: as there.
    unsafe {
        record_signal(&mut *store);
        outermost.leave((*store).vm.get());
        take_error(&mut *store)
    }
}

/// Runs `enter`, which enters compiled code, as the thread's innermost activation.
fn activate(store: &mut StoreOpaque, enter: impl FnOnce() -> DirectReturn) -> Result<u64> {
    if !store.has_call_hook() {
        return activate_untold(store, enter);
    }
    store.tell(CallHook::CallingWasm)?;
    let outcome = activate_apart(store, enter);
    store.tell(CallHook::ReturningFromWasm)?;
    outcome
}

/// [`activate_untold`], on the thread on which it is called, whatever the compiler knew of threads before: a hook may wait.
#[inline(never)]
fn activate_apart(store: &mut StoreOpaque, enter: impl FnOnce() -> DirectReturn) -> Result<u64> {
    activate_untold(store, enter)
}

/// As [`activate`], and nobody is told.
#[inline]
fn activate_untold(store: &mut StoreOpaque, enter: impl FnOnce() -> DirectReturn) -> Result<u64> {
    *store.reached.get_mut() = true;
    store.obstacles.leave_home();
    let mut activation = Activation::new(store.vm.get());
    // SAFETY: the activation stays where it is until it is left, below.
    unsafe { activation.enter() };
    store.lend();
    let DirectReturn { result, status } = enter();
    if status != 0 {
        // SAFETY: nobody else uses the store.
        return Err(unsafe { leave_raised(&raw mut *store, &mut activation) });
    }
    activation.leave();
    Ok(result)
}

/// Leaves an activation in which something was raised, and says what.
///
/// # Safety
/// `store` is the activation's, and nothing else uses it now.
// Not inlined: after a call, the thread may be another one than before it.
#[cold]
#[inline(never)]
unsafe fn leave_raised(store: *mut StoreOpaque, activation: &mut Activation) -> Error {
    // SAFETY: the caller's promise. Not one borrow for all three: the activation uses the store by its address.
    unsafe {
        record_signal(&mut *store);
        activation.leave();
        take_error(&mut *store)
    }
}

/// The pair that a direct entry trampoline returns, and a host function that is called directly.
#[repr(C)]
pub struct DirectReturn {
    pub(crate) result: u64,
    pub(crate) status: u64,
}

/// The arguments of a direct call.
pub trait DirectArguments: Copy {
    /// Enters by the direct entry trampoline.
    ///
    /// # Safety
    /// The callee is of a live store and has as many parameters; the store's activation is the thread's innermost.
    unsafe fn enter(self, callee: &DirectCallee) -> DirectReturn;

    /// Calls by way of the callee.
    ///
    /// # Safety
    /// The callee is of a live store that is lent, has as many parameters, and was made with [`Self::ways`].
    unsafe fn call(self, callee: &DirectCallee) -> Called;

    /// The functions that calls from Rust need besides the gate.
    fn ways() -> DirectWays;
}

macro_rules! of_u64 {
    ($name:ident) => {
        u64
    };
}

pub(crate) use of_u64;

macro_rules! direct_arguments {
    ($(($count:literal $($name:ident $index:tt)*))*) => {$(
        #[allow(non_snake_case, reason = "named like types")]
        impl DirectArguments for [u64; $count] {
            #[inline]
            unsafe fn enter(self, callee: &DirectCallee) -> DirectReturn {
                let &DirectCallee { ctx, code, entry, .. } = callee;
                // SAFETY: the caller's promise: an entry for this number of parameters.
                unsafe {
                    let entry: unsafe extern "C" fn(u64 $(, of_u64!($name))*, u64) -> DirectReturn =
                        core::mem::transmute(entry as *const ());
                    entry(ctx $(, self[$index])*, code)
                }
            }

            #[inline]
            unsafe fn call(self, callee: &DirectCallee) -> Called {
                // SAFETY: the caller's promise.
                unsafe {
                    let call: unsafe extern "C-unwind" fn(&DirectCallee $(, of_u64!($name))*) -> Called =
                        core::mem::transmute(callee.call as *const ());
                    call(callee $(, self[$index])*)
                }
            }

            fn ways() -> DirectWays {
                unsafe extern "C-unwind" fn unusual(callee: &DirectCallee $(, $name: u64)*) -> Called {
                    // SAFETY: the promise of whoever calls by way of the callee.
                    unsafe { callee.call_without_gate([$($name),*]) }.into()
                }
                DirectWays {
                    unusual: unusual as *const (),
                    raised: raised_in_rust as *const (),
                }
            }
        }
    )*};
}

for_each_arity!(direct_arguments);

/// Turns what the signal handler recorded, if it did, into the store's record.
fn record_signal(store: &mut StoreOpaque) {
    if let Some(kind) = thread::take_trap() {
        let backtrace = backtrace::from_signal(store);
        store.raised = Some(Box::new(Raised::Trap(kind, backtrace)));
    }
}

#[cold]
#[inline(never)]
fn take_error(store: &mut StoreOpaque) -> Error {
    let error = match *store
        .raised
        .take()
        .expect("compiled code raises only after the reason was recorded")
    {
        Raised::Trap(kind, None) => Trap::from(kind).into(),
        Raised::Trap(kind, Some(backtrace)) => Error::from(Trap::from(kind)).context(backtrace),
        Raised::Error(error) => error,
        Raised::Panic(panic) => unwind::resume(panic.into_inner()),
    };
    if store.engine.config().coredump_on_trap
        && error.downcast_ref::<WasmCoreDump>().is_none()
        && let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
    {
        let dump = WasmCoreDump::new(store, backtrace.clone());
        return error.context(dump);
    }
    error
}
