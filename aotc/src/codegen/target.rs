//! Targets: what Cranelift is told for each. A new one is a row here and one in `aotc_abi::target`.

use std::sync::Arc;

use aotc_abi::target::{Arch, Os, Target};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};

use crate::error::{Error, Result};
use crate::options::{OptLevel, Options};

/// The targets for which everything is in place. The operating system decides nothing about the code.
const SUPPORTED: [(Target, &str); 6] = [
    (Target { arch: Arch::X86_64, os: Os::Linux }, "x86_64-unknown-linux-gnu"),
    (Target { arch: Arch::X86_64, os: Os::MacOs }, "x86_64-apple-darwin"),
    (Target { arch: Arch::X86_64, os: Os::Windows }, "x86_64-pc-windows-msvc"),
    (Target { arch: Arch::Aarch64, os: Os::Linux }, "aarch64-unknown-linux-gnu"),
    (Target { arch: Arch::Aarch64, os: Os::MacOs }, "aarch64-apple-darwin"),
    (Target { arch: Arch::Aarch64, os: Os::Windows }, "aarch64-pc-windows-msvc"),
];

/// What no x86-64 code can do without: without it Cranelift calls library functions.
const X86_64_MINIMUM: [&str; 4] = ["sse3", "ssse3", "sse4.1", "popcnt"];

/// Two code generators that differ in `opt_level` alone.
pub(crate) struct Isas {
    /// Runs the optimisations; `None` if none are wanted.
    pub(crate) optimizing: Option<Arc<dyn TargetIsa>>,
    /// Lowers what was optimised already.
    pub(crate) lowering: Arc<dyn TargetIsa>,
}

/// Whether there is code for `target`.
pub(crate) fn is_supported(target: Target) -> bool {
    SUPPORTED.iter().any(|(supported, _)| *supported == target)
}

/// The code generators for `options`.
///
/// # Errors
/// [`Error::Options`] for a target or CPU that is not supported.
pub(crate) fn isas(options: &Options) -> Result<Isas> {
    let optimizing = match options.opt_level {
        OptLevel::None => None,
        OptLevel::Speed => Some(isa(options, "speed")?),
        OptLevel::SpeedAndSize => Some(isa(options, "speed_and_size")?),
    };
    Ok(Isas { optimizing, lowering: isa(options, "none")? })
}

fn isa(options: &Options, opt_level: &str) -> Result<Arc<dyn TargetIsa>> {
    let triple = SUPPORTED.iter().find(|(target, _)| *target == options.target);
    let (_, triple) = triple.ok_or_else(|| {
        let names: Vec<_> = SUPPORTED.iter().map(|(target, _)| target.to_string()).collect();
        Error::Options(format!(
            "target {} is not supported; supported: {}",
            options.target,
            names.join(", ")
        ))
    })?;
    let mut builder = isa::lookup_by_name(triple)
        .map_err(|error| Error::Options(format!("target {triple}: {error}")))?;
    let arch = options.target.arch;
    for feature in options.cpu.features.iter(arch) {
        builder
            .enable(feature.cranelift)
            .map_err(|error| Error::Options(format!("CPU feature {}: {error}", feature.name)))?;
    }
    if arch == Arch::X86_64 {
        let has = |name: &&str| options.cpu.features.iter(arch).any(|f| f.name == *name);
        if let Some(missing) = X86_64_MINIMUM.iter().find(|name| !has(name)) {
            return Err(Error::Options(format!(
                "the CPU lacks {missing}: x86-64-v2 is the least that is supported"
            )));
        }
    }
    let isa: OwnedTargetIsa = builder
        .finish(flags(opt_level, options.target.os))
        .map_err(|error| Error::Options(format!("target {triple}: {error}")))?;
    Ok(isa)
}

fn flags(opt_level: &str, os: Os) -> settings::Flags {
    let mut builder = settings::builder();
    let mut set = |name: &str, value: &str| {
        builder.set(name, value).expect("a setting of this version of Cranelift");
    };
    set("opt_level", opt_level);
    // Everything in a module is near, so this decides only where addresses of a linker's symbols come from
    // (`translate/bound.rs`): its table of addresses, or the distance to them.
    let from_table = match os {
        Os::Linux => "true",
        Os::MacOs | Os::Windows => "false",
    };
    set("is_pic", from_table);
    set("use_colocated_libcalls", "false");
    set("preserve_frame_pointers", "true");
    set("unwind_info", "true");
    // A frame larger than the guard page must not step over it.
    set("enable_probestack", "true");
    set("probestack_strategy", "inline");
    set("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" });
    settings::Flags::new(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cpu;
    use crate::{Emit, TARGETS, compile};

    #[test]
    fn operating_system_decides_nothing_about_code() {
        let module = include_bytes!("../../../fixtures/formats/module.wat");
        let asm = |target: Target| {
            let options = Options { target, cpu: Cpu::baseline(target.arch), ..Options::default() };
            compile(module, Emit::Asm, &options).unwrap()
        };
        for target in TARGETS {
            assert!(is_supported(target));
            let linux = Target { os: Os::Linux, ..target };
            assert!(asm(target) == asm(linux), "{target} and {linux} differ");
        }
    }
}
