//! The records that compiled code reads and writes, and where an instance keeps them.
//!
//! A function gets one context pointer, `ctx`. For an instance it is the base of the instance's own
//! memory 0 (or where that would be); everything else lies below it:
//!
//! ```text
//!   ctx - vmctx_bytes   page boundary; unused up to the first record
//!                       initial elements of the tables           8 bytes each
//!                       function references                      VmFuncRef each
//!                       segment lengths                          u64 each
//!                       memory definitions and imports           VmMemoryDefinition / u64 address of one
//!                       table definitions and imports            VmTableDefinition / u64 address of one
//!                       function imports                         VmFunctionImport each
//!                       16-byte globals (v128)
//!                       8-byte globals and imports of globals    value / u64 address of a slot
//!   ctx - 64            VmCtxHeader
//!   ctx                 memory 0
//! ```
//!
//! The whole of it, with the initial contents of memory 0 behind it, is an image in the artifact that
//! is mapped copy-on-write. So no record holds an address that the compiler would have to know:
//! * code is an offset from the start of the module data (`code_base`),
//! * an element of a funcref table is the distance from the table's `anchor` to the [`VmFuncRef`];
//!   the anchor of an instance's own tables is its null reference record, so that the null element,
//!   0, needs no check of its own before the signature check,
//! * a [`VmFuncRef`] finds its context by its own address.
//!
//! A host function's context is the address of a [`VmHostFunc`] that has a [`VmCalleePrefix`] before
//! it, so that code can find the code base and the store below any context.

use core::mem::{offset_of, size_of};

/// The last 16 bytes below every callee context.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmCalleePrefix {
    /// What code offsets count from: the address of the module data. For a host function, the
    /// address of its exit trampoline (its [`VmFuncRef::code_offset`] is 0), or 0 while the store
    /// holds no module with one.
    pub code_base: u64,
    /// Address of the store's [`VmStoreCtx`].
    pub store: u64,
}

/// What lies just below an instance's context.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmCtxHeader {
    /// The record that null elements of this instance's tables lead to; its type hash is 0.
    pub null_func_ref: VmFuncRef,
    /// The loader's own: which instance this is.
    pub instance: u64,
    /// Address of the table of builtins.
    pub builtins: u64,
    /// Memory 0, if the instance defines it.
    pub memory0: VmMemoryDefinition,
    /// Code base and store.
    pub prefix: VmCalleePrefix,
}

/// A function reference's target. Funcref values in wasm are addresses of these, 0 for null.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmFuncRef {
    /// [`crate::types::func_type_hash`] of the function's type; 0 in the null record.
    pub type_hash: u64,
    /// Wasm-call entry, counted from the callee's `code_base`.
    pub code_offset: i32,
    /// From the address of this record to the callee's context.
    pub ctx_delta: i32,
}

/// An imported function: what a call needs, and, for a host function, the function itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmFunctionImport {
    /// Address of the wasm-call entry: the exporter's code, or this module's exit trampoline.
    pub code: u64,
    /// The callee's context: the exporter's, or the address of `host` below.
    pub ctx: u64,
    /// Prefix of `host`. Zero unless this is a host function.
    pub prefix: VmCalleePrefix,
    /// The host function. Zero unless this is one.
    pub host: VmHostFunc,
}

/// A host function as the context of its exit trampoline.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmHostFunc {
    /// If functions of its type [can be called directly](crate::types::can_call_directly): `extern "C" fn(ctx: *mut
    /// VmHostFunc, params: u64...) -> (result: u64, status: u64)`. Otherwise `array_call`. The status is 0, or
    /// [`crate::builtin::STATUS_RAISED`] with the reason recorded and the store's address as the result.
    pub call: u64,
    /// The loader's own: the function's data.
    pub data: u64,
    /// Context of the instance that imports it; 0 if no instance does.
    pub caller: u64,
    /// `extern "C" fn(ctx: *mut VmHostFunc, values: *mut VmValue) -> u32`: reads the arguments from `values`, writes the
    /// results there, and returns a status.
    pub array_call: u64,
}

/// A host function that is not (only) an import, so that it can be a funcref.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmHostFuncRef {
    /// Its reference record; `ctx_delta` leads to `host`.
    pub func_ref: VmFuncRef,
    /// Prefix of `host`.
    pub prefix: VmCalleePrefix,
    /// The function.
    pub host: VmHostFunc,
}

/// A linear memory. The owner keeps it up to date; importers hold its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmMemoryDefinition {
    /// Address of byte 0. Constant for the life of a reserved memory.
    pub base: u64,
    /// Current length in bytes.
    pub length_bytes: u64,
}

/// A table. The owner keeps it up to date; importers hold its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmTableDefinition {
    /// Address of element 0; elements are 8 bytes.
    pub base: u64,
    /// Current length in elements.
    pub length: u64,
    /// For funcref tables: what elements count from. Unused, 0, for externref tables.
    pub anchor: u64,
}

/// State of a store that compiled code touches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmStoreCtx {
    /// Lowest stack pointer with which wasm may be left for the host; every function's prologue
    /// compares with it when traps are explicit.
    pub stack_limit: u64,
    /// Stack pointer of the innermost entry trampoline, or of what enters in a trampoline's place.
    pub entry_sp: u64,
    /// Its frame pointer. The loader sets it to 0 when the outermost has been left: then no code of the store is on a stack.
    pub entry_fp: u64,
    /// Address in it at which a raise resumes.
    pub entry_handler: u64,
    /// Frame pointer of the last exit trampoline. There is the youngest wasm frame's, and a word above it the return
    /// address into it.
    pub exit_fp: u64,
    /// Address of `extern "C" fn(store: *mut VmStoreCtx) -> !`, which resumes at `entry_handler` with
    /// `entry_sp` and `entry_fp`. The reason was recorded before.
    pub raise: u64,
    /// Fuel, counted upwards: what was consumed, less what may be. Code with fuel that finds it not negative calls
    /// [`crate::builtin::Builtin::OutOfFuel`]. Up to date wherever a function is entered or left.
    pub fuel: i64,
    /// Code with epochs that finds the epoch here or beyond calls [`crate::builtin::Builtin::NewEpoch`].
    pub epoch_deadline: u64,
    /// Address of the engine's epoch, 64 bits that any thread may count up at any time.
    pub epoch: u64,
}

/// A value in an array call's argument and result slots: 16 bytes, little-endian, the rest undefined.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmValue {
    /// The bytes; integers, floats and references use the first 4 or 8.
    pub bytes: [u8; 16],
}

impl VmValue {
    /// The first 8 bytes: all of a value that is not a vector.
    #[inline]
    pub fn bits(&self) -> u64 {
        let (bits, _) = self.bytes.split_first_chunk().expect("16 bytes");
        u64::from_le_bytes(*bits)
    }

    /// Sets the first 8 bytes.
    #[inline]
    pub fn set_bits(&mut self, bits: u64) {
        self.bytes[..8].copy_from_slice(&bits.to_le_bytes());
    }
}

/// Size of a slot of an array call, in bytes.
pub const VALUE_BYTES: i32 = size_of::<VmValue>() as i32;

/// Where compiled code finds a field, and what it may assume of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Distance from the base the field belongs to (a context, a record), in bytes.
    pub offset: i32,
    /// Whether the value stays the same while compiled code of the instance runs.
    pub constancy: Constancy,
}

/// Whether a field changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constancy {
    /// Set before any code of the instance runs, never changed: loads may be moved and merged.
    Constant,
    /// May change at any call.
    Variable,
}

const fn field(offset: i32, constancy: Constancy) -> Field {
    Field { offset, constancy }
}

use Constancy::{Constant, Variable};

const HEADER_BYTES: i32 = size_of::<VmCtxHeader>() as i32;

macro_rules! below_ctx {
    ($($field:tt)*) => {
        offset_of!(VmCtxHeader, $($field)*) as i32 - HEADER_BYTES
    };
}

/// Fields counted from a context.
pub mod ctx {
    use super::*;

    /// [`VmCtxHeader::null_func_ref`]: the anchor of the instance's own tables. Not a load: an address.
    pub const NULL_FUNC_REF: i32 = below_ctx!(null_func_ref);
    /// [`VmCtxHeader::instance`].
    pub const INSTANCE: Field = field(below_ctx!(instance), Constant);
    /// [`VmCtxHeader::builtins`].
    pub const BUILTINS: Field = field(below_ctx!(builtins), Constant);
    /// [`VmCtxHeader::memory0`]. Not a load: the address of the definition.
    pub const MEMORY0: i32 = below_ctx!(memory0);
    /// [`VmCalleePrefix::code_base`], also below a host function's context.
    pub const CODE_BASE: Field = field(below_ctx!(prefix.code_base), Constant);
    /// [`VmCalleePrefix::store`], also below a host function's context.
    pub const STORE: Field = field(below_ctx!(prefix.store), Constant);
}

/// Fields counted from a [`VmHostFunc`], which is a host function's context.
pub mod host_func {
    use super::*;

    /// [`VmHostFunc::call`].
    pub const CALL: Field = field(offset_of!(VmHostFunc, call) as i32, Constant);
}

/// Fields counted from a [`VmFuncRef`].
pub mod func_ref {
    use super::*;

    /// [`VmFuncRef::type_hash`], 64 bits.
    pub const TYPE_HASH: Field = field(offset_of!(VmFuncRef, type_hash) as i32, Constant);
    /// [`VmFuncRef::code_offset`], 32 bits, signed.
    pub const CODE_OFFSET: Field = field(offset_of!(VmFuncRef, code_offset) as i32, Constant);
    /// [`VmFuncRef::ctx_delta`], 32 bits, signed.
    pub const CTX_DELTA: Field = field(offset_of!(VmFuncRef, ctx_delta) as i32, Constant);
}

/// Fields counted from a [`VmFunctionImport`].
pub mod function_import {
    use super::*;

    /// [`VmFunctionImport::code`].
    pub const CODE: Field = field(offset_of!(VmFunctionImport, code) as i32, Constant);
    /// [`VmFunctionImport::ctx`].
    pub const CTX: Field = field(offset_of!(VmFunctionImport, ctx) as i32, Constant);
}

/// Fields counted from a [`VmMemoryDefinition`].
pub mod memory {
    use super::*;

    /// [`VmMemoryDefinition::base`]. Constant only for a reserved memory ([`crate::target::BoundsStyle::Guard`]).
    pub const BASE: Field = field(offset_of!(VmMemoryDefinition, base) as i32, Variable);
    /// [`VmMemoryDefinition::length_bytes`].
    pub const LENGTH_BYTES: Field =
        field(offset_of!(VmMemoryDefinition, length_bytes) as i32, Variable);
}

/// Fields counted from a [`VmTableDefinition`].
pub mod table {
    use super::*;

    /// [`VmTableDefinition::base`].
    pub const BASE: Field = field(offset_of!(VmTableDefinition, base) as i32, Variable);
    /// [`VmTableDefinition::length`].
    pub const LENGTH: Field = field(offset_of!(VmTableDefinition, length) as i32, Variable);
    /// [`VmTableDefinition::anchor`].
    pub const ANCHOR: Field = field(offset_of!(VmTableDefinition, anchor) as i32, Constant);
}

/// Fields counted from the [`VmStoreCtx`].
pub mod store {
    use super::*;

    /// [`VmStoreCtx::stack_limit`].
    pub const STACK_LIMIT: Field = field(offset_of!(VmStoreCtx, stack_limit) as i32, Variable);
    /// [`VmStoreCtx::entry_sp`].
    pub const ENTRY_SP: Field = field(offset_of!(VmStoreCtx, entry_sp) as i32, Variable);
    /// [`VmStoreCtx::entry_fp`].
    pub const ENTRY_FP: Field = field(offset_of!(VmStoreCtx, entry_fp) as i32, Variable);
    /// [`VmStoreCtx::entry_handler`].
    pub const ENTRY_HANDLER: Field = field(offset_of!(VmStoreCtx, entry_handler) as i32, Variable);
    /// [`VmStoreCtx::exit_fp`].
    pub const EXIT_FP: Field = field(offset_of!(VmStoreCtx, exit_fp) as i32, Variable);
    /// [`VmStoreCtx::raise`].
    pub const RAISE: Field = field(offset_of!(VmStoreCtx, raise) as i32, Constant);
    /// [`VmStoreCtx::fuel`].
    pub const FUEL: Field = field(offset_of!(VmStoreCtx, fuel) as i32, Variable);
    /// [`VmStoreCtx::epoch_deadline`].
    pub const EPOCH_DEADLINE: Field =
        field(offset_of!(VmStoreCtx, epoch_deadline) as i32, Variable);
    /// [`VmStoreCtx::epoch`]. The address; the epoch itself changes whatever the code does.
    pub const EPOCH: Field = field(offset_of!(VmStoreCtx, epoch) as i32, Constant);
}

/// log2 of the page size of linear memories, in bytes.
pub const MEMORY_PAGE_BITS: u32 = 16;

/// Most pages of a linear memory with 32-bit addresses.
pub const MEMORY_PAGES_MAX: u64 = 1 << 16;

/// Size of a table element, in bytes.
pub const TABLE_ELEMENT_BYTES: u32 = 8;

/// Tables with a minimum above this many elements are not kept below the context; the loader
/// allocates them. 65,536 elements are 512 KiB.
pub const TABLE_INLINE_ELEMENTS_MAX: u64 = 1 << 16;

/// How much of everything an instance has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots of 8 bytes: defined globals that are not vectors, and imported globals (addresses).
    pub globals8: u32,
    /// Slots of 16 bytes: defined globals of type v128.
    pub globals16: u32,
    /// Imported functions.
    pub function_imports: u32,
    /// Tables with a [`VmTableDefinition`] here.
    pub tables: u32,
    /// Imported tables (addresses).
    pub table_imports: u32,
    /// Memories with a [`VmMemoryDefinition`] here: those defined, except memory 0.
    pub memories: u32,
    /// Imported memories (addresses).
    pub memory_imports: u32,
    /// Segments whose length must be known at run time.
    pub segments: u32,
    /// Functions that can be referenced.
    pub func_refs: u32,
    /// Elements of all tables that are kept below the context.
    pub table_elements: u32,
}

/// Where the arrays lie: offsets of their first elements from the context, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmCtxLayout {
    /// First 8-byte global slot. **Counts downwards**: slot `i` is at `globals8 - 8 * i`, so that the
    /// first globals are nearest to the context, where displacements are short.
    pub globals8: i32,
    /// First 16-byte global slot; slot `i` is at `globals16 + 16 * i`, aligned to 16.
    pub globals16: i32,
    /// First [`VmFunctionImport`].
    pub function_imports: i32,
    /// First [`VmTableDefinition`].
    pub tables: i32,
    /// First address of an imported table.
    pub table_imports: i32,
    /// First [`VmMemoryDefinition`].
    pub memories: i32,
    /// First address of an imported memory.
    pub memory_imports: i32,
    /// First segment length.
    pub segments: i32,
    /// First [`VmFuncRef`].
    pub func_refs: i32,
    /// First table element.
    pub table_elements: i32,
    /// Size of everything below the context, in bytes: a multiple of the page size.
    pub vmctx_bytes: u32,
}

impl VmCtxLayout {
    /// Lays out an instance with these counts for pages of `page_bytes`. `None` if it would take
    /// more than 1 GiB.
    pub fn new(counts: &Counts, page_bytes: u32) -> Option<Self> {
        let mut cursor = Cursor { below_bytes: HEADER_BYTES as u64 };
        let globals8_end = cursor.below_bytes;
        cursor.place(counts.globals8, 8, 8);
        let layout = Self {
            globals8: -(globals8_end as i32) - 8,
            globals16: cursor.place(counts.globals16, 16, 16),
            function_imports: cursor.place(
                counts.function_imports,
                size_of::<VmFunctionImport>(),
                8,
            ),
            tables: cursor.place(counts.tables, size_of::<VmTableDefinition>(), 8),
            table_imports: cursor.place(counts.table_imports, 8, 8),
            memories: cursor.place(counts.memories, size_of::<VmMemoryDefinition>(), 8),
            memory_imports: cursor.place(counts.memory_imports, 8, 8),
            segments: cursor.place(counts.segments, 8, 8),
            func_refs: cursor.place(counts.func_refs, size_of::<VmFuncRef>(), 16),
            table_elements: cursor.place(counts.table_elements, TABLE_ELEMENT_BYTES as usize, 8),
            vmctx_bytes: 0,
        };
        let vmctx_bytes = cursor.below_bytes.next_multiple_of(u64::from(page_bytes));
        (vmctx_bytes <= 1 << 30).then_some(Self { vmctx_bytes: vmctx_bytes as u32, ..layout })
    }
}

/// Hands out room downwards from the context.
struct Cursor {
    below_bytes: u64,
}

impl Cursor {
    /// Room for `count` elements; the offset of the first. Past 1 GiB offsets are meaningless, and
    /// the caller refuses the layout.
    fn place(&mut self, count: u32, element_bytes: usize, align_bytes: u64) -> i32 {
        self.below_bytes += u64::from(count) * element_bytes as u64;
        self.below_bytes = self.below_bytes.next_multiple_of(align_bytes);
        (self.below_bytes as i64).wrapping_neg() as i32
    }
}

const _: () = {
    assert!(size_of::<VmCtxHeader>() == 64);
    assert!(size_of::<VmFuncRef>() == 16);
    assert!(size_of::<VmFunctionImport>() == 64);
    assert!(size_of::<VmHostFuncRef>() == 64);
    assert!(size_of::<VmTableDefinition>() == 24);
    assert!(size_of::<VmMemoryDefinition>() == 16);
    assert!(size_of::<VmStoreCtx>() == 72);
    assert!(size_of::<VmValue>() == 16);
    assert!(core::mem::align_of::<u64>() == 8);
    assert!(ctx::STORE.offset == -8 && ctx::CODE_BASE.offset == -16);
    // The prefix of a host function lies just below it.
    assert!(
        offset_of!(VmFunctionImport, prefix) + size_of::<VmCalleePrefix>()
            == offset_of!(VmFunctionImport, host)
    );
    assert!(
        offset_of!(VmHostFuncRef, prefix) + size_of::<VmCalleePrefix>()
            == offset_of!(VmHostFuncRef, host)
    );
};

#[cfg(target_endian = "big")]
compile_error!("the artifact ABI is little-endian");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_do_not_overlap_and_are_aligned() {
        let counts = Counts {
            globals8: 3,
            globals16: 2,
            function_imports: 5,
            tables: 2,
            table_imports: 1,
            memories: 1,
            memory_imports: 1,
            segments: 3,
            func_refs: 7,
            table_elements: 11,
        };
        let layout = VmCtxLayout::new(&counts, 4096).unwrap();
        assert_eq!(layout.globals8, -72);
        let ends = [
            (layout.table_elements, 11 * 8),
            (layout.func_refs, 7 * 16),
            (layout.segments, 3 * 8),
            (layout.memory_imports, 8),
            (layout.memories, 16),
            (layout.table_imports, 8),
            (layout.tables, 2 * 24),
            (layout.function_imports, 5 * 64),
            (layout.globals16, 2 * 16),
            (layout.globals8 - 2 * 8, 3 * 8),
        ];
        for pair in ends.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
        }
        assert!(ends.iter().all(|(offset, _)| offset % 8 == 0));
        assert_eq!(layout.globals16 % 16, 0);
        assert_eq!(layout.vmctx_bytes, 4096);
    }

    #[test]
    fn too_large_is_refused() {
        let counts = Counts { func_refs: u32::MAX, ..Counts::default() };
        assert_eq!(VmCtxLayout::new(&counts, 4096), None);
    }
}
