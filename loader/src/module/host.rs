//! Whether an artifact fits the program, the processor and the kernel it is to run on.

use core::sync::atomic::{AtomicU64, Ordering};

use aotc_abi::meta::{CodeOrder, ModuleData};
use aotc_abi::target::{Arch, CPU_FEATURES, CpuFeatures, Interruption, Os, Target, TrapStyle};

use crate::engine::Engine;
use crate::error::LoadError;
use crate::prelude::*;
use crate::sys;

/// Compares target, processor features and page size with the host's, and ways of interruption with the engine's.
///
/// Of what a linker laid out, the linker has seen to the operating system: code of an architecture is the same for all.
pub(super) fn check(
    header: &ModuleData<'_>,
    engine: &Engine,
    order: CodeOrder,
) -> Result<(), LoadError> {
    let fixed = &header.header().fixed;
    let found = Arch::from_u32(fixed.arch).zip(Os::from_u32(fixed.os));
    let host = Target::HOST;
    let found_target = found.map(|(arch, os)| Target { arch, os });
    let fits = match order {
        CodeOrder::Sorted => found_target == host,
        CodeOrder::Linked => found_target.map(|found| found.arch) == host.map(|host| host.arch),
    };
    if !fits {
        return Err(LoadError::Target {
            found: found.map_or("an unknown target".into(), |(arch, os)| format!("{arch}-{os}")),
            expected: host.map_or("an unsupported target".into(), |host| host.to_string()),
        });
    }
    if let Some(host) = host {
        let missing = CpuFeatures(fixed.cpu_features).missing_from(cpu_features(host.arch));
        if missing != CpuFeatures::NONE {
            return Err(LoadError::CpuFeatures { missing: names(missing, host.arch) });
        }
    }
    if fixed.trap_style == TrapStyle::Signals as u32 && !sys::HAS_FAULTS {
        return Err(LoadError::Absent {
            what: "signals, by which its code traps",
            option: "--traps explicit",
        });
    }
    check_interruption(fixed.interruption, engine)?;
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

/// Code that can be interrupted in ways of which the engine makes no use does no harm.
fn check_interruption(found: u32, engine: &Engine) -> Result<(), LoadError> {
    // Bits without a meaning here are found by the check of the module data.
    let found = Interruption::from_bits(found).unwrap_or_default();
    let expected = engine.config().interruption;
    let settings = [
        (expected.fuel, found.fuel, "consume_fuel", "--fuel"),
        (expected.epochs, found.epochs, "epoch_interruption", "--epochs"),
    ];
    match settings.into_iter().find(|(expected, found, ..)| *expected && !found) {
        Some((.., setting, option)) => Err(LoadError::Uninterruptible { setting, option }),
        None => Ok(()),
    }
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
pub(crate) const GUARD_BYTES_MAX: u64 = 1 << 40;

/// The features of this processor, which is of `arch`, that artifacts can ask for. It is asked once.
pub(crate) fn cpu_features(arch: Arch) -> CpuFeatures {
    /// What it answered, and a bit that no feature has; 0 before.
    static ANSWER: AtomicU64 = AtomicU64::new(0);
    const ANSWERED: u64 = 1 << 63;
    let mut answer = ANSWER.load(Ordering::Relaxed);
    if answer == 0 {
        let cpu = sys::Cpu::ask();
        let CpuFeatures(found) = CPU_FEATURES
            .iter()
            .filter(|feature| feature.arch == arch && cpu.has(feature.name))
            .fold(CpuFeatures::NONE, |set, feature| set.with(feature));
        answer = found | ANSWERED;
        ANSWER.store(answer, Ordering::Relaxed);
    }
    CpuFeatures(answer & !ANSWERED)
}
