//! Activations of compiled code, linked through their stores: nothing is known of threads.
//!
//! # Safety
//!
//! The address of a store's [`VmStoreCtx`] is that of the store. An [`Activation`] stays in its place on the stack from `enter`
//! to `leave`, and those of a store nest; whoever enters has the store's mutable borrow.
#![allow(unsafe_code, reason = "stacks and frame pointers")]

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use aotc_abi::trap::TrapKind;
use aotc_abi::vmctx::VmStoreCtx;

use super::stack::stack_pointer;
use crate::store::StoreOpaque;
use crate::sys::frames::{self, FRAMES_MAX};

/// A store's youngest activation; null if there is none.
#[derive(Debug)]
pub(crate) struct Youngest(Cell<*const Activation>);

// SAFETY: an activation is on the stack of the thread that has the store's mutable borrow; there is none when the store
// goes to another thread.
unsafe impl Send for Youngest {}

impl Default for Youngest {
    fn default() -> Self {
        Self(Cell::new(ptr::null()))
    }
}

/// Nothing is known of threads.
pub(crate) fn number() -> usize {
    0
}

/// A number that was never given before, from 1.
pub(crate) fn unique_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An entry into compiled code, on the stack of its thread.
pub(crate) struct Activation {
    /// The one before it in the same store.
    previous: *const Activation,
    vm: *mut VmStoreCtx,
    /// The store's fields as they were before.
    saved: VmStoreCtx,
}

impl Activation {
    /// An activation of the store at `vm`, not entered yet.
    #[inline]
    pub(crate) fn new(vm: *mut VmStoreCtx) -> Self {
        // SAFETY: the caller has the store.
        Self { previous: ptr::null(), vm, saved: unsafe { vm.read() } }
    }

    /// Makes this the store's youngest activation.
    ///
    /// # Safety
    /// It is not moved until [`Activation::leave`], which is called before anything else is left.
    #[inline]
    pub(crate) unsafe fn enter(&mut self) {
        let store = self.vm.cast_const().cast::<StoreOpaque>();
        // SAFETY: the file's contract.
        let (youngest, config) = unsafe { (&(*store).youngest.0, (*store).engine.config()) };
        self.previous = youngest.replace(self);
        if self.previous.is_null() {
            let limit = stack_pointer().saturating_sub(config.max_wasm_stack.0 as u64);
            // SAFETY: the caller has the store.
            unsafe { (*self.vm).stack_limit = limit };
        }
    }

    /// Makes the activation before this one the youngest again.
    #[inline]
    pub(crate) fn leave(&mut self) {
        // SAFETY: the file's contract.
        unsafe { (*self.vm.cast_const().cast::<StoreOpaque>()).youngest.0.set(self.previous) };
        // SAFETY: the store is borrowed by the caller.
        let vm = unsafe { &mut *self.vm };
        vm.entry_sp = self.saved.entry_sp;
        vm.entry_fp = self.saved.entry_fp;
        vm.entry_handler = self.saved.entry_handler;
        vm.exit_fp = self.saved.exit_fp;
    }
}

/// There are no shorter ways to make a call.
#[derive(Default)]
pub(crate) struct Outermost(());

impl Outermost {
    /// Does nothing.
    ///
    /// # Safety
    /// None.
    pub(crate) unsafe fn settle(&self, _vm: *mut VmStoreCtx) -> Option<u64> {
        None
    }

    /// Does nothing.
    ///
    /// # Safety
    /// None.
    #[inline]
    pub(crate) unsafe fn enter(&self, _home: u64) -> Option<OutermostEntered> {
        None
    }
}

/// Nobody gets one.
pub(crate) struct OutermostEntered(());

impl OutermostEntered {
    /// Not called, since there is no gate.
    pub(crate) fn by_gate() -> Self {
        Self(())
    }

    /// Does nothing.
    ///
    /// # Safety
    /// None.
    #[inline]
    pub(crate) unsafe fn leave(self, _vm: *mut VmStoreCtx) {}
}

/// Whether compiled code of the store at `vm` is on the stack.
///
/// # Safety
/// The caller has the store.
pub(crate) unsafe fn has_activation(vm: *const VmStoreCtx) -> bool {
    // SAFETY: the file's contract.
    unsafe { !(*vm.cast::<StoreOpaque>()).youngest.0.get().is_null() }
}

/// The trap that a signal handler recorded: none.
pub(crate) fn take_trap() -> Option<TrapKind> {
    None
}

/// Calls `f` with what a signal handler recorded: nothing.
pub(crate) fn with_frames<R>(f: impl FnOnce(&[u64], usize) -> R) -> R {
    f(&[], 0)
}

/// Calls `f` with the program counters of the frames of the store at `vm`, from its last exit on, innermost first, and the
/// number of older frames that were left out. None if it has no activation.
pub(crate) fn with_frames_at_exit<R>(vm: *mut VmStoreCtx, f: impl FnOnce(&[u64], usize) -> R) -> R {
    let (mut pcs, mut count) = ([0; FRAMES_MAX], 0);
    let mut record = |pc| {
        if let Some(slot) = pcs.get_mut(count) {
            *slot = pc;
        }
        count += 1;
    };
    // SAFETY: the store is borrowed by the caller; its activations are on the stack, and have been left through exit
    // trampolines, since the host is running. What each saved are the store's fields for the one before it.
    unsafe {
        let mut activation = (*vm.cast_const().cast::<StoreOpaque>()).youngest.0.get();
        let mut fields = vm.read();
        while !activation.is_null() && fields.exit_fp != 0 {
            let (pc, fp) = frames::caller(fields.exit_fp);
            frames::walk(pc, fp, fields.entry_fp, &mut record);
            fields = (*activation).saved;
            activation = (*activation).previous;
        }
    }
    let recorded = count.min(FRAMES_MAX);
    f(&pcs[..recorded], count - recorded)
}
