//! Protection keys: pages in up to 16 colours, and a register of each thread that says which colours it may touch.
//!
//! ```text
//!   PKRU                    | key 15 | ... | key 2 | key 1 | key 0 |    two bits each: no access, no writing
//!   open (the host)           yes           yes     yes     as it is
//!   restricted to key 2       no            yes     no      as it is
//!   closed                    no            no      no      as it is    a thread that is older than the keys
//! ```
//!
//! Pages have key 0 unless they were given another; keys that the embedder uses for itself are left alone. The kernel makes
//! threads closed when the process starts and in every signal handler, and otherwise lets them inherit. The host is opened
//! when WebAssembly is left; a closed thread that touches a page of ours is opened by the signal handler
//! ([`open_interrupted`]), which lets it try again.
//!
//! # Safety
//!
//! [`MASK`] is set once, behind all keys that it names. Only then are `rdpkru` and `wrpkru` executed, which the processor
//! has, since the kernel gave keys. Changing the register changes only which pages fault.
#![allow(unsafe_code, reason = "a register of the processor")]

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;

use crate::prelude::*;
use crate::sync::OnceLock;

/// A key of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

/// Both bits of each key that was taken; 0 before.
static MASK: AtomicU32 = AtomicU32::new(0);
/// The bits in it that forbid any access.
const NO_ACCESS: u32 = 0x5555_5555;
/// `si_code` of a fault because of a key.
const SEGV_PKUERR: i32 = 4;
/// Number of the register among the parts of the extended state.
const STATE_PART: u32 = 9;
/// Place of the bits that say which parts there are, in the extended state.
const STATE_BITS: usize = 512;

impl Key {
    fn bits(self) -> u32 {
        0b11 << (2 * self.0)
    }
}

/// Whether the processor and the kernel have protection keys.
pub(crate) fn are_available() -> bool {
    const OSPKE: u32 = 1 << 4;
    __cpuid_count(7, 0).ecx & OSPKE != 0
}

/// The keys that are ours: up to `count` of those that the process has left. The first call decides how many there are.
/// None if the system has none.
pub(crate) fn keys(count: usize) -> &'static [Key] {
    static KEYS: OnceLock<Vec<Key>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = Vec::new();
        while are_available() && keys.len() < count {
            // SAFETY: a system call with two integers.
            let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, 0) };
            match u32::try_from(key) {
                Ok(key) => keys.push(Key(key)),
                Err(_) => break,
            }
        }
        let mask = keys.iter().fold(0, |mask, key| mask | key.bits());
        MASK.store(mask, Ordering::Release);
        keys
    })
}

/// Gives `bytes` from `address` a key, and makes them readable and writable, or inaccessible.
///
/// # Errors
/// The system's.
///
/// # Safety
/// They lie inside a reservation, and no Rust reference leads there.
pub(crate) unsafe fn color(
    address: u64,
    bytes: u64,
    access: super::Access,
    key: Key,
) -> io::Result<()> {
    let protection = match access {
        super::Access::None => libc::PROT_NONE,
        super::Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let status =
        unsafe { libc::syscall(libc::SYS_pkey_mprotect, address, bytes, protection, key.0) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this thread touch all pages of ours.
pub(crate) fn open() {
    set_rights(rights() & !mask());
}

/// Whether this thread may touch, of our pages, only those with `key`.
pub(crate) fn is_restricted(key: Key) -> bool {
    let others = mask() & NO_ACCESS & !key.bits();
    rights() & mask() & NO_ACCESS == others
}

/// Lets this thread touch, of our pages, only those with `key`.
pub(crate) fn restrict(key: Key) {
    set_rights((rights() | mask() & NO_ACCESS) & !key.bits());
}

/// Lets a signal handler touch our pages. The kernel gives the thread its rights back when the handler returns.
pub(crate) fn open_in_handler() {
    if mask() != 0 {
        open();
    }
}

/// Opens the thread that a signal handler interrupted, from its return on, if it faulted because it is closed. Whether
/// that was so.
///
/// # Safety
/// Both are what the kernel gave to the running signal handler.
pub(crate) unsafe fn open_interrupted(
    info: *const libc::siginfo_t,
    context: *mut libc::ucontext_t,
) -> bool {
    // SAFETY: the kernel's record.
    if mask() == 0 || unsafe { (*info).si_code } != SEGV_PKUERR {
        return false;
    }
    let offset = __cpuid_count(0xd, STATE_PART).ebx as usize;
    // SAFETY: the kernel's context; with keys, the kernel saves the extended state in its standard form, where the register is at
    // the place that the processor tells.
    unsafe {
        let state = (*context).uc_mcontext.fpregs.cast::<u8>();
        if state.is_null() || offset == 0 {
            return false;
        }
        let saved = state.add(offset).cast::<u32>();
        let closed = mask() & NO_ACCESS;
        if saved.read() & closed != closed {
            return false;
        }
        saved.write(saved.read() & !mask());
        let parts = state.add(STATE_BITS).cast::<u64>();
        parts.write(parts.read() | 1 << STATE_PART);
    }
    true
}

fn mask() -> u32 {
    MASK.load(Ordering::Acquire)
}

/// The register.
fn rights() -> u32 {
    let rights;
    // SAFETY: the file's contract.
    unsafe {
        asm!("rdpkru", in("ecx") 0, out("eax") rights, out("edx") _, options(nostack, preserves_flags))
    };
    rights
}

/// Sets the register. No access to memory is moved across this.
fn set_rights(rights: u32) {
    // SAFETY: the file's contract.
    unsafe {
        asm!("wrpkru", in("eax") rights, in("ecx") 0, in("edx") 0, options(nostack, preserves_flags))
    };
}
