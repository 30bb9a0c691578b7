//! Features of processors that are not x86-64, as the standard library finds them, and of an interpreter of Rust.

/// This processor.
pub(crate) struct Cpu;

impl Cpu {
    /// What it is.
    pub(crate) fn ask() -> Self {
        Self
    }

    /// Whether it has the feature `name`, and the registers that belong to it are kept.
    #[cfg(all(feature = "std", target_arch = "aarch64"))]
    pub(crate) fn has(&self, name: &str) -> bool {
        match name {
            "lse" => std::arch::is_aarch64_feature_detected!("lse"),
            "fp16" => std::arch::is_aarch64_feature_detected!("fp16"),
            "dotprod" => std::arch::is_aarch64_feature_detected!("dotprod"),
            "i8mm" => std::arch::is_aarch64_feature_detected!("i8mm"),
            _ => false,
        }
    }

    /// Whether it has the feature `name`: nobody says so. An interpreter, which runs no compiled code, has all.
    #[cfg(not(all(feature = "std", target_arch = "aarch64")))]
    pub(crate) fn has(&self, _name: &str) -> bool {
        cfg!(miri)
    }
}
