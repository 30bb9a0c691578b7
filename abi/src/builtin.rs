//! Builtins: what compiled code calls in the loader.
//!
//! Compiled code reaches them through a table of function pointers whose address is in the context
//! ([`crate::vmctx::VmCtxHeader::builtins`]), always through a trampoline of the artifact: it checks that
//! enough stack is left, records where wasm was left, calls `table[number]` with the platform's C
//! convention, and, if the builtin reports failure, calls the store's `raise`
//! ([`crate::vmctx::VmStoreCtx::raise`]).
//!
//! Numbers are append-only and never conditional.

/// A machine-level type in a builtin's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer, or a pointer.
    I64,
}

/// What a builtin gives back, and how it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiResult {
    /// Nothing; cannot fail.
    Nothing,
    /// Status: 0 is success; otherwise the loader has recorded the reason and the trampoline raises.
    Status,
    /// A 64-bit value; [`FAILED`] means the loader has recorded the reason and the trampoline raises.
    FallibleValue,
}

/// The value by which a [`AbiResult::FallibleValue`] builtin reports failure.
pub const FAILED: i64 = i64::MIN;

/// The status by which an array call or a [`AbiResult::Status`] builtin reports failure; success is 0.
pub const STATUS_RAISED: u32 = 1;

/// A builtin. The discriminant is its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Builtin {
    /// `(ctx, trap kind)`: records a trap with a backtrace. Always fails.
    Trap = 0,
    /// `(ctx, memory, delta pages)`: the old size in pages, or -1 if it cannot grow.
    MemoryGrow = 1,
    /// `(ctx, to address, from address, length)`: copies bytes that may overlap; bounds are checked before.
    MemoryCopy = 2,
    /// `(ctx, address, byte, length)`: fills bytes; bounds are checked before.
    MemoryFill = 3,
    /// `(ctx, table, value, delta)`: the old size in elements, or -1 if it cannot grow.
    TableGrow = 4,
    /// `(ctx, table, start, value, length)`: `table.fill`, with its bounds check.
    TableFill = 5,
    /// `(ctx, to table, from table, to, from, length)`: `table.copy`, with its bounds check.
    TableCopy = 6,
    /// `(ctx, table, segment, to, from, length)`: `table.init`, with its bounds checks.
    TableInit = 7,
    /// `(ctx)`: the fuel is used up. Adds fuel to the store, or fails. The trampoline keeps all registers.
    OutOfFuel = 8,
    /// `(ctx)`: the epoch has reached the deadline. Sets another in the store, or fails. The trampoline keeps all
    /// registers.
    NewEpoch = 9,
}

/// A builtin's row: name, parameters after the context, result.
#[derive(Debug)]
pub struct BuiltinRow {
    /// The builtin.
    pub builtin: Builtin,
    /// Its name in listings and symbols.
    pub name: &'static str,
    /// Parameters after the context, which every builtin takes first.
    pub params: &'static [AbiType],
    /// Result.
    pub result: AbiResult,
}

const I32: AbiType = AbiType::I32;
const I64: AbiType = AbiType::I64;

const fn row(
    builtin: Builtin,
    name: &'static str,
    params: &'static [AbiType],
    result: AbiResult,
) -> BuiltinRow {
    BuiltinRow { builtin, name, params, result }
}

/// Number of builtins.
pub const BUILTIN_COUNT: usize = 10;

/// Every builtin, in order of its number.
pub const BUILTINS: [BuiltinRow; BUILTIN_COUNT] = [
    row(Builtin::Trap, "trap", &[I32], AbiResult::Status),
    row(Builtin::MemoryGrow, "memory_grow", &[I32, I64], AbiResult::FallibleValue),
    row(Builtin::MemoryCopy, "memory_copy", &[I64, I64, I64], AbiResult::Nothing),
    row(Builtin::MemoryFill, "memory_fill", &[I64, I32, I64], AbiResult::Nothing),
    row(Builtin::TableGrow, "table_grow", &[I32, I64, I64], AbiResult::FallibleValue),
    row(Builtin::TableFill, "table_fill", &[I32, I64, I64, I64], AbiResult::Status),
    row(Builtin::TableCopy, "table_copy", &[I32, I32, I64, I64, I64], AbiResult::Status),
    row(Builtin::TableInit, "table_init", &[I32, I32, I64, I64, I64], AbiResult::Status),
    row(Builtin::OutOfFuel, "out_of_fuel", &[], AbiResult::Status),
    row(Builtin::NewEpoch, "new_epoch", &[], AbiResult::Status),
];

impl Builtin {
    /// This builtin's row.
    pub const fn row(self) -> &'static BuiltinRow {
        &BUILTINS[self as usize]
    }
}

// The table is in the order of the numbers.
const _: () = {
    let mut i = 0;
    while i < BUILTIN_COUNT {
        assert!(BUILTINS[i].builtin as usize == i);
        i += 1;
    }
};
