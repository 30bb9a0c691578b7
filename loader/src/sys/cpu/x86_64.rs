//! Features of an x86-64 processor.
//!
//! Each question to the processor leaves a virtual machine (4.5 us). A dynamic linker has asked before, and that of the GNU C
//! library answers from memory, from version 2.33 on. Where there is none, the processor is asked itself, with few questions:
//! three, where the standard library asks nine.
//!
//! # Safety
//!
//! An instruction that not every processor has is executed when the processor says that it has it. The C library's function is
//! called when there is one, and as its header declares it.
#![allow(unsafe_code, reason = "a function and an instruction that are not everywhere")]

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
/// The bit of AVX, in the same register.
const AVX: u32 = 1 << 28;

/// This processor: what it says of itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Cpu {
    leaf1_c: u32,
    leaf7_b: u32,
    leaf7_c: u32,
    extended_c: u32,
    /// XCR0, or 0 if nobody set it up.
    state_kept: u64,
}

impl Cpu {
    /// Asks who knows.
    pub(crate) fn ask() -> Self {
        #[cfg(all(feature = "std", target_env = "gnu"))]
        if let Some(leaf) = c_library::leaf() {
            return Self::known_to(leaf);
        }
        Self::ask_processor()
    }

    /// Asks the processor.
    fn ask_processor() -> Self {
        let leaf1_c = __cpuid(1).ecx;
        // Processors with AVX have leaf 13, which is about its state.
        let leaf7 = (leaf1_c & AVX != 0 || __cpuid(0).eax >= 7).then(|| __cpuid_count(7, 0));
        Self {
            leaf1_c,
            leaf7_b: leaf7.map_or(0, |leaf| leaf.ebx),
            leaf7_c: leaf7.map_or(0, |leaf| leaf.ecx),
            // The leaf that says that a processor is a 64-bit one.
            extended_c: __cpuid(0x8000_0001).ecx,
            state_kept: state_kept(leaf1_c),
        }
    }

    /// Asks the C library.
    #[cfg(all(feature = "std", target_env = "gnu"))]
    fn known_to(leaf: c_library::Leaf) -> Self {
        use c_library::{EXTENDED, LEAF_1, LEAF_7};
        // SAFETY: the C library's function, with numbers that it knows.
        let [leaf1, leaf7, extended] =
            [LEAF_1, LEAF_7, EXTENDED].map(|index| unsafe { &*leaf(index) });
        Self {
            leaf1_c: leaf1.found.ecx,
            leaf7_b: leaf7.found.ebx,
            leaf7_c: leaf7.found.ecx,
            extended_c: extended.found.ecx,
            state_kept: state_kept(leaf1.found.ecx),
        }
    }

    /// Whether it has the feature `name`, and the registers that belong to it are kept.
    pub(crate) fn has(&self, name: &str) -> bool {
        let Some(&(_, register, bit, kept)) = FEATURES.iter().find(|row| row.0 == name) else {
            return false;
        };
        let flags = match register {
            Register::Leaf1C => self.leaf1_c,
            Register::Leaf7B => self.leaf7_b,
            Register::Leaf7C => self.leaf7_c,
            Register::ExtendedC => self.extended_c,
        };
        flags >> bit & 1 == 1 && self.state_kept & kept == kept
    }
}

/// XCR0, or 0 if nobody set it up; `leaf1_c` is ECX of leaf 1.
fn state_kept(leaf1_c: u32) -> u64 {
    match leaf1_c & OSXSAVE {
        0 => 0,
        // SAFETY: the flag says that the instruction can be used.
        _ => unsafe { xcr0() },
    }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the processor has the instruction, and register 0.
    unsafe { _xgetbv(0) }
}

/// What the C library's <sys/platform/x86.h> declares.
#[cfg(all(feature = "std", target_env = "gnu"))]
mod c_library {
    use core::arch::asm;

    /// What the processor answered to one question.
    #[repr(C)]
    pub(super) struct Registers {
        eax: u32,
        pub(super) ebx: u32,
        pub(super) ecx: u32,
        edx: u32,
    }

    /// `struct cpuid_feature`.
    #[repr(C)]
    pub(super) struct Feature {
        /// As the processor says.
        pub(super) found: Registers,
        /// Of that, what the C library uses: [`super::Cpu`] decides for itself.
        active: Registers,
    }

    /// `__x86_get_cpuid_feature_leaf`.
    pub(super) type Leaf = unsafe extern "C" fn(u32) -> *const Feature;

    /// What it calls leaf 1.
    pub(super) const LEAF_1: u32 = 0;
    /// Leaf 7.
    pub(super) const LEAF_7: u32 = 1;
    /// Leaf 0x80000001.
    pub(super) const EXTENDED: u32 = 2;

    /// The function, if there is one: older C libraries have none, nor do programs without a dynamic linker.
    pub(super) fn leaf() -> Option<Leaf> {
        let leaf: *const ();
        // SAFETY: reads what the linker put there, the function's address or null, which is what `Option` makes of it.
        unsafe {
            asm!(
                ".weak __x86_get_cpuid_feature_leaf",
                "mov {}, qword ptr [rip + __x86_get_cpuid_feature_leaf@GOTPCREL]",
                out(reg) leaf,
                options(nostack, preserves_flags, pure, readonly),
            );
            core::mem::transmute::<*const (), Option<Leaf>>(leaf)
        }
    }
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
    fn the_c_library_knows_what_the_processor_says() {
        assert_eq!(Cpu::ask(), Cpu::ask_processor());
    }

    #[test]
    fn features_are_those_that_std_finds() {
        let cpu = Cpu::ask();
        macro_rules! same {
            ($($name:tt)*) => {
                [$(($name, cpu.has($name), std::is_x86_feature_detected!($name))),*]
            };
        }
        let found = same! {
            "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
            "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl"
        };
        for (name, own, of_std) in found {
            assert_eq!(own, of_std, "{name}");
        }
        assert!(!cpu.has("nonsense"));
    }
}
