//! What a piece of compiled code is known by.

use std::hash::{Hash, Hasher};

use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetIsa;
use sha2::{Digest, Sha256};

use crate::codegen::Isas;
use crate::optimize;

/// A sum over everything that the code depends on.
pub(super) type Key = [u8; KEY_BYTES];

/// Size of a key.
pub(super) const KEY_BYTES: usize = 32;

/// What all functions of a compilation have in common.
pub(super) struct Settings {
    hasher: Summing,
}

impl Settings {
    pub(super) fn new(isas: &Isas) -> Self {
        let mut hasher = Summing(Sha256::new());
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        cranelift_codegen::VERSION.hash(&mut hasher);
        optimize::SOURCES.hash(&mut hasher);
        isas.optimizing.is_some().hash(&mut hasher);
        for isa in isas.optimizing.iter().chain([&isas.lowering]) {
            hash_isa(&**isa, &mut hasher);
        }
        Self { hasher }
    }

    /// The key of `function`, as the translation gave it.
    pub(super) fn key(&self, function: &Function) -> Key {
        let mut hasher = self.hasher.clone();
        function.stencil.hash(&mut hasher);
        hasher.0.finalize().into()
    }

    /// A sum over the settings alone.
    pub(super) fn sum(&self) -> Key {
        self.hasher.0.clone().finalize().into()
    }
}

fn hash_isa(isa: &dyn TargetIsa, hasher: &mut Summing) {
    isa.name().hash(hasher);
    isa.triple().hash(hasher);
    isa.flags().hash(hasher);
    isa.isa_flags_hash_key().hash(hasher);
}

/// Sums up what is hashed.
#[derive(Clone)]
struct Summing(Sha256);

impl Hasher for Summing {
    fn finish(&self) -> u64 {
        unreachable!("only the whole sum is asked for")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
