//! What a compilation can be asked for.

use std::num::NonZero;
#[cfg(feature = "incremental")]
use std::path::PathBuf;

use aotc_abi::target::{
    Arch, BoundsStyle, CPU_FEATURES, CpuFeature, CpuFeatures, Interruption, Os, Target, TrapStyle,
};

use crate::bind::Binding;
use crate::error::{Error, Result};

/// Options of a compilation. Together with the module and the version of this crate they determine
/// every byte of the result; `threads` and `incremental` do not matter.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which WebAssembly is accepted.
    pub features: Features,
    /// Processor architecture and operating system; default: those of the compiling machine.
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
    /// Imports that become calls of C functions; only objects can have them. Default: none.
    pub bind: Vec<Binding>,
    /// Threads to compile with; default: as many as there are processors.
    pub threads: Option<NonZero<usize>>,
    /// The exports to keep, by name; default: all. Whatever only others lead to is left out of the artifact.
    pub keep_exports: Option<Vec<String>>,
    /// A folder where compiled code is kept, so that another compilation of the module compiles only what changed;
    /// default: none.
    #[cfg(feature = "incremental")]
    pub incremental: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let target = default_target();
        Self {
            features: Features::All,
            target,
            cpu: Cpu::baseline(target.arch),
            opt_level: OptLevel::Speed,
            trap_style: TrapStyle::Signals,
            bounds_style: BoundsStyle::Guard,
            interruption: Interruption::default(),
            address_map: AddressMapStyle::Keep,
            debug_lines: DebugLinesStyle::Keep,
            name: None,
            bind: Vec::new(),
            threads: None,
            keep_exports: None,
            #[cfg(feature = "incremental")]
            incremental: None,
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

/// The target if none is named: the host, if there is code for it.
pub(crate) fn default_target() -> Target {
    match Target::HOST {
        Some(host) if crate::codegen::is_supported(host) => host,
        _ => Target { arch: Arch::X86_64, os: Os::Linux },
    }
}

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

/// The levels of each architecture by name, with the features that every processor of the level has.
const LEVELS: [(Arch, &str, &[&str]); 9] = [
    (Arch::X86_64, "x86-64-v2", X86_64_V2),
    (Arch::X86_64, "x86-64-v3", X86_64_V3),
    (Arch::X86_64, "x86-64-v4", X86_64_V4),
    (Arch::Aarch64, "armv8-a", &[]),
    (Arch::Aarch64, "armv8.1-a", &["lse"]),
    (Arch::Aarch64, "armv8.4-a", &["lse", "dotprod"]),
    (Arch::Aarch64, "armv8.6-a", &["lse", "dotprod", "i8mm"]),
    (Arch::Aarch64, "armv9-a", &["lse", "fp16", "dotprod"]),
    (Arch::Riscv64, "rv64gc", &[]),
];

impl Cpu {
    /// Name of the CPU that is assumed if none is named. Not the host's, so that the same input gives the same bytes
    /// everywhere: any x86-64 processor with AVX2 (Haswell, 2013; Zen), any 64-bit Arm.
    pub const fn baseline_name(arch: Arch) -> &'static str {
        match arch {
            Arch::X86_64 => "x86-64-v3",
            Arch::Aarch64 => "armv8-a",
            Arch::Riscv64 => "rv64gc",
        }
    }

    /// The CPU that is assumed if none is named.
    pub fn baseline(arch: Arch) -> Self {
        Self::parse(Self::baseline_name(arch), arch).expect("the baseline is in the table")
    }

    /// Reads a CPU: `native` or a level (`x86-64-v3`, `armv8.1-a`), followed by any number of `,+feature` and
    /// `,-feature`.
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
    if name == "native" {
        return native_features(arch);
    }
    let of_arch = || LEVELS.iter().filter(|(of, ..)| *of == arch);
    let Some((.., names)) = of_arch().find(|(_, level, _)| *level == name) else {
        let known: Vec<_> = of_arch().map(|(_, level, _)| *level).collect();
        return Err(Error::Options(format!(
            "unknown CPU `{name}` for {arch}: expected native or one of {}",
            known.join(", ")
        )));
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

fn native_features(arch: Arch) -> Result<CpuFeatures> {
    if Target::HOST.map(|host| host.arch) != Some(arch) {
        return Err(Error::Options(format!(
            "`native` names this host's CPU, which is not {arch}: name a CPU"
        )));
    }
    detected()
        .iter()
        .filter(|(_, present)| *present)
        .try_fold(CpuFeatures::NONE, |set, (name, _)| Ok(set.with(feature(name, arch)?)))
}

/// The features of the host that there are bits for, and whether its processor has each.
#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<(&'static str, bool)> {
    macro_rules! detect {
        ($($name:tt)*) => { vec![$(($name, std::is_x86_feature_detected!($name)),)*] };
    }
    detect! {
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt"
        "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl"
    }
}

/// The features of the host that there are bits for, and whether its processor has each.
#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as detect;
    vec![
        ("lse", detect!("lse")),
        ("fp16", detect!("fp16")),
        ("dotprod", detect!("dotprod")),
        ("i8mm", detect!("i8mm")),
    ]
}

/// The features of the host that there are bits for, and whether its processor has each.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<(&'static str, bool)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_of_known_features() {
        for (arch, level, names) in LEVELS {
            let features = Cpu::parse(level, arch).unwrap().features;
            assert_eq!(features.iter(arch).count(), names.len(), "{level}");
        }
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            let names: Vec<_> = LEVELS.iter().map(|(of, level, _)| (*of, *level)).collect();
            assert!(names.contains(&(arch, Cpu::baseline_name(arch))), "{arch}");
        }
    }

    #[test]
    fn features_are_added_and_taken_away() {
        let cpu = Cpu::parse("armv8.4-a,+fp16,-dotprod", Arch::Aarch64).unwrap();
        let names: Vec<_> = cpu.features.iter(Arch::Aarch64).map(|feature| feature.name).collect();
        assert_eq!(names, ["lse", "fp16"]);
    }

    #[test]
    fn native_is_the_host_only() {
        let host = Target::HOST.unwrap().arch;
        let foreign = if host == Arch::Aarch64 { Arch::X86_64 } else { Arch::Aarch64 };
        Cpu::parse("native", host).unwrap();
        let error = Cpu::parse("native", foreign).unwrap_err().to_string();
        assert!(error.ends_with(&format!("is not {foreign}: name a CPU")), "{error}");
    }
}
