//! What C functions that imports are bound to may ask for: `aotc_bind.h`.

use core::ffi::{CStr, c_char, c_void};

/// Stops the code that called a bound function.
#[unsafe(no_mangle)]
unsafe extern "C" fn aotc_bound_caller_trap(caller: *mut c_void, message: *const c_char) -> ! {
    // SAFETY: the crate's contract: a string that ends with a zero, valid during the call.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    let error = anyhow::Error::msg(message);
    // SAFETY: the header's contract: what the innermost bound function was called with; nothing since has anything to
    // clean up, and neither has this.
    unsafe { aotc_loader::raise_to_caller(caller, error) }
}
