//! Builtins: what compiled code calls in the loader, one function per row of [`aotc_abi::builtin`].
//!
//! # Safety
//!
//! Compiled code calls these through trampolines that recorded where wasm was left, with the context of an
//! instance of a store that is borrowed by whoever entered wasm and does not use it meanwhile, and with
//! arguments as the rows say. Nothing unwinds into compiled code: panics are recorded and raised.
#![allow(unsafe_code, reason = "compiled code calls in with raw addresses")]

use anyhow::Error;
use aotc_abi::builtin::{AbiResult, AbiType, BUILTIN_COUNT, Builtin, FAILED, STATUS_RAISED};
use aotc_abi::meta::ElemItemKind;
use aotc_abi::trap::TrapKind;

use crate::backtrace;
use crate::call::Raised;
use crate::global::Global;
use crate::prelude::*;
use crate::store::{StoreOpaque, restrict_again};
use crate::unwind;
use crate::vmctx;

/// The table of builtins, as contexts hold its address.
static TABLE: [Entry; BUILTIN_COUNT] = table();

/// Address of [`TABLE`].
pub(crate) fn table_address() -> u64 {
    TABLE.as_ptr() as u64
}

type Function0<R> = unsafe extern "C" fn(u64) -> R;
type Function1<A, R> = unsafe extern "C" fn(u64, A) -> R;
type Function2<A, B, R> = unsafe extern "C" fn(u64, A, B) -> R;
type Function3<A, B, C, R> = unsafe extern "C" fn(u64, A, B, C) -> R;
type Function4<A, B, C, D, R> = unsafe extern "C" fn(u64, A, B, C, D) -> R;
type Function5<A, B, C, D, E, R> = unsafe extern "C" fn(u64, A, B, C, D, E) -> R;

/// A function of some signature.
#[repr(transparent)]
struct Entry(*const ());

// SAFETY: the address of a function.
unsafe impl Sync for Entry {}

const fn table() -> [Entry; BUILTIN_COUNT] {
    [
        entry(Builtin::Trap, trap as Function1<_, _>, trap as *const ()),
        entry(Builtin::MemoryGrow, memory_grow as Function2<_, _, _>, memory_grow as *const ()),
        entry(Builtin::MemoryCopy, memory_copy as Function3<_, _, _, _>, memory_copy as *const ()),
        entry(Builtin::MemoryFill, memory_fill as Function3<_, _, _, _>, memory_fill as *const ()),
        entry(Builtin::TableGrow, table_grow as Function3<_, _, _, _>, table_grow as *const ()),
        entry(Builtin::TableFill, table_fill as Function4<_, _, _, _, _>, table_fill as *const ()),
        entry(
            Builtin::TableCopy,
            table_copy as Function5<_, _, _, _, _, _>,
            table_copy as *const (),
        ),
        entry(
            Builtin::TableInit,
            table_init as Function5<_, _, _, _, _, _>,
            table_init as *const (),
        ),
        entry(Builtin::OutOfFuel, out_of_fuel as Function0<_>, out_of_fuel as *const ()),
        entry(Builtin::NewEpoch, new_epoch as Function0<_>, new_epoch as *const ()),
    ]
}

/// A builtin as a table entry, if it has its row's signature.
const fn entry<F: Signature + Copy>(builtin: Builtin, function: F, address: *const ()) -> Entry {
    let _ = function;
    let row = builtin.row();
    assert!(row.params.len() == F::PARAMS.len(), "number of a builtin's parameters");
    let mut param = 0;
    while param < row.params.len() {
        assert!(row.params[param] as u8 == F::PARAMS[param] as u8, "type of a builtin's parameter");
        param += 1;
    }
    assert!(row.result as u8 == F::RESULT as u8, "result of a builtin");
    Entry(address)
}

/// The signature of a function type, in the terms of the rows.
trait Signature {
    /// Types of the parameters after the context.
    const PARAMS: &'static [AbiType];
    /// Result.
    const RESULT: AbiResult;
}

trait Param {
    const TYPE: AbiType;
}

impl Param for u32 {
    const TYPE: AbiType = AbiType::I32;
}

impl Param for u64 {
    const TYPE: AbiType = AbiType::I64;
}

trait Outcome {
    const RESULT: AbiResult;
}

impl Outcome for () {
    const RESULT: AbiResult = AbiResult::Nothing;
}

impl Outcome for u32 {
    const RESULT: AbiResult = AbiResult::Status;
}

impl Outcome for i64 {
    const RESULT: AbiResult = AbiResult::FallibleValue;
}

macro_rules! signatures {
    ($(($($param:ident)*))*) => {$(
        impl<R: Outcome, $($param: Param),*> Signature for unsafe extern "C" fn(u64, $($param),*) -> R {
            const PARAMS: &'static [AbiType] = &[$($param::TYPE),*];
            const RESULT: AbiResult = R::RESULT;
        }
    )*};
}

signatures! { () (A) (A B) (A B C) (A B C D) (A B C D E) }

unsafe extern "C" fn trap(ctx: u64, kind: u32) -> u32 {
    // SAFETY: the file's contract.
    unsafe {
        status(ctx, |_, _| {
            let kind = u8::try_from(kind).ok().and_then(TrapKind::from_u8);
            Err(kind.expect("trap kind of compiled code").into())
        })
    }
}

unsafe extern "C" fn memory_grow(ctx: u64, memory: u32, delta: u64) -> i64 {
    // SAFETY: the file's contract.
    let old = unsafe {
        guard(ctx, |store, instance| {
            let index = store.memory_index(instance, memory);
            Ok(store.grow_memory(index, delta)?)
        })
    };
    value(old)
}

unsafe extern "C" fn memory_copy(_ctx: u64, to: u64, from: u64, length: u64) {
    // SAFETY: bounds were checked; the bytes are linear memory's.
    unsafe { core::ptr::copy(from as *const u8, to as *mut u8, length as usize) }
}

unsafe extern "C" fn memory_fill(_ctx: u64, address: u64, byte: u32, length: u64) {
    // SAFETY: bounds were checked; the bytes are linear memory's.
    unsafe { core::ptr::write_bytes(address as *mut u8, byte as u8, length as usize) }
}

unsafe extern "C" fn table_grow(ctx: u64, table: u32, init: u64, delta: u64) -> i64 {
    // SAFETY: the file's contract.
    let old = unsafe {
        guard(ctx, |store, instance| {
            let index = store.table_index(instance, table);
            Ok(store.grow_table(index, init, delta)?)
        })
    };
    value(old)
}

unsafe extern "C" fn table_fill(ctx: u64, table: u32, start: u64, value: u64, length: u64) -> u32 {
    // SAFETY: the file's contract.
    unsafe {
        status(ctx, |store, instance| {
            let index = store.table_index(instance, table);
            Ok(store.table(index).fill(start, value, length)?)
        })
    }
}

unsafe extern "C" fn table_copy(
    ctx: u64,
    to_table: u32,
    from_table: u32,
    to: u64,
    from: u64,
    length: u64,
) -> u32 {
    // SAFETY: the file's contract.
    unsafe {
        status(ctx, |store, instance| {
            let to_table = store.table(store.table_index(instance, to_table));
            let from_table = store.table(store.table_index(instance, from_table));
            Ok(to_table.copy_from(to, from_table, from, length)?)
        })
    }
}

unsafe extern "C" fn table_init(
    ctx: u64,
    table: u32,
    segment: u32,
    to: u64,
    from: u64,
    length: u64,
) -> u32 {
    // SAFETY: the file's contract.
    unsafe {
        status(ctx, |store, instance| {
            Ok(init_table(store, instance, table, segment, to, from, length)?)
        })
    }
}

unsafe extern "C" fn out_of_fuel(ctx: u64) -> u32 {
    // SAFETY: the file's contract.
    unsafe { interruption(ctx, |store| StoreOpaque::out_of_fuel(store)) }
}

unsafe extern "C" fn new_epoch(ctx: u64) -> u32 {
    // SAFETY: the file's contract.
    unsafe { interruption(ctx, |store| StoreOpaque::new_epoch(store)) }
}

/// `table.init`.
fn init_table(
    store: &mut StoreOpaque,
    instance: u32,
    table: u32,
    segment: u32,
    to: u64,
    from: u64,
    length: u64,
) -> Result<(), TrapKind> {
    let data = &store.instances[instance as usize];
    let (module, ctx) = (data.module.clone(), data.ctx);
    let record = module.data().elem_segments().at(segment);
    let available = if record.length == 0 { 0 } else { ctx.at::<u64>(record.length).read() };
    let target = store.table_index(instance, table);
    let size = store.table(target).definition.read().length;
    let inside = |start: u64, limit: u64| start.checked_add(length).is_some_and(|end| end <= limit);
    if !inside(from, available) || !inside(to, size) {
        return Err(TrapKind::TableOutOfBounds);
    }
    let items = module.data().elem_items();
    for offset in 0..length {
        let item = items.at(record.items_start + (from + offset) as u32);
        let value = match ElemItemKind::from_u32(item.kind).expect("checked item kind") {
            ElemItemKind::Null => 0,
            ElemItemKind::Func => {
                let func_ref = module.data().functions().at(item.index).func_ref;
                ctx.address().wrapping_add_signed(func_ref.into())
            }
            ElemItemKind::Global => {
                let data = &store.instances[instance as usize];
                let global: Global = store.instance_global(data, item.index);
                global.slot.read()
            }
        };
        store.table(target).fill(to + offset, value, 1)?;
    }
    Ok(())
}

/// The result of a builtin that gives an old size: -1 if it could not.
fn value(old: Option<Option<u64>>) -> i64 {
    match old {
        Some(Some(old)) => old as i64,
        Some(None) => -1,
        None => FAILED,
    }
}

/// Why a builtin failed.
enum Failure {
    /// A trap of WebAssembly's.
    Trap(TrapKind),
    /// What the embedder gave as the reason.
    Error(Error),
}

impl From<TrapKind> for Failure {
    fn from(kind: TrapKind) -> Self {
        Self::Trap(kind)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Runs a builtin that gives a status.
///
/// # Safety
/// The file's contract for `ctx`.
unsafe fn status(ctx: u64, run: impl FnOnce(&mut StoreOpaque, u32) -> Result<(), Failure>) -> u32 {
    // SAFETY: the caller's promise.
    match unsafe { guard(ctx, run) } {
        Some(()) => 0,
        None => STATUS_RAISED,
    }
}

/// Runs a builtin that may call the host back, and wait. It gets the address of the store, as the host's functions do.
///
/// # Safety
/// The file's contract for `ctx`.
unsafe fn interruption(ctx: u64, run: impl FnOnce(*mut StoreOpaque) -> anyhow::Result<()>) -> u32 {
    // SAFETY: the file's contract: the context's store, which nobody uses now; `StoreOpaque` starts with what
    // the address is that of.
    let store = unsafe { vmctx::store_address(ctx) } as *mut StoreOpaque;
    // SAFETY: as above. The host that is called may touch all memories.
    let key = unsafe { &*store }.open_keys();
    let outcome = unwind::catch(|| run(store));
    // SAFETY: as above; what ran is over.
    let store = unsafe { &mut *store };
    restrict_again(key);
    match outcome {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => store.record_error(error),
        Err(panic) => store.record_panic(panic),
    }
    STATUS_RAISED
}

/// Runs a builtin with the store and the number of the calling instance, and records why it failed, if it did.
///
/// # Safety
/// The file's contract for `ctx`.
unsafe fn guard<R>(
    ctx: u64,
    run: impl FnOnce(&mut StoreOpaque, u32) -> Result<R, Failure>,
) -> Option<R> {
    // SAFETY: the file's contract: the context's store, which nobody uses now; `StoreOpaque` starts with what
    // the address is that of.
    let (store, instance) = unsafe {
        let store = vmctx::store_address(ctx) as *mut StoreOpaque;
        (&mut *store, vmctx::instance_number(ctx) as u32)
    };
    // A limiter or a memory's creator may touch all memories.
    let key = store.open_keys();
    let outcome = unwind::catch(|| run(store, instance));
    restrict_again(key);
    match outcome {
        Ok(Ok(result)) => return Some(result),
        Ok(Err(Failure::Error(error))) => store.record_error(error),
        Ok(Err(Failure::Trap(kind))) => {
            let backtrace = backtrace::capture(store);
            store.raised = Some(Box::new(Raised::Trap(kind, backtrace)));
        }
        Err(panic) => store.record_panic(panic),
    }
    None
}
