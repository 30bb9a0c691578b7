//! Backtraces of WebAssembly frames.

use core::fmt;

use aotc_abi::meta::CodeKind;

use crate::module::Module;
use crate::prelude::*;
use crate::store::StoreOpaque;
use crate::sys::thread;

/// The WebAssembly frames at a trap or a host function's error, innermost first. Attached to the error as
/// context: `error.downcast_ref::<WasmBacktrace>()` finds it.
#[derive(Clone, Debug)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
    frames_left_out: usize,
}

/// What the innermost program counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Innermost {
    /// That of the faulting instruction.
    Fault,
    /// A return address.
    Call,
}

/// A frame of a [`WasmBacktrace`].
#[derive(Clone, Debug)]
pub struct FrameInfo {
    module: Module,
    func_index: u32,
    module_offset: Option<u32>,
    func_offset: Option<u32>,
    symbols: Vec<FrameSymbol>,
}

/// A place in the source of a frame: that of its function, or of one that was inlined into it.
#[derive(Clone, Debug)]
pub struct FrameSymbol {
    name: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

impl FrameSymbol {
    /// The function's name as it is written in the source.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The file, as the compiler of the source knew it.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The column, from 1.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}

impl WasmBacktrace {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// Number of frames older than [`WasmBacktrace::frames`]: only the youngest of a deep stack are kept.
    pub fn frames_left_out(&self) -> usize {
        self.frames_left_out
    }

    /// The backtrace of the code that is calling the host now: empty if the engine makes none
    /// ([`crate::Config::wasm_backtrace_max_frames`]).
    pub fn capture(store: impl crate::AsContext) -> Self {
        capture(&store.as_context().0.opaque).unwrap_or(Self::EMPTY)
    }

    /// As [`WasmBacktrace::capture`], with as many frames as are known, whatever the engine's settings.
    pub fn force_capture(store: impl crate::AsContext) -> Self {
        capture_up_to(&store.as_context().0.opaque, usize::MAX).unwrap_or(Self::EMPTY)
    }

    const EMPTY: Self = Self { frames: Vec::new(), frames_left_out: 0 };

    fn new(
        store: &StoreOpaque,
        frames_max: usize,
        (pcs, left_out): (&[u64], usize),
        innermost: Innermost,
    ) -> Option<Self> {
        let (pcs, older) = pcs.split_at(pcs.len().min(frames_max));
        let frames_left_out = left_out + older.len();
        let frames: Vec<FrameInfo> = pcs
            .iter()
            .enumerate()
            // At a return address the call is just before.
            .filter_map(|(depth, &pc)| match innermost {
                Innermost::Fault if depth == 0 => frame(store, pc),
                Innermost::Fault | Innermost::Call => frame(store, pc - 1),
            })
            .collect();
        (!frames.is_empty()).then_some(Self { frames, frames_left_out })
    }
}

impl FrameInfo {
    /// Index of the function in its module.
    pub fn func_index(&self) -> u32 {
        self.func_index
    }

    /// The function's name, if the module has names.
    pub fn func_name(&self) -> Option<&str> {
        let data = self.module.data();
        let name = data.function_name(self.func_index);
        (!name.is_empty()).then_some(name)
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Offset of the instruction in the wasm file, in bytes, if the artifact has the map.
    pub fn module_offset(&self) -> Option<usize> {
        self.module_offset.map(|offset| offset as usize)
    }

    /// Offset of the instruction in the function's body, in bytes, if the artifact has the map.
    pub fn func_offset(&self) -> Option<usize> {
        self.func_offset.map(|offset| offset as usize)
    }

    /// Where in the source the frame is, if the module came with DWARF and the artifact keeps its lines: the functions that are
    /// inlined here, the innermost first, then the frame's own.
    pub fn symbols(&self) -> &[FrameSymbol] {
        &self.symbols
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error while executing at wasm backtrace:")?;
        for (depth, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {depth:>3}: ")?;
            if let Some(offset) = frame.module_offset() {
                write!(f, "{offset:#6x} - ")?;
            }
            let module = frame.module.name().unwrap_or("<unknown>");
            let Some((first, inlined_into)) = frame.symbols().split_first() else {
                match frame.func_name() {
                    Some(name) => write!(f, "{module}!{name}")?,
                    None => write!(f, "{module}!<wasm function {}>", frame.func_index)?,
                }
                continue;
            };
            write!(f, "{module}!{first}")?;
            for symbol in inlined_into {
                write!(f, "\n       inlined into {symbol}")?;
            }
        }
        if self.frames_left_out > 0 {
            write!(f, "\n  ... {} older frames left out", self.frames_left_out)?;
        }
        Ok(())
    }
}

impl fmt::Display for FrameSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().unwrap_or("<unknown>"))?;
        let Some(file) = self.file() else { return Ok(()) };
        write!(f, "\n             at {file}")?;
        for number in [self.line, self.column].into_iter().map_while(|number| number) {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// The frames below the innermost exit from wasm; `None` if there are none, or the engine makes no backtraces.
pub(crate) fn capture(store: &StoreOpaque) -> Option<WasmBacktrace> {
    capture_up_to(store, store.engine.config().backtrace_frames.0)
}

fn capture_up_to(store: &StoreOpaque, frames_max: usize) -> Option<WasmBacktrace> {
    if frames_max == 0 {
        return None;
    }
    let new = |pcs: &[u64], left_out| {
        WasmBacktrace::new(store, frames_max, (pcs, left_out), Innermost::Call)
    };
    thread::with_frames_at_exit(store.vm.get(), new)
}

/// The frames that the signal handler recorded.
pub(crate) fn from_signal(store: &StoreOpaque) -> Option<WasmBacktrace> {
    let frames_max = store.engine.config().backtrace_frames.0;
    thread::with_frames(|pcs, left_out| {
        WasmBacktrace::new(store, frames_max, (pcs, left_out), Innermost::Fault)
    })
}

fn frame(store: &StoreOpaque, pc: u64) -> Option<FrameInfo> {
    let (module, range, offset) = store
        .modules
        .iter()
        .find_map(|module| module.find_code(pc).map(|(range, offset)| (module, range, offset)))?;
    if CodeKind::from_u32(range.kind) != Some(CodeKind::Function) {
        return None;
    }
    let module_offset = module
        .data()
        .address_map(&range)
        .take_while(|&(code_offset, _)| code_offset <= offset)
        .last()
        .map(|(_, wasm_offset)| wasm_offset);
    let wasm_offset = module.data().wasm_offset(&range);
    let known = |number: u32| (number != 0).then_some(number);
    let lines = module_offset.into_iter().flat_map(|at| module.data().lines(&range, at));
    let string = |index: Option<u32>| Some(module.data().line_string(index?)?.to_owned());
    let symbols = lines.map(|frame| FrameSymbol {
        name: string(frame.name),
        file: string(frame.file),
        line: known(frame.line),
        column: known(frame.column),
    });
    Some(FrameInfo {
        symbols: symbols.collect(),
        module: module.clone(),
        func_index: range.index,
        module_offset,
        func_offset: module_offset.map(|offset| offset.saturating_sub(wasm_offset)),
    })
}
