//! Whether a result is what a script expects.

use aotc_loader::{Store, Val};
use wast::WastRet;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastRetCore};

/// Whether `found` is as `expected`.
pub(super) fn matches(store: &Store<()>, expected: &WastRet<'_>, found: &Val) -> bool {
    match expected {
        WastRet::Core(expected) => core_matches(store, expected, found),
        _ => false,
    }
}

fn core_matches(store: &Store<()>, expected: &WastRetCore<'_>, found: &Val) -> bool {
    match (expected, found) {
        (WastRetCore::I32(expected), Val::I32(found)) => expected == found,
        (WastRetCore::I64(expected), Val::I64(found)) => expected == found,
        (WastRetCore::F32(expected), Val::F32(found)) => f32_matches(expected, *found),
        (WastRetCore::F64(expected), Val::F64(found)) => f64_matches(expected, *found),
        (WastRetCore::V128(expected), Val::V128(found)) => v128_matches(expected, found.as_u128()),
        (WastRetCore::RefNull(ty), Val::FuncRef(None)) => is_heap_type(ty, AbstractHeapType::Func),
        (WastRetCore::RefNull(ty), Val::ExternRef(None)) => {
            is_heap_type(ty, AbstractHeapType::Extern)
        }
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(expected)), Val::ExternRef(Some(found))) => {
            let value = found.data(store).ok().flatten();
            value.and_then(|value| value.downcast_ref::<u32>()) == Some(expected)
        }
        (WastRetCore::RefFunc(None), Val::FuncRef(Some(_))) => true,
        (WastRetCore::Either(cases), found) => {
            cases.iter().any(|expected| core_matches(store, expected, found))
        }
        _ => false,
    }
}

fn is_heap_type(ty: &Option<HeapType<'_>>, wanted: AbstractHeapType) -> bool {
    match ty {
        None => true,
        Some(HeapType::Abstract { ty, .. }) => *ty == wanted,
        Some(_) => false,
    }
}

fn f32_matches(expected: &NanPattern<wast::token::F32>, found: u32) -> bool {
    match expected {
        // Sign does not matter; the payload is the quiet bit alone.
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(expected) => expected.bits == found,
    }
}

fn f64_matches(expected: &NanPattern<wast::token::F64>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(expected) => expected.bits == found,
    }
}

fn v128_matches(expected: &V128Pattern, found: u128) -> bool {
    let lane = |index: usize, bits: usize| (found >> (index * bits)) as u64;
    match expected {
        V128Pattern::I8x16(lanes) => {
            lanes.iter().enumerate().all(|(i, &expected)| lane(i, 8) as i8 == expected)
        }
        V128Pattern::I16x8(lanes) => {
            lanes.iter().enumerate().all(|(i, &expected)| lane(i, 16) as i16 == expected)
        }
        V128Pattern::I32x4(lanes) => {
            lanes.iter().enumerate().all(|(i, &expected)| lane(i, 32) as i32 == expected)
        }
        V128Pattern::I64x2(lanes) => {
            lanes.iter().enumerate().all(|(i, &expected)| lane(i, 64) as i64 == expected)
        }
        V128Pattern::F32x4(lanes) => {
            lanes.iter().enumerate().all(|(i, expected)| f32_matches(expected, lane(i, 32) as u32))
        }
        V128Pattern::F64x2(lanes) => {
            lanes.iter().enumerate().all(|(i, expected)| f64_matches(expected, lane(i, 64)))
        }
    }
}
