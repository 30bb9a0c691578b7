//! What a library without Rust's own needs: an allocator, and an end for panics. Both are the C library's, or the
//! program's functions of the same names. And what only this library has: nobody else knows where the stack ends.
//!
//! # Safety
//!
//! Allocations are `malloc`'s, which is aligned for everything that has an alignment of [`ALIGN_BYTES`] or less.

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr;

use crate::c_library::{abort, calloc, free, malloc, realloc};
use crate::engine::wasm_config_t;

/// Memory of the C library.
struct Memory;

/// What `malloc` aligns to, in bytes. Nothing here asks for more; who does gets no memory.
const ALIGN_BYTES: usize = 16;

#[global_allocator]
static MEMORY: Memory = Memory;

// SAFETY: the file's contract.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN_BYTES {
            return ptr::null_mut();
        }
        // SAFETY: a plain call.
        unsafe { malloc(layout.size()) }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN_BYTES {
            return ptr::null_mut();
        }
        // SAFETY: a plain call.
        unsafe { calloc(1, layout.size()) }.cast()
    }

    unsafe fn dealloc(&self, at: *mut u8, _layout: Layout) {
        // SAFETY: the caller's promise: it is of this allocator.
        unsafe { free(at.cast()) }
    }

    unsafe fn realloc(&self, at: *mut u8, _layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promise: it is of this allocator, so that its alignment is `malloc`'s.
        unsafe { realloc(at.cast(), bytes) }.cast()
    }
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // SAFETY: a plain call.
    unsafe { abort() }
}

/// Named by the compiled parts of Rust's library, which could unwind. Nothing does: a panic ends the program.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    // SAFETY: a plain call.
    unsafe { abort() }
}

#[unsafe(no_mangle)]
extern "C" fn aotc_config_max_wasm_stack(config: &mut wasm_config_t, bytes: usize) {
    config.0.max_wasm_stack(bytes);
}
