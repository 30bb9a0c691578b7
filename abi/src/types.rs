//! Value types, and the identity of function types by a structural hash.

use core::fmt;

/// A value type of WebAssembly 2.0, with its number in the artifact: the byte of the binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValType {
    /// 32-bit integer.
    I32 = 0x7f,
    /// 64-bit integer.
    I64 = 0x7e,
    /// 32-bit float.
    F32 = 0x7d,
    /// 64-bit float.
    F64 = 0x7c,
    /// 128-bit vector.
    V128 = 0x7b,
    /// Nullable reference to a function.
    FuncRef = 0x70,
    /// Nullable reference to something of the host's.
    ExternRef = 0x6f,
}

impl ValType {
    /// The type with this number, if there is one.
    pub const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0x7f => Self::I32,
            0x7e => Self::I64,
            0x7d => Self::F32,
            0x7c => Self::F64,
            0x7b => Self::V128,
            0x70 => Self::FuncRef,
            0x6f => Self::ExternRef,
            _ => return None,
        })
    }

    /// Whether values of this type are references.
    pub const fn is_ref(self) -> bool {
        matches!(self, Self::FuncRef | Self::ExternRef)
    }

    /// Size of a value in a global slot or argument slot, in bytes: 8, or 16 for a vector.
    pub const fn slot_bytes(self) -> u32 {
        match self {
            Self::V128 => 16,
            _ => 8,
        }
    }
}

/// Most parameters of a function that can be called directly.
pub const DIRECT_PARAMS_MAX: usize = 17;

/// Whether functions of this type can be called directly, from the host and by compiled code: all values fit 64-bit
/// integer registers, and there is at most one result.
///
/// A direct entry is `extern "C" fn(ctx: u64, params: u64..., code: u64) -> (result: u64, status: u64)`, the pair
/// in the two registers in which the platform's C convention returns a structure of two integers; a host function is
/// the same without the code. Floats are their bits; of what is narrower than 64 bits the rest is 0 where it comes from
/// compiled code, and ignored by it.
pub fn can_call_directly(
    params: impl ExactSizeIterator<Item = ValType>,
    results: impl ExactSizeIterator<Item = ValType>,
) -> bool {
    params.len() <= DIRECT_PARAMS_MAX
        && results.len() <= 1
        && params.chain(results).all(|ty| ty != ValType::V128)
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
            Self::FuncRef => "funcref",
            Self::ExternRef => "externref",
        })
    }
}

/// The 64-bit identity of a function type, the same in every module: FNV-1a over the parameter
/// types, a separator and the result types, then mixed. Never 0, which marks "no function".
///
/// Compiled code compares these in `call_indirect`. Two different types with one hash are refused
/// by the loader, which has the types.
pub fn func_type_hash(
    params: impl IntoIterator<Item = ValType>,
    results: impl IntoIterator<Item = ValType>,
) -> u64 {
    let mut hash = FNV_OFFSET;
    for ty in params {
        hash = fnv1a(hash, ty as u8);
    }
    hash = fnv1a(hash, 0);
    for ty in results {
        hash = fnv1a(hash, ty as u8);
    }
    hash = mix(hash);
    if hash == 0 { 1 } else { hash }
}

/// Start value of FNV-1a with 64 bits.
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// One step of FNV-1a with 64 bits.
pub(crate) const fn fnv1a(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

/// The finaliser of MurmurHash3: short inputs differ in all bits.
const fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tells_params_from_results() {
        let i32_to_nothing = func_type_hash([ValType::I32], []);
        let nothing_to_i32 = func_type_hash([], [ValType::I32]);
        assert_ne!(i32_to_nothing, nothing_to_i32);
        assert_eq!(i32_to_nothing, func_type_hash([ValType::I32], []));
    }

    #[test]
    fn numbers_round_trip() {
        for number in 0..=u8::MAX {
            if let Some(ty) = ValType::from_u8(number) {
                assert_eq!(ty as u8, number);
            }
        }
    }
}
