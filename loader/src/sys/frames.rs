//! The frames of compiled code.
//!
//! # Safety
//!
//! Frames are walked between a frame pointer of compiled code and that of the entry trampoline, and only upwards.
#![allow(unsafe_code, reason = "frame pointers")]

/// Most frames that are recorded: the youngest. Others are counted.
pub(super) const FRAMES_MAX: usize = 64;

/// Where the caller of the frame at `fp` goes on, and the caller's frame pointer.
///
/// # Safety
/// `fp` is a frame pointer of compiled code that has not returned.
pub(super) unsafe fn caller(fp: u64) -> (u64, u64) {
    let fp = fp as *const u64;
    // SAFETY: the caller's promise.
    unsafe { (fp.add(1).read(), fp.read()) }
}

/// Gives `record` the frame at `pc` and its callers up to the entry trampoline's.
///
/// ```text
///   fp + 8 (one word)   return address, in the caller
///   fp                  the caller's frame pointer
/// ```
///
/// # Safety
/// `fp` is a frame pointer of compiled code whose entry trampoline's is `entry_fp`.
pub(super) unsafe fn walk(mut pc: u64, mut fp: u64, entry_fp: u64, mut record: impl FnMut(u64)) {
    loop {
        record(pc);
        if fp >= entry_fp || !fp.is_multiple_of(8) {
            return;
        }
        // SAFETY: a frame between the innermost and the entry's, on the stack.
        let (return_address, caller_fp) = unsafe { caller(fp) };
        if caller_fp >= entry_fp || caller_fp <= fp {
            return;
        }
        (pc, fp) = (return_address, caller_fp);
    }
}
