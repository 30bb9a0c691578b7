//! Whether an artifact fits the program, the processor and the kernel it is to run on.

use aotc_abi::meta::ModuleData;
use aotc_abi::target::{Arch, CPU_FEATURES, CpuFeatures, Os, Target};

use crate::error::LoadError;
use crate::prelude::*;
use crate::sys;

/// What this program runs on; `None` where no artifact can run.
fn host() -> Option<Target> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        "riscv64" => Arch::Riscv64,
        _ => return None,
    };
    let os = match std::env::consts::OS {
        "linux" => Os::Linux,
        "macos" => Os::MacOs,
        "windows" => Os::Windows,
        _ => return None,
    };
    Some(Target { arch, os })
}

/// Compares target, processor features and page size with the host's.
pub(super) fn check(header: &ModuleData<'_>) -> Result<(), LoadError> {
    let fixed = &header.header().fixed;
    let found = Arch::from_u32(fixed.arch).zip(Os::from_u32(fixed.os));
    let host = host();
    if found.map(|(arch, os)| Target { arch, os }) != host {
        return Err(LoadError::Target {
            found: found.map_or("an unknown target".into(), |(arch, os)| format!("{arch}-{os}")),
            expected: host.map_or("an unsupported target".into(), |host| host.to_string()),
        });
    }
    if let Some(host) = host {
        let missing = CpuFeatures(fixed.cpu_features).missing_from(cpu_features());
        if missing != CpuFeatures::NONE {
            return Err(LoadError::CpuFeatures { missing: names(missing, host.arch) });
        }
    }
    let (found_bytes, host_bytes) = (u64::from(fixed.page_bytes), sys::page_bytes());
    if found_bytes < host_bytes {
        return Err(LoadError::PageSize { found_bytes, host_bytes });
    }
    if fixed.guard_bytes > GUARD_BYTES_MAX || !fixed.guard_bytes.is_multiple_of(found_bytes) {
        return Err(LoadError::image(format!(
            "it asks for a guard of {} bytes",
            fixed.guard_bytes
        )));
    }
    Ok(())
}

/// Names of the features, and numbers of bits that have no name here.
fn names(set: CpuFeatures, arch: Arch) -> Vec<String> {
    let known = CPU_FEATURES
        .iter()
        .filter(|feature| feature.arch == arch)
        .fold(CpuFeatures::NONE, |set, feature| set.with(feature));
    let named = set.iter(arch).map(|feature| feature.name.to_owned());
    let unknown = (0..u64::BITS).filter(|bit| (set.0 & !known.0) >> bit & 1 == 1);
    named.chain(unknown.map(|bit| format!("bit {bit}"))).collect()
}

/// Largest guard behind a memory, in bytes.
const GUARD_BYTES_MAX: u64 = 1 << 40;

/// The features of this processor that artifacts can ask for.
fn cpu_features() -> CpuFeatures {
    let mut features = CpuFeatures::NONE;
    for feature in &CPU_FEATURES {
        if has(feature.name) {
            features = features.with(feature);
        }
    }
    features
}

#[cfg(target_arch = "x86_64")]
fn has(name: &str) -> bool {
    match name {
        "sse3" => std::is_x86_feature_detected!("sse3"),
        "ssse3" => std::is_x86_feature_detected!("ssse3"),
        "sse4.1" => std::is_x86_feature_detected!("sse4.1"),
        "sse4.2" => std::is_x86_feature_detected!("sse4.2"),
        "popcnt" => std::is_x86_feature_detected!("popcnt"),
        "avx" => std::is_x86_feature_detected!("avx"),
        "avx2" => std::is_x86_feature_detected!("avx2"),
        "fma" => std::is_x86_feature_detected!("fma"),
        "bmi1" => std::is_x86_feature_detected!("bmi1"),
        "bmi2" => std::is_x86_feature_detected!("bmi2"),
        "lzcnt" => std::is_x86_feature_detected!("lzcnt"),
        "avx512bitalg" => std::is_x86_feature_detected!("avx512bitalg"),
        "avx512dq" => std::is_x86_feature_detected!("avx512dq"),
        "avx512f" => std::is_x86_feature_detected!("avx512f"),
        "avx512vbmi" => std::is_x86_feature_detected!("avx512vbmi"),
        "avx512vl" => std::is_x86_feature_detected!("avx512vl"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(_name: &str) -> bool {
    false
}
