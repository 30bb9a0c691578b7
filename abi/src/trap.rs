//! Trap kinds and their texts.

use core::fmt;

/// Why execution of WebAssembly code was stopped.
///
/// The numbers are part of the artifact format and append-only. The texts are those of the
/// WebAssembly specification's test suite, where it has the trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum TrapKind {
    /// `unreachable` was executed.
    Unreachable = 1,
    /// An access outside a linear memory.
    MemoryOutOfBounds = 2,
    /// A table instruction outside a table.
    TableOutOfBounds = 3,
    /// `call_indirect` with an index outside the table.
    UndefinedElement = 4,
    /// `call_indirect` of a null element.
    UninitializedElement = 5,
    /// `call_indirect` of a function of another type.
    IndirectCallTypeMismatch = 6,
    /// Signed division overflow, or a float too large for the integer type.
    IntegerOverflow = 7,
    /// Integer division by zero.
    IntegerDivideByZero = 8,
    /// NaN converted to an integer.
    InvalidConversionToInteger = 9,
    /// The stack is used up.
    StackOverflow = 10,
    /// The store's fuel is used up.
    OutOfFuel = 11,
    /// The epoch reached the store's deadline.
    Interrupt = 12,
}

/// Every trap kind, in order of its number, which starts at 1.
pub const TRAP_KINDS: [TrapKind; 12] = [
    TrapKind::Unreachable,
    TrapKind::MemoryOutOfBounds,
    TrapKind::TableOutOfBounds,
    TrapKind::UndefinedElement,
    TrapKind::UninitializedElement,
    TrapKind::IndirectCallTypeMismatch,
    TrapKind::IntegerOverflow,
    TrapKind::IntegerDivideByZero,
    TrapKind::InvalidConversionToInteger,
    TrapKind::StackOverflow,
    TrapKind::OutOfFuel,
    TrapKind::Interrupt,
];

impl TrapKind {
    /// The kind with this number, if there is one.
    pub const fn from_u8(number: u8) -> Option<Self> {
        if number == 0 || number as usize > TRAP_KINDS.len() {
            return None;
        }
        Some(TRAP_KINDS[number as usize - 1])
    }

    /// The text; where the specification's test suite has the trap, the one it expects.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::MemoryOutOfBounds => "out of bounds memory access",
            Self::TableOutOfBounds => "out of bounds table access",
            Self::UndefinedElement => "undefined element",
            Self::UninitializedElement => "uninitialized element",
            Self::IndirectCallTypeMismatch => "indirect call type mismatch",
            Self::IntegerOverflow => "integer overflow",
            Self::IntegerDivideByZero => "integer divide by zero",
            Self::InvalidConversionToInteger => "invalid conversion to integer",
            Self::StackOverflow => "call stack exhausted",
            Self::OutOfFuel => "all fuel consumed by WebAssembly",
            Self::Interrupt => "interrupt",
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

// The table is in the order of the numbers.
const _: () = {
    let mut i = 0;
    while i < TRAP_KINDS.len() {
        assert!(TRAP_KINDS[i] as usize == i + 1);
        i += 1;
    }
};
