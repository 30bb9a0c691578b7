//! Untyped calls of functions that have few values, all of them numbers: their types are in a few bytes, so that nothing is
//! looked up or taken out of the store.

use aotc_abi::vmctx::VmValue;

use crate::types::{FuncType, ValType};
use crate::value::Val;

/// Most parameters, and most results.
const FEW: usize = 4;

/// The type of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    I32,
    I64,
    F32,
    F64,
}

impl Number {
    fn of(ty: ValType) -> Option<Self> {
        match ty {
            ValType::I32 => Some(Self::I32),
            ValType::I64 => Some(Self::I64),
            ValType::F32 => Some(Self::F32),
            ValType::F64 => Some(Self::F64),
            ValType::V128 | ValType::Ref(_) => None,
        }
    }
}

/// At most [`FEW`] types, the others anything.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    types: [Number; FEW],
    count: u8,
}

impl Numbers {
    fn of(types: impl Iterator<Item = ValType>) -> Option<Self> {
        let mut numbers = Self { types: [Number::I32; FEW], count: 0 };
        for ty in types {
            *numbers.types.get_mut(usize::from(numbers.count))? = Number::of(ty)?;
            numbers.count += 1;
        }
        Some(numbers)
    }

    fn are(&self, count: usize) -> bool {
        count == usize::from(self.count)
    }
}

/// The type of a function that has few values, all of them numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberFunc {
    params: Numbers,
    results: Numbers,
}

impl NumberFunc {
    /// `None` if there are more values, or others.
    pub(crate) fn of(ty: &FuncType) -> Option<Self> {
        Some(Self { params: Numbers::of(ty.params())?, results: Numbers::of(ty.results())? })
    }

    /// The slots of an array call. `None` if the arguments or the number of results are not those of the type.
    #[inline(always)]
    pub(super) fn to_slots(self, params: &[Val], results: usize) -> Option<[VmValue; FEW]> {
        if !self.params.are(params.len()) || !self.results.are(results) {
            return None;
        }
        let mut slots = [VmValue::default(); FEW];
        for ((slot, value), ty) in slots.iter_mut().zip(params).zip(self.params.types) {
            let (found, bits) = match *value {
                Val::I32(value) => (Number::I32, u64::from(value as u32)),
                Val::I64(value) => (Number::I64, value as u64),
                Val::F32(bits) => (Number::F32, u64::from(bits)),
                Val::F64(bits) => (Number::F64, bits),
                Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => return None,
            };
            if found != ty {
                return None;
            }
            slot.set_bits(bits);
        }
        Some(slots)
    }

    /// The results, as many as the type has.
    #[inline(always)]
    pub(super) fn put_results(self, slots: &[VmValue; FEW], results: &mut [Val]) {
        for ((result, slot), ty) in results.iter_mut().zip(slots).zip(self.results.types) {
            let bits = slot.bits();
            *result = match ty {
                Number::I32 => Val::I32(bits as i32),
                Number::I64 => Val::I64(bits as i64),
                Number::F32 => Val::F32(bits as u32),
                Number::F64 => Val::F64(bits),
            };
        }
    }
}
