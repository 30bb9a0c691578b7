//! Features of an x86-64 processor, asked of the processor itself.
//!
//! # Safety
//!
//! An instruction that not every processor has is executed when the processor says that it has it.
#![allow(unsafe_code, reason = "an instruction that not every processor has")]

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Where the instruction `cpuid` says that there is a feature.
#[derive(Clone, Copy)]
enum Register {
    /// ECX of leaf 1.
    Leaf1C,
    /// EBX of leaf 7.
    Leaf7B,
    /// ECX of leaf 7.
    Leaf7C,
    /// ECX of leaf 0x80000001.
    ExtendedC,
}

/// What the operating system must keep for a feature: bits of the register XCR0.
const NOTHING: u64 = 0;
const AVX_STATE: u64 = 0b110;
const AVX512_STATE: u64 = 0b1110_0110;

/// The features that artifacts can ask for: by name, where the bit is, what must be kept for it.
const FEATURES: [(&str, Register, u32, u64); 16] = [
    ("sse3", Register::Leaf1C, 0, NOTHING),
    ("ssse3", Register::Leaf1C, 9, NOTHING),
    ("sse4.1", Register::Leaf1C, 19, NOTHING),
    ("sse4.2", Register::Leaf1C, 20, NOTHING),
    ("popcnt", Register::Leaf1C, 23, NOTHING),
    ("avx", Register::Leaf1C, 28, AVX_STATE),
    ("avx2", Register::Leaf7B, 5, AVX_STATE),
    ("fma", Register::Leaf1C, 12, AVX_STATE),
    ("bmi1", Register::Leaf7B, 3, NOTHING),
    ("bmi2", Register::Leaf7B, 8, NOTHING),
    ("lzcnt", Register::ExtendedC, 5, NOTHING),
    ("avx512bitalg", Register::Leaf7C, 12, AVX512_STATE),
    ("avx512dq", Register::Leaf7B, 17, AVX512_STATE),
    ("avx512f", Register::Leaf7B, 16, AVX512_STATE),
    ("avx512vbmi", Register::Leaf7C, 1, AVX512_STATE),
    ("avx512vl", Register::Leaf7B, 31, AVX512_STATE),
];

/// The bit of a processor that says that the operating system keeps registers as XCR0 has it: ECX of leaf 1.
const OSXSAVE: u32 = 1 << 27;

/// Whether the processor has the feature `name`, and the registers that belong to it are kept.
pub(crate) fn has(name: &str) -> bool {
    let Some(&(_, register, bit, kept)) = FEATURES.iter().find(|row| row.0 == name) else {
        return false;
    };
    let flags = match register {
        Register::Leaf1C => __cpuid(1).ecx,
        Register::Leaf7B if has_leaf(7) => __cpuid_count(7, 0).ebx,
        Register::Leaf7C if has_leaf(7) => __cpuid_count(7, 0).ecx,
        Register::ExtendedC if has_leaf(0x8000_0001) => __cpuid(0x8000_0001).ecx,
        Register::Leaf7B | Register::Leaf7C | Register::ExtendedC => 0,
    };
    flags >> bit & 1 == 1 && state_kept() & kept == kept
}

/// Whether the processor has this leaf, of the range that it is in.
fn has_leaf(leaf: u32) -> bool {
    __cpuid(leaf & 0x8000_0000).eax >= leaf
}

/// XCR0, or 0 if nobody set it up.
fn state_kept() -> u64 {
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return 0;
    }
    // SAFETY: the flag says that the instruction can be used.
    unsafe { xcr0() }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the processor has the instruction, and register 0.
    unsafe { _xgetbv(0) }
}

#[cfg(test)]
mod tests {
    use aotc_abi::target::{Arch, CPU_FEATURES};

    use super::*;

    #[test]
    fn every_feature_is_known() {
        let of_abi = CPU_FEATURES.iter().filter(|feature| feature.arch == Arch::X86_64);
        assert!(of_abi.map(|feature| feature.name).eq(FEATURES.map(|row| row.0)));
    }

    #[test]
    fn features_are_those_that_std_finds() {
        macro_rules! same {
            ($($name:tt)*) => {
                [$(($name, has($name), std::is_x86_feature_detected!($name))),*]
            };
        }
        let found = same! {
            "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
            "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl"
        };
        for (name, own, of_std) in found {
            assert_eq!(own, of_std, "{name}");
        }
        assert!(!has("nonsense"));
    }
}
