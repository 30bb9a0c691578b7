//! What is compared: everything that can be seen of an instance from outside, without an engine's types.

use std::fmt;

/// What happened in one instance.
#[derive(Debug)]
pub(super) struct Run {
    /// Instantiation, then calls of exports, and within each the calls of imports before it.
    pub(super) events: Vec<Event>,
    /// Imports and exports afterwards.
    pub(super) state: Vec<Item>,
}

/// A call in either direction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// What was called.
    pub(super) what: String,
    /// Its arguments.
    pub(super) arguments: Vec<Value>,
    /// How it ended; calls of imports always return.
    pub(super) ending: Ending,
    /// Fuel that was left: when an import was called, or after a call that returned. Traps leave what the engine likes, and so
    /// does instantiation.
    pub(super) fuel_left: Option<u64>,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With these results.
    Returned(Vec<Value>),
    /// With a trap.
    Trapped(TrapClass),
    /// With another error.
    Failed(String),
}

/// Trap kinds, as far as engines distinguish them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrapClass {
    StackOverflow,
    MemoryOutOfBounds,
    TableOutOfBounds,
    IndirectCallToNull,
    BadSignature,
    IntegerOverflow,
    IntegerDivisionByZero,
    BadConversionToInteger,
    Unreachable,
    OutOfFuel,
}

/// A value. Numbers are bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    /// Numbers of parameters and results, if it is not null.
    Func(Option<(usize, usize)>),
    /// The host's number, if it is not null.
    Extern(Option<u64>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32(bits) => write!(f, "i32:{bits:#x}"),
            Self::I64(bits) => write!(f, "i64:{bits:#x}"),
            Self::F32(bits) => write!(f, "f32:{bits:#x}"),
            Self::F64(bits) => write!(f, "f64:{bits:#x}"),
            Self::V128(bits) => write!(f, "v128:{bits:#x}"),
            Self::Func(ty) => write!(f, "func:{ty:?}"),
            Self::Extern(number) => write!(f, "extern:{number:?}"),
        }
    }
}

/// An import or export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A function's numbers of parameters and results.
    Func(usize, usize),
    Global(Value),
    Table(Vec<Value>),
    Memory(Vec<u8>),
}

impl Item {
    /// How `found` differs, in words.
    pub(super) fn difference(&self, found: &Self) -> String {
        match (self, found) {
            (Self::Memory(expected), Self::Memory(found)) => {
                let at = expected.iter().zip(found).position(|(a, b)| a != b);
                let (expected_bytes, found_bytes) = (expected.len(), found.len());
                match at {
                    Some(at) => {
                        let (expected, found) = (expected[at], found[at]);
                        format!("memory at {at:#x}: expected {expected:#x}, found {found:#x}")
                    }
                    None => format!("memory: expected {expected_bytes} bytes, found {found_bytes}"),
                }
            }
            _ => format!("expected {self:?}, found {found:?}"),
        }
    }
}
