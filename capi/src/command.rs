//! The `main` of executables that `aotc compile --emit exe --link` makes.
//!
//! # Safety
//!
//! What the header says: the descriptor is the symbol of a linked module, there are as many bytes of settings and as many
//! arguments as is said, and arguments are strings that end with a zero.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;

use aotc_loader::Module;
use aotc_runner::{EXIT_NOT_STARTED, run_linked};

use crate::func::slice;
use crate::panics::caught;

#[unsafe(no_mangle)]
extern "C" fn aotc_main(
    descriptor: *const u8,
    settings: *const u8,
    settings_bytes: usize,
    argc: i32,
    argv: *const *const c_char,
) -> i32 {
    // As it is in programs whose `main` is Rust's: what cannot be written is an error that the program gets.
    // SAFETY: a plain call.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let code = caught(|| {
        // SAFETY: the file's contract.
        let (settings, args) =
            unsafe { (slice(settings, settings_bytes), slice(argv, argc.max(0) as usize)) };
        // SAFETY: the file's contract.
        let arg = |arg: &*const c_char| unsafe { CStr::from_ptr(*arg) };
        let args =
            args.iter().map(arg).map(|arg| OsString::from(OsStr::from_bytes(arg.to_bytes())));
        // SAFETY: the file's contract; it is in the program itself.
        Ok(run_linked(args, settings, |engine| unsafe { Module::from_linked(engine, descriptor) }))
    });
    // A panic has said what it is.
    code.unwrap_or(EXIT_NOT_STARTED).into()
}
