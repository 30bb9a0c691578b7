//! Traps: why WebAssembly code was stopped.

use core::fmt;

use aotc_abi::trap::TrapKind;

/// The reason for which WebAssembly code was stopped. It is the root of the error that a trapping
/// call returns: `error.downcast_ref::<Trap>()` finds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trap(TrapKind);

#[allow(non_upper_case_globals, reason = "they stand for the variants of Wasmtime's enum")]
impl Trap {
    /// The stack is used up.
    pub const StackOverflow: Self = Self(TrapKind::StackOverflow);
    /// An access outside a linear memory.
    pub const MemoryOutOfBounds: Self = Self(TrapKind::MemoryOutOfBounds);
    /// A table instruction outside a table, or `call_indirect` with an index outside it.
    pub const TableOutOfBounds: Self = Self(TrapKind::TableOutOfBounds);
    /// `call_indirect` with an index outside the table.
    pub const UndefinedElement: Self = Self(TrapKind::UndefinedElement);
    /// `call_indirect` of a null element.
    pub const IndirectCallToNull: Self = Self(TrapKind::UninitializedElement);
    /// `call_indirect` of a function of another type.
    pub const BadSignature: Self = Self(TrapKind::IndirectCallTypeMismatch);
    /// Signed division overflow, or a float too large for the integer type.
    pub const IntegerOverflow: Self = Self(TrapKind::IntegerOverflow);
    /// Integer division by zero.
    pub const IntegerDivisionByZero: Self = Self(TrapKind::IntegerDivideByZero);
    /// NaN converted to an integer.
    pub const BadConversionToInteger: Self = Self(TrapKind::InvalidConversionToInteger);
    /// `unreachable` was executed.
    pub const UnreachableCodeReached: Self = Self(TrapKind::Unreachable);
    /// The store's fuel is used up.
    pub const OutOfFuel: Self = Self(TrapKind::OutOfFuel);
    /// The engine's epoch reached the store's deadline.
    pub const Interrupt: Self = Self(TrapKind::Interrupt);
}

impl Trap {
    /// The kind, as numbered in artifacts.
    pub fn kind(self) -> TrapKind {
        self.0
    }
}

impl From<TrapKind> for Trap {
    fn from(kind: TrapKind) -> Self {
        Self(kind)
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.0)
    }
}

impl core::error::Error for Trap {}
