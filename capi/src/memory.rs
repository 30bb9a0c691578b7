//! Memories: `wasm_memory_t`.

use core::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use aotc_loader::Memory;

use crate::error::{Failure, shield, shield_or};
use crate::object::{Kind, object_type};
use crate::prelude::*;
use crate::store::wasm_store_t;
use crate::types::wasm_memorytype_t;

object_type! {
    /// A memory.
    wasm_memory_t
}

impl wasm_memory_t {
    fn memory(&self) -> Memory {
        match *self.kind() {
            Kind::Memory(memory) => memory,
            _ => unreachable!("a wasm_memory_t is a memory"),
        }
    }

    fn data(&self) -> *mut u8 {
        self.store().with(|store| self.memory().data_ptr(store))
    }

    fn bytes(&self) -> usize {
        self.store().with(|store| self.memory().data_size(store))
    }
}

/// The address of byte `offset` of `data`, if `bytes` bytes from there are inside.
///
/// # Errors
/// If not.
pub(crate) fn place(data: &mut [u8], offset: u64, bytes: u64) -> Result<*mut u8> {
    let length = data.len();
    let range = offset
        .checked_add(bytes)
        .and_then(|end| data.get_mut(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    let range = range.with_context(|| {
        format!("{bytes} bytes at {offset} are not inside a memory of {length} bytes")
    })?;
    Ok(range.as_mut_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_new(
    store: &wasm_store_t,
    ty: &wasm_memorytype_t,
) -> Option<Box<wasm_memory_t>> {
    shield_or(None, || {
        let memory = store.0.with(|store| Memory::new(store, ty.to_type()))?;
        Ok(Some(Box::new(wasm_memory_t::new(Some(store.clone()), Kind::Memory(memory)))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_type(memory: &wasm_memory_t) -> Box<wasm_memorytype_t> {
    Box::new(memory.store().with(|store| memory.memory().ty(store)).into())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_data(memory: &wasm_memory_t) -> *mut u8 {
    memory.data()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_data_size(memory: &wasm_memory_t) -> usize {
    memory.bytes()
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_size(memory: &wasm_memory_t) -> u32 {
    // At most 2^16 pages.
    memory.store().with(|store| memory.memory().size(store)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn wasm_memory_grow(memory: &wasm_memory_t, delta: u32) -> bool {
    shield_or(false, || {
        memory.store().with(|store| memory.memory().grow(store, delta.into()))?;
        Ok(true)
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_memory_grow(
    memory: &wasm_memory_t,
    delta: u64,
    before: Option<&mut MaybeUninit<u64>>,
) -> Failure {
    shield(|| {
        let pages = memory.store().with(|store| memory.memory().grow(store, delta))?;
        before.map(|before| before.write(pages));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_memory_at(memory: &wasm_memory_t, offset: u64, bytes: u64) -> *mut u8 {
    shield_or(core::ptr::null_mut(), || {
        memory.store().with(|store| place(memory.memory().data_mut(store), offset, bytes))
    })
}
