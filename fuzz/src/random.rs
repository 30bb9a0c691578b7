//! Random numbers that are the same everywhere: SplitMix64.

/// A generator. Its seed determines all that it gives.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator whose seed depends on all of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let add = |seed: u64, &byte: &u8| Self(seed ^ u64::from(byte)).next();
        Self(bytes.iter().fold(bytes.len() as u64, add))
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of `choices`, which are not empty.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// This many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Bits of which the ones at limits are frequent.
    pub fn bits(&mut self) -> u64 {
        const LIMITS: [u64; 16] = [
            0,
            1,
            2,
            0x7f,
            0x8000,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x7fff_ffff_ffff_ffff,
            0x8000_0000_0000_0000,
            u64::MAX,
            // One, infinity and the canonical NaN as floats of 32 bits.
            0x3f80_0000,
            0x7f80_0000,
            0x7fc0_0000,
            // One as a float of 64 bits.
            0x3ff0_0000_0000_0000,
        ];
        match self.below(4) {
            0 => self.next(),
            1 => self.next() >> self.below(64),
            _ => self.choose(&LIMITS),
        }
    }
}
