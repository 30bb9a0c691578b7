//! Targets and the processor features that compiled code may need.

use core::fmt;

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_doc])* $variant = $value,)* }

        impl $name {
            /// The value with this number in an artifact, if there is one.
            pub const fn from_u32(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name as it is printed to and accepted from users.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named_enum! {
    /// Processor architecture of compiled code.
    Arch {
        /// 64-bit x86.
        X86_64 = 1, "x86_64";
        /// 64-bit Arm, little-endian.
        Aarch64 = 2, "aarch64";
        /// 64-bit RISC-V.
        Riscv64 = 3, "riscv64";
    }
}

named_enum! {
    /// Operating system whose conventions the artifact follows.
    Os {
        /// Linux: ELF.
        Linux = 1, "linux";
        /// macOS: Mach-O.
        MacOs = 2, "macos";
        /// Windows: COFF.
        Windows = 3, "windows";
    }
}

named_enum! {
    /// How compiled code reports a trap.
    TrapStyle {
        /// Faulting instructions; the loader's signal handler turns the fault into a trap.
        Signals = 1, "signals";
        /// Checks and a call of a builtin; the code never faults.
        Explicit = 2, "explicit";
    }
}

named_enum! {
    /// How compiled code keeps accesses inside a linear memory.
    BoundsStyle {
        /// 4 GiB of reserved addresses plus a guard; an access outside faults.
        Guard = 1, "guard";
        /// A comparison with the current length before every access.
        Explicit = 2, "explicit";
    }
}

/// By what compiled code can be interrupted, besides traps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interruption {
    /// By fuel: code counts what it executes, and stops at a limit.
    pub fuel: bool,
    /// By epochs: code looks at a counter of the engine's, and stops when it has reached a deadline.
    pub epochs: bool,
}

impl Interruption {
    const FUEL: u32 = 1;
    const EPOCHS: u32 = 2;

    /// The number in an artifact.
    pub const fn bits(self) -> u32 {
        let fuel = if self.fuel { Self::FUEL } else { 0 };
        let epochs = if self.epochs { Self::EPOCHS } else { 0 };
        fuel | epochs
    }

    /// The opposite of [`Interruption::bits`], if the number is one of its.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !(Self::FUEL | Self::EPOCHS) != 0 {
            return None;
        }
        Some(Self { fuel: bits & Self::FUEL != 0, epochs: bits & Self::EPOCHS != 0 })
    }
}

/// What an artifact was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Processor architecture.
    pub arch: Arch,
    /// Operating system.
    pub os: Os,
}

impl Target {
    /// What the program that this crate is part of was compiled for; `None` where no artifact can run.
    pub const HOST: Option<Self> = host();

    /// The unit in which images are laid out, in bytes: the largest page size a kernel of this
    /// target uses, so that one image maps on all of them.
    pub const fn page_bytes(self) -> u32 {
        match (self.arch, self.os) {
            (Arch::X86_64 | Arch::Riscv64, _) | (Arch::Aarch64, Os::Windows) => 0x1000,
            (Arch::Aarch64, Os::MacOs) => 0x4000,
            (Arch::Aarch64, Os::Linux) => 0x1_0000,
        }
    }
}

const fn host() -> Option<Target> {
    let arch = match () {
        () if cfg!(target_arch = "x86_64") => Arch::X86_64,
        () if cfg!(target_arch = "aarch64") => Arch::Aarch64,
        () if cfg!(target_arch = "riscv64") => Arch::Riscv64,
        () => return None,
    };
    let os = match () {
        // Without an operating system, its object format and calling convention are what matters.
        () if cfg!(any(target_os = "linux", target_os = "none")) => Os::Linux,
        () if cfg!(target_os = "macos") => Os::MacOs,
        () if cfg!(windows) => Os::Windows,
        () => return None,
    };
    Some(Target { arch, os })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.arch, self.os)
    }
}

/// A set of processor features, as bits numbered per architecture by [`CpuFeature`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuFeatures(pub u64);

/// One processor feature that compiled code can depend on.
#[derive(Debug, PartialEq, Eq)]
pub struct CpuFeature {
    /// The architecture it belongs to.
    pub arch: Arch,
    /// The bit in [`CpuFeatures`]. Bits are append-only.
    pub bit: u32,
    /// The name as printed to users, and as `std::is_x86_feature_detected!` and its kin call it.
    pub name: &'static str,
    /// The name of Cranelift's setting.
    pub cranelift: &'static str,
}

const fn x86(bit: u32, name: &'static str, cranelift: &'static str) -> CpuFeature {
    CpuFeature { arch: Arch::X86_64, bit, name, cranelift }
}

const fn arm(bit: u32, name: &'static str, cranelift: &'static str) -> CpuFeature {
    CpuFeature { arch: Arch::Aarch64, bit, name, cranelift }
}

/// Every feature there is a bit for.
pub const CPU_FEATURES: [CpuFeature; 20] = [
    x86(0, "sse3", "has_sse3"),
    x86(1, "ssse3", "has_ssse3"),
    x86(2, "sse4.1", "has_sse41"),
    x86(3, "sse4.2", "has_sse42"),
    x86(4, "popcnt", "has_popcnt"),
    x86(5, "avx", "has_avx"),
    x86(6, "avx2", "has_avx2"),
    x86(7, "fma", "has_fma"),
    x86(8, "bmi1", "has_bmi1"),
    x86(9, "bmi2", "has_bmi2"),
    x86(10, "lzcnt", "has_lzcnt"),
    x86(11, "avx512bitalg", "has_avx512bitalg"),
    x86(12, "avx512dq", "has_avx512dq"),
    x86(13, "avx512f", "has_avx512f"),
    x86(14, "avx512vbmi", "has_avx512vbmi"),
    x86(15, "avx512vl", "has_avx512vl"),
    arm(0, "lse", "has_lse"),
    arm(1, "fp16", "has_fp16"),
    arm(2, "dotprod", "has_dotprod"),
    arm(3, "i8mm", "has_i8mm"),
];

impl CpuFeatures {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Whether `feature`'s bit is set. The architecture is the caller's to compare.
    pub const fn contains(self, feature: &CpuFeature) -> bool {
        self.0 >> feature.bit & 1 == 1
    }

    /// This set with `feature` added.
    #[must_use]
    pub const fn with(self, feature: &CpuFeature) -> Self {
        Self(self.0 | 1 << feature.bit)
    }

    /// The features of this set that `available` lacks.
    #[must_use]
    pub const fn missing_from(self, available: Self) -> Self {
        Self(self.0 & !available.0)
    }

    /// The features in the set that exist on `arch`, in order of their bits.
    pub fn iter(self, arch: Arch) -> impl Iterator<Item = &'static CpuFeature> {
        CPU_FEATURES.iter().filter(move |feature| feature.arch == arch && self.contains(feature))
    }
}
