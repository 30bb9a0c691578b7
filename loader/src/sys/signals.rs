//! Faults of compiled code become traps; all others go to whoever handled them before.
//!
//! The handler takes a fault for its own if compiled code is active on the thread, the program counter lies in the
//! code of a registered module, and the fault is one that compiled code is meant to have:
//!
//! | instruction | address | trap |
//! |---|---|---|
//! | a trap site | | as the module's table says |
//! | any other | behind a reserved memory of the store | out of bounds memory access |
//! | any other | at the end of the stack | call stack exhausted |
//!
//! Then it records the trap and the frames, and makes the thread go on at the innermost entry trampoline's handler.
//! It allocates nothing and takes no lock. A fault of a thread that is closed to pages with keys is no trap: it is opened and
//! tries again (`sys/keys.rs`).
//!
//! # Safety
//!
//! Handlers are installed once and stay. The kernel calls [`handle`] with valid arguments. What it
//! reads is the thread's record, its activations, the registry of modules, which can be read at any time, and
//! the current store's memories, which nobody changes while compiled code runs.
#![allow(unsafe_code, reason = "signal handlers")]

use crate::sync::OnceLock;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use aotc_abi::trap::TrapKind;

use super::arch::{self, Registers};
use super::{keys, thread};
use crate::module::registry;
use crate::store::StoreOpaque;

/// The signals by which compiled code faults.
const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Who handled [`SIGNALS`] before.
static PREVIOUS: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();

/// Installs the handlers, once per process.
pub(crate) fn install_handlers() {
    PREVIOUS.get_or_init(|| {
        // Who handled the signals is asked for first, so that it is known when the first fault arrives.
        SIGNALS.map(|signal| {
            let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: only asks.
            unsafe {
                let status = libc::sigaction(signal, ptr::null(), previous.as_mut_ptr());
                assert_eq!(status, 0, "sigaction of a valid signal");
                previous.assume_init()
            }
        })
    });
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        for signal in SIGNALS {
            // SAFETY: a valid action; the handler is safe to run at any time.
            unsafe {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
                action.sa_sigaction = handler as usize;
                // Not deferred: a fault in the handler must not hang.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigemptyset(&mut action.sa_mask);
                let status = libc::sigaction(signal, &action, ptr::null_mut());
                assert_eq!(status, 0, "sigaction of a valid signal");
            }
        }
    });
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's arguments.
    unsafe {
        // Contexts may have a key.
        keys::open_in_handler();
        if !take(signal, info, context.cast()) && !keys::open_interrupted(info, context.cast()) {
            pass_on(signal, info, context);
        }
    }
}

/// Turns the fault into a trap. Whether it is one.
///
/// # Safety
/// The arguments are the kernel's.
unsafe fn take(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) -> bool {
    // SAFETY: the kernel's record.
    if unsafe { is_sent(info) } {
        return false;
    }
    let Some(vm) = thread::current_store() else { return false };
    // SAFETY: the kernel's context.
    let Registers { pc, sp, fp } = unsafe { arch::registers(context) };
    let Some(site) = registry::find_trap(pc) else { return false };
    let (kind, return_address) = match site.kind {
        Some(kind) => (kind, None),
        None if signal == libc::SIGSEGV || signal == libc::SIGBUS => {
            // SAFETY: the kernel's record of a fault, which has an address.
            let address = unsafe { (*info).si_addr() } as u64;
            // SAFETY: the innermost activation's store, whose borrow compiled code has now.
            if unsafe { StoreOpaque::is_behind_memory(vm, address) } {
                (TrapKind::MemoryOutOfBounds, None)
            } else if thread::is_stack_end(address, sp) {
                // SAFETY: the kernel's context; what a call left on the stack is readable.
                let caller = unsafe { arch::return_address_in_prologue(context, site.offset) };
                (TrapKind::StackOverflow, caller)
            } else {
                return false;
            }
        }
        None => return false,
    };
    thread::record_trap(kind);
    // SAFETY: the program counter is in compiled code, so this thread is inside its innermost activation, whose entry
    // trampoline filled the store's entry fields and is still on the stack.
    unsafe {
        thread::record_frames_at(pc, fp, return_address);
        let entry = &*vm;
        let registers =
            Registers { pc: entry.entry_handler, sp: entry.entry_sp, fp: entry.entry_fp };
        arch::resume_at(context, registers);
    }
    true
}

/// Whether someone sent the signal, and nothing faulted.
///
/// # Safety
/// `info` is the kernel's.
unsafe fn is_sent(info: *const libc::siginfo_t) -> bool {
    // SAFETY: the kernel's record; signals that were sent have codes up to 0.
    unsafe { (*info).si_code <= 0 }
}

/// Gives a fault that is not ours to whoever handled it before.
///
/// # Safety
/// The arguments are the kernel's.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let place = SIGNALS.iter().position(|&known| known == signal);
    let previous = PREVIOUS.get().zip(place).map(|(previous, place)| &previous[place]);
    // SAFETY: the previous action's own function, called as its flags say.
    unsafe {
        match previous {
            Some(action)
                if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN =>
            {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    let function: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        core::mem::transmute(action.sa_sigaction as *const ());
                    function(signal, info, context);
                } else {
                    let function: extern "C" fn(c_int) =
                        core::mem::transmute(action.sa_sigaction as *const ());
                    function(signal);
                }
            }
            // What someone sent can be ignored; a fault cannot.
            Some(action) if action.sa_sigaction == libc::SIG_IGN && is_sent(info) => {}
            // With the default action in place the instruction faults again, and the process ends as it would
            // have without this handler. What someone sent does not come again by itself.
            _ => {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, ptr::null_mut());
                if is_sent(info) {
                    libc::raise(signal);
                }
            }
        }
    }
}
