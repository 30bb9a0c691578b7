//! Frames of backtraces: `wasm_frame_t`.

use alloc::ffi::CString;
use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::ptr;

use aotc_loader::{FrameInfo, FrameSymbol, WasmBacktrace};

use crate::error::c_string;
use crate::object::wasm_ref_t;
use crate::prelude::*;
use crate::sync::OnceLock;
use crate::vector::Vector;

/// A function that was being executed.
pub(crate) struct wasm_frame_t {
    frame: FrameInfo,
    names: OnceLock<Names>,
}

/// The texts of a frame, for C.
struct Names {
    module: Option<CString>,
    func: Option<CString>,
    /// Function and file, in the order of [`FrameInfo::symbols`].
    symbols: Vec<(Option<CString>, Option<CString>)>,
}

/// `aotc_source_t`: a place in the source.
#[repr(C)]
pub(crate) struct aotc_source_t {
    pub(crate) func: *const c_char,
    pub(crate) file: *const c_char,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// `wasm_frame_vec_t`.
pub(crate) type wasm_frame_vec_t = Vector<Option<Box<wasm_frame_t>>>;

/// The frames of a backtrace, innermost first.
pub(crate) fn frames(backtrace: Option<&WasmBacktrace>) -> wasm_frame_vec_t {
    let frames = backtrace.map(WasmBacktrace::frames).unwrap_or_default();
    Vector::of(frames.iter().map(wasm_frame_t::new))
}

impl Clone for wasm_frame_t {
    fn clone(&self) -> Self {
        Self::new(&self.frame)
    }
}

impl wasm_frame_t {
    pub(crate) fn new(frame: &FrameInfo) -> Self {
        Self { frame: frame.clone(), names: OnceLock::new() }
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(|| Names {
            module: self.frame.module().name().map(c_string),
            func: self.frame.func_name().map(c_string),
            symbols: self.frame.symbols().iter().map(symbol_names).collect(),
        })
    }
}

fn symbol_names(symbol: &FrameSymbol) -> (Option<CString>, Option<CString>) {
    (symbol.name().map(c_string), symbol.file().map(c_string))
}

fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_delete(frame: Option<Box<wasm_frame_t>>) {
    drop(frame);
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_copy(frame: &wasm_frame_t) -> Box<wasm_frame_t> {
    Box::new(frame.clone())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_instance(_frame: &wasm_frame_t) -> *mut wasm_ref_t {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_func_index(frame: &wasm_frame_t) -> u32 {
    frame.frame.func_index()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_func_offset(frame: &wasm_frame_t) -> usize {
    frame.frame.func_offset().unwrap_or(usize::MAX)
}

#[unsafe(no_mangle)]
extern "C" fn wasm_frame_module_offset(frame: &wasm_frame_t) -> usize {
    frame.frame.module_offset().unwrap_or(usize::MAX)
}

#[unsafe(no_mangle)]
extern "C" fn aotc_frame_module_name(frame: &wasm_frame_t) -> *const c_char {
    pointer(frame.names().module.as_ref())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_frame_func_name(frame: &wasm_frame_t) -> *const c_char {
    pointer(frame.names().func.as_ref())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_frame_source(
    frame: &wasm_frame_t,
    depth: usize,
    out: &mut MaybeUninit<aotc_source_t>,
) -> bool {
    let Some(symbol) = frame.frame.symbols().get(depth) else { return false };
    let (func, file) = &frame.names().symbols[depth];
    out.write(aotc_source_t {
        func: pointer(func.as_ref()),
        file: pointer(file.as_ref()),
        line: symbol.line().unwrap_or(0),
        column: symbol.column().unwrap_or(0),
    });
    true
}
