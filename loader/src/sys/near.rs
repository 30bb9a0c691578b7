//! Addresses near the loader's own code, where artifacts are mapped if the kernel agrees.
//!
//! The kernel's own choice is far from a program's code. Branch predictors keep the lower bits of targets: on an AMD Zen, a
//! call and its return that change bit 37 of the program counter or a higher one took three cycles more.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use super::page_bytes;

/// Distance of the first one below the loader's code, in bytes: out of the way of the program, and of what grows behind it.
const DISTANCE_BYTES: u64 = 1 << 28;

/// What is used below that before it starts again, in bytes. What is in use then is passed over by the kernel.
const SPAN_BYTES: u64 = 1 << 34;

/// An address for a new mapping of `bytes` from `start`, which leaves room for what is mapped before: a wish, since something
/// may be there. Null if there is no room for wishes.
pub(super) fn wish(start: u64, bytes: u64) -> *mut c_void {
    static USED_BYTES: AtomicU64 = AtomicU64::new(0);
    let here = wish as *const () as u64;
    let bytes = (start + bytes).next_multiple_of(page_bytes());
    let used = USED_BYTES.fetch_add(bytes, Ordering::Relaxed) % SPAN_BYTES;
    let top = (here - here % page_bytes()).checked_sub(DISTANCE_BYTES + used + bytes);
    match top {
        // Programs at fixed low addresses have little before them.
        Some(address) if address >= DISTANCE_BYTES => (address + start) as *mut c_void,
        _ => ptr::null_mut(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_lie_below_the_code_and_apart() {
        let here = wish as *const () as u64;
        let first = wish(page_bytes(), 1) as u64;
        let second = wish(0, 3 * page_bytes()) as u64;
        assert!(here - DISTANCE_BYTES - SPAN_BYTES <= second && first < here - DISTANCE_BYTES);
        // The first has a page before it, which belongs to it.
        assert!(second + 3 * page_bytes() <= first - page_bytes());
    }
}
