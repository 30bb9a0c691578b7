//! Streams of bits, and numbers in them that are mostly small.
//!
//! Bits fill bytes from the lowest up. What is left of the last byte is ones; no number is complete with fewer than eight
//! of them alone, so that a stream ends where a number does not.

use alloc::vec::Vec;

/// How a number is written:
///
/// ```text
///   below ones_max << low_bits    number >> low_bits in ones, a zero, the low bits
///   others, less that             ones_max ones; then, of the number plus 1 << escape_bits, how many bits follow its
///                                 highest beyond escape_bits, in ones, a zero, and these bits
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberCode {
    /// Bits that are written as they are.
    pub(super) low_bits: u32,
    /// Most ones that stand for the rest.
    pub(super) ones_max: u32,
    /// Fewest bits of a number that is larger.
    pub(super) escape_bits: u32,
}

impl NumberCode {
    /// The first number that is written the long way.
    pub(super) const fn escape(self) -> u64 {
        (self.ones_max as u64) << self.low_bits
    }
}

/// Appends bits.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// How many bits of the last byte are taken; 8 where there is none.
    taken: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, taken: 8 }
    }

    /// Appends the `count` lowest bits of `value`, the lowest first.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        for bit in 0..count {
            if self.taken == 8 {
                self.out.push(0xff);
                self.taken = 0;
            }
            if value >> bit & 1 == 0
                && let Some(last) = self.out.last_mut()
            {
                *last &= !(1 << self.taken);
            }
            self.taken += 1;
        }
    }

    /// Appends `count` ones and a zero, which is left out behind `most` of them.
    pub(super) fn ones(&mut self, count: u32, most: u32) {
        for _ in 0..count {
            self.bits(1, 1);
        }
        self.bits(0, u32::from(count < most));
    }

    /// Appends a number below 2 to the 34th.
    pub(super) fn number(&mut self, value: u64, code: NumberCode) {
        match value.checked_sub(code.escape()) {
            None => {
                self.ones((value >> code.low_bits) as u32, code.ones_max);
                self.bits(value, code.low_bits);
            }
            Some(rest) => {
                self.ones(code.ones_max, code.ones_max);
                let rest = rest + (1 << code.escape_bits);
                self.ones(rest.ilog2() - code.escape_bits, u32::MAX);
                self.bits(rest, rest.ilog2());
            }
        }
    }
}

/// Takes bits from the front.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// How many bits of the first byte were taken.
    taken: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, taken: 0 }
    }

    fn bit(&mut self) -> Option<u64> {
        let (first, rest) = self.bytes.split_first()?;
        let bit = first >> self.taken & 1;
        self.taken += 1;
        if self.taken == 8 {
            (self.bytes, self.taken) = (rest, 0);
        }
        Some(bit.into())
    }

    fn bits(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for bit in 0..count {
            value |= self.bit()? << bit;
        }
        Some(value)
    }

    /// How many ones there are before a zero, `most` at most; the zero is taken too.
    pub(super) fn ones(&mut self, most: u32) -> Option<u32> {
        let mut count = 0;
        while count < most && self.bit()? == 1 {
            count += 1;
        }
        Some(count)
    }

    /// A number; `None` if there is none, or if it is too large for one.
    pub(super) fn number(&mut self, code: NumberCode) -> Option<u64> {
        let ones = self.ones(code.ones_max)?;
        if ones < code.ones_max {
            return Some(u64::from(ones) << code.low_bits | self.bits(code.low_bits)?);
        }
        // No number that is written has more than 34 bits.
        let more = self.ones(34).filter(|more| more + code.escape_bits <= 34)?;
        let bits = code.escape_bits + more;
        let rest = 1 << bits | self.bits(bits)?;
        Some(rest - (1 << code.escape_bits) + code.escape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [NumberCode; 3] = [
        NumberCode { low_bits: 0, ones_max: 6, escape_bits: 3 },
        NumberCode { low_bits: 4, ones_max: 5, escape_bits: 7 },
        NumberCode { low_bits: 2, ones_max: 1, escape_bits: 0 },
    ];

    #[test]
    fn what_is_written_is_read() {
        let large = (0..33).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let numbers: Vec<u64> = (0..200).chain(large).chain([(1 << 33) + 80]).collect();
        for code in CODES {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for &number in &numbers {
                writer.ones(2, 4);
                writer.number(number, code);
            }
            let mut reader = BitReader::new(&bytes);
            for &number in &numbers {
                assert_eq!(reader.ones(4), Some(2));
                assert_eq!(reader.number(code), Some(number), "{code:?}");
            }
            assert_eq!(reader.number(CODES[0]), None, "the rest of the last byte is no number");
        }
    }

    #[test]
    fn short_numbers_are_short() {
        for (number, bits) in [(0, 5), (15, 5), (16, 6), (79, 9), (80, 13), (207, 13), (208, 15)] {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            writer.number(number, CODES[1]);
            let taken = writer.taken;
            assert_eq!((bytes.len() as u32 - 1) * 8 + taken, bits, "{number}");
        }
    }

    #[test]
    fn ones_without_end_are_no_number() {
        assert_eq!(BitReader::new(&[0xff; 40]).number(CODES[0]), None);
        assert_eq!(BitReader::new(&[]).number(CODES[1]), None);
    }
}
