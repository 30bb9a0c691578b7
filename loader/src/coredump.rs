//! Core dumps: what a store held when a call failed, for a debugger to look at.

use alloc::collections::BTreeMap;
use core::fmt;

use crate::backtrace::{FrameInfo, WasmBacktrace};
use crate::global::Global;
use crate::instance::Instance;
use crate::memory::{Memory, PAGE_BYTES};
use crate::module::Module;
use crate::prelude::*;
use crate::store::{AsContextMut, StoreOpaque};
use crate::types::{Mutability, ValType};
use crate::value::Val;

/// What a store held when a call failed: attached to the error as context when [`crate::Config::coredump_on_trap`] is on,
/// so that `error.downcast_ref::<WasmCoreDump>()` finds it.
///
/// It holds handles: what they lead to is read by [`WasmCoreDump::serialize`], which should come before anything
/// else happens in the store.
pub struct WasmCoreDump {
    backtrace: WasmBacktrace,
    modules: Vec<Module>,
    instances: Vec<Instance>,
    memories: Vec<Memory>,
    globals: Vec<Global>,
}

impl WasmCoreDump {
    pub(crate) fn new(store: &StoreOpaque, backtrace: WasmBacktrace) -> Self {
        // The handles that it holds can be used.
        store.reached.store(true, core::sync::atomic::Ordering::Relaxed);
        let mut globals: Vec<Global> = Vec::new();
        for data in &store.instances {
            for index in 0..data.module.data().globals().len() as u32 {
                let global = store.instance_global(data, index);
                if !globals.iter().any(|known| known.slot.address() == global.slot.address()) {
                    globals.push(global);
                }
            }
        }
        Self {
            backtrace,
            modules: store.modules.clone(),
            instances: (0..store.instances.len() as u32)
                .map(|index| Instance::from_index(store, index))
                .collect(),
            memories: (0..store.memory_count() as u32)
                .map(|index| Memory { store: store.id, index })
                .collect(),
            globals,
        }
    }

    /// The frames at the failure, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        self.backtrace.frames()
    }

    /// The modules that the store had instances of.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The store's instances, in the order in which they were made.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The memories of the store, those that the host made among them.
    pub fn memories(&self) -> &[Memory] {
        &self.memories
    }

    /// The globals of the store's instances, imported ones among them.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// The dump as a WebAssembly module in the core dump format of the tool conventions, for the program `name`: frames in
    /// the section `corestack`, and memories and globals with what they hold as ordinary sections. References among
    /// the globals are null in it, for they would mean nothing; locals and operand stacks are not in it, since compiled code
    /// does not keep them. A frame is given the first instance of its module.
    ///
    /// # Panics
    /// If `store` is not the one whose call failed.
    pub fn serialize(&self, mut store: impl AsContextMut, name: &str) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        custom(&mut out, "core", |out| {
            out.push(0);
            text(out, name);
        });
        custom(&mut out, "coremodules", |out| {
            vector(out, &self.modules, |out, module| {
                out.push(0);
                text(out, module.name().unwrap_or_default());
            });
        });
        self.instances_section(&mut out, &mut store);
        self.stack_section(&mut out, &mut store);
        section(&mut out, 5, |out| {
            vector(out, &self.memories, |out, memory| {
                let ty = memory.ty(&store);
                out.push(u8::from(ty.maximum().is_some()));
                unsigned(out, ty.minimum());
                if let Some(maximum) = ty.maximum() {
                    unsigned(out, maximum);
                }
            });
        });
        section(&mut out, 6, |out| {
            vector(out, &self.globals, |out, global| {
                let ty = global.ty(&store);
                out.push(type_byte(*ty.content()));
                out.push(u8::from(ty.mutability() == Mutability::Var));
                constant(out, &global.get(&mut store));
            });
        });
        let mut segments = Vec::new();
        for (index, memory) in (0..).zip(&self.memories) {
            let store = store.as_context();
            written(memory.data(&store), |offset, bytes| {
                let mut segment = Vec::new();
                unsigned(&mut segment, if index == 0 { 0 } else { 2 });
                if index != 0 {
                    unsigned(&mut segment, index);
                }
                constant(&mut segment, &Val::I32(offset as u32 as i32));
                unsigned(&mut segment, bytes.len() as u64);
                segment.extend_from_slice(bytes);
                segments.push(segment);
            });
        }
        section(&mut out, 11, |out| {
            vector(out, &segments, |out, segment| out.extend_from_slice(segment));
        });
        out
    }

    fn instances_section(&self, out: &mut Vec<u8>, store: &mut impl AsContextMut) {
        let store = &store.as_context_mut().0.opaque;
        let globals: BTreeMap<u64, u64> = (0..)
            .zip(&self.globals)
            .map(|(index, global)| (global.slot.address(), index))
            .collect();
        custom(out, "coreinstances", |out| {
            vector(out, &self.instances, |out, instance| {
                let data = instance.data(store);
                out.push(0);
                unsigned(out, self.module_index(&data.module));
                let memories: Vec<u32> = (0..data.module.data().memories().len() as u32)
                    .map(|memory| store.memory_index(instance.index(), memory))
                    .collect();
                vector(out, &memories, |out, &memory| unsigned(out, memory.into()));
                let slots: Vec<u64> = (0..data.module.data().globals().len() as u32)
                    .map(|global| store.instance_global(data, global).slot.address())
                    .collect();
                vector(out, &slots, |out, slot| {
                    unsigned(out, globals.get(slot).copied().unwrap_or_default());
                });
            });
        });
    }

    fn stack_section(&self, out: &mut Vec<u8>, store: &mut impl AsContextMut) {
        let store = &store.as_context_mut().0.opaque;
        custom(out, "corestack", |out| {
            out.push(0);
            text(out, "main");
            vector(out, self.frames(), |out, frame| {
                let is_its = |instance: &&Instance| {
                    Module::same(&instance.data(store).module, frame.module())
                };
                let instance = self.instances.iter().position(|instance| is_its(&instance));
                out.push(0);
                unsigned(out, instance.unwrap_or_default() as u64);
                unsigned(out, frame.func_index().into());
                // Offsets are counted in the function, as the format wants them.
                unsigned(out, frame.func_offset().unwrap_or_default() as u64);
                // Neither locals nor operands.
                unsigned(out, 0);
                unsigned(out, 0);
            });
        });
    }

    fn module_index(&self, module: &Module) -> u64 {
        let index = self.modules.iter().position(|known| Module::same(known, module));
        index.unwrap_or_default() as u64
    }
}

/// Calls `found` for each run of small pages that are not all zero.
fn written<'a>(bytes: &'a [u8], mut found: impl FnMut(usize, &'a [u8])) {
    const PIECE_BYTES: usize = 4096;
    const { assert!(PAGE_BYTES.is_multiple_of(PIECE_BYTES as u64)) };
    let mut start = None;
    for (index, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
        let at = index * PIECE_BYTES;
        match (start, piece.iter().any(|&byte| byte != 0)) {
            (None, true) => start = Some(at),
            (Some(first), false) => {
                found(first, &bytes[first..at]);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(first) = start {
        found(first, &bytes[first..]);
    }
}

fn custom(out: &mut Vec<u8>, name: &str, contents: impl FnOnce(&mut Vec<u8>)) {
    section(out, 0, |out| {
        text(out, name);
        contents(out);
    });
}

fn section(out: &mut Vec<u8>, id: u8, contents: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    contents(&mut body);
    out.push(id);
    unsigned(out, body.len() as u64);
    out.extend_from_slice(&body);
}

fn vector<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    unsigned(out, items.len() as u64);
    for item in items {
        write(out, item);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    unsigned(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// LEB128.
fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Signed LEB128.
fn signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn type_byte(ty: ValType) -> u8 {
    ty.to_abi() as u8
}

/// A constant expression.
fn constant(out: &mut Vec<u8>, value: &Val) {
    match value {
        Val::I32(value) => {
            out.push(0x41);
            signed(out, (*value).into());
        }
        Val::I64(value) => {
            out.push(0x42);
            signed(out, *value);
        }
        Val::F32(bits) => {
            out.push(0x43);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Val::F64(bits) => {
            out.push(0x44);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Val::V128(value) => {
            out.extend_from_slice(&[0xfd, 0x0c]);
            out.extend_from_slice(&value.as_u128().to_le_bytes());
        }
        Val::FuncRef(_) => out.extend_from_slice(&[0xd0, type_byte(ValType::FUNCREF)]),
        Val::ExternRef(_) => out.extend_from_slice(&[0xd0, type_byte(ValType::EXTERNREF)]),
    }
    out.push(0x0b);
}

impl fmt::Display for WasmCoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wasm coredump of:")?;
        for module in &self.modules {
            writeln!(f, "  {}", module.name().unwrap_or("<unknown>"))?;
        }
        write!(f, "{}", self.backtrace)
    }
}

impl fmt::Debug for WasmCoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmCoreDump")
            .field("instances", &self.instances.len())
            .field("backtrace", &self.backtrace)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let unsigned = |value| {
            let mut out = Vec::new();
            super::unsigned(&mut out, value);
            out
        };
        let signed = |value| {
            let mut out = Vec::new();
            super::signed(&mut out, value);
            out
        };
        assert_eq!(unsigned(0), [0]);
        assert_eq!(unsigned(624_485), [0xe5, 0x8e, 0x26]);
        assert_eq!(unsigned(u64::MAX).len(), 10);
        assert_eq!(signed(-123_456), [0xc0, 0xbb, 0x78]);
        assert_eq!((signed(63), signed(64), signed(-64)), (vec![63], vec![0xc0, 0], vec![0x40]));
        assert_eq!(signed(i64::MIN).len(), 10);
    }

    #[test]
    fn only_written_pages() {
        let mut bytes = vec![0; 5 * 4096];
        let pages = |bytes: &[u8]| {
            let mut found = Vec::new();
            written(bytes, |offset, bytes| found.push((offset / 4096, bytes.len() / 4096)));
            found
        };
        assert_eq!(pages(&bytes), []);
        bytes[4096] = 1;
        bytes[3 * 4096 - 1] = 1;
        bytes[5 * 4096 - 1] = 1;
        assert_eq!(pages(&bytes), [(1, 2), (4, 1)]);
    }
}
