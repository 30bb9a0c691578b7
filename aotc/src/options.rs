//! What a compilation can be asked for.

use std::num::NonZero;

use aotc_abi::target::{
    Arch, BoundsStyle, CPU_FEATURES, CpuFeature, CpuFeatures, Interruption, Os, Target, TrapStyle,
};

use crate::error::{Error, Result};

/// Options of a compilation. Together with the module and the version of this crate they determine
/// every byte of the result; `threads` does not matter.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which WebAssembly is accepted.
    pub features: Features,
    /// Processor architecture and operating system.
    pub target: Target,
    /// Processor features that the code may use.
    pub cpu: Cpu,
    /// How much work goes into the code's quality.
    pub opt_level: OptLevel,
    /// How the code traps.
    pub trap_style: TrapStyle,
    /// How the code keeps memory accesses in bounds.
    pub bounds_style: BoundsStyle,
    /// By what the code can be interrupted; default: nothing.
    pub interruption: Interruption,
    /// Whether backtraces will know offsets in the wasm file.
    pub address_map: AddressMapStyle,
    /// Whether backtraces will know lines of the source, where the module has DWARF and the address map is kept.
    pub debug_lines: DebugLinesStyle,
    /// Name of the module, for the descriptor symbol and for backtraces; default: the name section's,
    /// or `module`.
    pub name: Option<String>,
    /// Threads to compile with; default: as many as there are processors.
    pub threads: Option<NonZero<usize>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            features: Features::All,
            target: Target { arch: Arch::X86_64, os: Os::Linux },
            cpu: Cpu::parse(DEFAULT_CPU, Arch::X86_64).expect("the default CPU is in the table"),
            opt_level: OptLevel::Speed,
            trap_style: TrapStyle::Signals,
            bounds_style: BoundsStyle::Guard,
            interruption: Interruption::default(),
            address_map: AddressMapStyle::Keep,
            debug_lines: DebugLinesStyle::Keep,
            name: None,
            threads: None,
        }
    }
}

impl Options {
    /// Threads to compile with.
    pub(crate) fn thread_count(&self) -> NonZero<usize> {
        let available = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.unwrap_or_else(available)
    }

    /// Whether the options fit together.
    pub(crate) fn check(&self) -> Result<()> {
        if self.trap_style == TrapStyle::Explicit && self.bounds_style == BoundsStyle::Guard {
            return Err(Error::Options(
                "explicit traps need explicit bounds: a guard works by faulting".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Which WebAssembly is accepted. The meaning of a module that both accept is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// Version 2.0 of the specification, nothing more.
    Wasm2,
    /// Everything supported: version 2.0, extended constant expressions, multiple memories.
    All,
}

/// The CPU that is assumed if none is named: any x86-64 processor with AVX2 (Haswell, 2013; Zen).
/// Not the host's, so that the same input gives the same bytes everywhere.
pub const DEFAULT_CPU: &str = "x86-64-v3";

/// How much work goes into the code's quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptLevel {
    /// As little as possible.
    None,
    /// The fastest code.
    Speed,
    /// Fast code, and small.
    SpeedAndSize,
}

/// Whether the artifact maps code to offsets in the wasm file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressMapStyle {
    /// It does, for calls and instructions that can trap.
    Keep,
    /// It does not; backtraces have function names only.
    Omit,
}

/// Whether the artifact maps offsets in the wasm file to lines of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugLinesStyle {
    /// It does, if the module has DWARF that can be read.
    Keep,
    /// It does not; backtraces have offsets only.
    Omit,
}

/// The processor features that code may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The features.
    pub features: CpuFeatures,
}

const X86_64_V2: &[&str] = &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"];
const X86_64_V3: &[&str] =
    &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt"];
const X86_64_V4: &[&str] = &[
    "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt",
    "avx512dq", "avx512f", "avx512vl",
];

impl Cpu {
    /// Reads a CPU: `native`, a level (`x86-64-v2`, `x86-64-v3`, `x86-64-v4`), each followed by any
    /// number of `,+feature` and `,-feature`.
    ///
    /// # Errors
    /// [`Error::Options`] for an unknown name.
    pub fn parse(text: &str, arch: Arch) -> Result<Self> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let mut features = base_features(name, arch)?;
        for part in parts {
            if let Some(name) = part.strip_prefix('+') {
                features = features.with(feature(name, arch)?);
            } else if let Some(name) = part.strip_prefix('-') {
                features.0 &= !CpuFeatures::NONE.with(feature(name, arch)?).0;
            } else {
                return Err(Error::Options(format!(
                    "expected `+feature` or `-feature` after the CPU, found `{part}`"
                )));
            }
        }
        Ok(Self { features })
    }
}

fn base_features(name: &str, arch: Arch) -> Result<CpuFeatures> {
    let names = match (arch, name) {
        (_, "native") => return native_features(arch),
        (Arch::X86_64, "x86-64-v2") => X86_64_V2,
        (Arch::X86_64, "x86-64-v3") => X86_64_V3,
        (Arch::X86_64, "x86-64-v4") => X86_64_V4,
        _ => {
            return Err(Error::Options(format!(
                "unknown CPU `{name}` for {arch}: expected native, x86-64-v2, x86-64-v3 or x86-64-v4"
            )));
        }
    };
    names.iter().try_fold(CpuFeatures::NONE, |set, name| Ok(set.with(feature(name, arch)?)))
}

fn feature(name: &str, arch: Arch) -> Result<&'static CpuFeature> {
    CPU_FEATURES.iter().find(|f| f.arch == arch && f.name == name).ok_or_else(|| {
        let known: Vec<_> =
            CPU_FEATURES.iter().filter(|f| f.arch == arch).map(|f| f.name).collect();
        Error::Options(format!("unknown CPU feature `{name}`: {arch} has {}", known.join(", ")))
    })
}

#[cfg(target_arch = "x86_64")]
fn native_features(arch: Arch) -> Result<CpuFeatures> {
    if arch != Arch::X86_64 {
        return Err(foreign_native(arch));
    }
    macro_rules! detect {
        ($($name:tt)*) => {[$(($name, std::is_x86_feature_detected!($name)),)*]};
    }
    let detected = detect! {
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
        "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl"
    };
    detected
        .iter()
        .filter(|(_, present)| *present)
        .try_fold(CpuFeatures::NONE, |set, (name, _)| Ok(set.with(feature(name, arch)?)))
}

#[cfg(not(target_arch = "x86_64"))]
fn native_features(arch: Arch) -> Result<CpuFeatures> {
    Err(foreign_native(arch))
}

fn foreign_native(arch: Arch) -> Error {
    Error::Options(format!("`native` names this host's CPU, which is not {arch}: name a CPU"))
}
