//! The map from code offsets to offsets in the wasm file, of one piece of code.
//!
//! It is asked about *sites* only: the last byte of every call, which is the one before its return address, and the first
//! byte of every instruction that can trap. An entry holds from a place up to the next, so where exactly between two sites
//! an entry begins does not matter: it is the place there that can be told in fewest bits.
//!
//! ```text
//!          site          site              site                            site
//!   ---------|-------------|-----------------|-------------------------------|------> code
//!            ^         ^             ^                       ^
//!            entry     entry         entry                   entry
//!            exact     at a multiple of 16, or else of 8, 4, 2, 1
//! ```
//!
//! An entry is, in bits ([`super::bits`]):
//!
//! ```text
//!   0 to 4 ones    its place is an even multiple of 16 >> ones if that is 16, an odd one of the others
//!   number         which of those behind the entry before
//!   number         wasm offset, from the entry before, the first from the body's: [`WASM`]
//! ```

use alloc::vec::Vec;

use super::bits::{BitReader, BitWriter, NumberCode};

/// Steps through the address map of one piece of code. Every site is exact; between two, an entry may begin before its site.
#[derive(Clone, Debug)]
pub struct AddressMap<'a> {
    bits: BitReader<'a>,
    /// The first place where the next entry can be.
    next: u32,
    wasm_offset: u32,
}

/// How often a place is passed that would be as round.
const PASSED: NumberCode = NumberCode { low_bits: 0, ones_max: 6, escape_bits: 3 };

/// Differences of wasm offsets: those that are small and positive as they are, others zigzag-coded behind them.
const WASM: NumberCode = NumberCode { low_bits: 4, ones_max: 5, escape_bits: 7 };

/// Numbers of roundness: 16, 8, 4, 2, 1.
const ROUNDNESS_MAX: u32 = 4;

/// The places of a roundness: `first`, and others that are `apart`.
#[derive(Clone, Copy)]
struct Places {
    first: u32,
    apart: u32,
}

impl Places {
    fn of(roundness: u32) -> Self {
        match roundness {
            0 => Self { first: 0, apart: 16 },
            _ => Self { first: 16 >> roundness, apart: 32 >> roundness },
        }
    }

    /// The first that is not before `at`.
    fn first_from(self, at: u32) -> u32 {
        at.wrapping_add(self.first.wrapping_sub(at) % self.apart)
    }

    /// The last that is not behind `at`.
    fn last_up_to(self, at: u32) -> Option<u32> {
        at.checked_sub(at.wrapping_sub(self.first) % self.apart)
    }
}

impl<'a> AddressMap<'a> {
    /// The map in `bytes` of a piece of code whose body is at `wasm_offset`.
    pub(super) fn new(bytes: &'a [u8], wasm_offset: u32) -> Self {
        Self { bits: BitReader::new(bytes), next: 0, wasm_offset }
    }

    /// Appends the map of a piece of code whose body is at `wasm_offset`: `sites` are code offsets, ascending, and wasm offsets.
    pub fn encode(out: &mut Vec<u8>, wasm_offset: u32, sites: &[(u32, u32)]) {
        let mut bits = BitWriter::new(out);
        let (mut next, mut wasm) = (0, wasm_offset);
        // What comes before the first site is at no site.
        let mut earliest = sites.first().map_or(0, |site| site.0);
        for (number, &(site, site_wasm)) in sites.iter().enumerate() {
            let is_same = number > 0 && site_wasm == wasm;
            if !is_same {
                let rounds =
                    (0..=ROUNDNESS_MAX).map(|roundness| (roundness, Places::of(roundness)));
                let (roundness, places, place) = rounds
                    .filter_map(|(roundness, places)| {
                        Some((roundness, places, places.last_up_to(site)?))
                    })
                    .find(|&(_, _, place)| place >= earliest)
                    .expect("the site itself is a place");
                bits.ones(roundness, ROUNDNESS_MAX);
                bits.number(((place - places.first_from(next)) / places.apart).into(), PASSED);
                bits.number(difference(wasm, site_wasm), WASM);
                (next, wasm) = (place + 1, site_wasm);
            }
            earliest = site + 1;
        }
    }
}

/// The number for the way from `from` to `to`.
fn difference(from: u32, to: u32) -> u64 {
    let difference = i64::from(to) - i64::from(from);
    match u64::try_from(difference) {
        Ok(small) if small < WASM.escape() => small,
        _ => WASM.escape() + (difference << 1 ^ difference >> 63) as u64,
    }
}

impl Iterator for AddressMap<'_> {
    /// Code offset in the piece of code, wasm offset in the file.
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let places = Places::of(self.bits.ones(ROUNDNESS_MAX)?);
        let passed = self.bits.number(PASSED)? as u32;
        let difference = self.bits.number(WASM)?;
        let difference = match difference.checked_sub(WASM.escape()) {
            None => difference,
            Some(zigzag) => zigzag >> 1 ^ (zigzag & 1).wrapping_neg(),
        };
        let place = places.first_from(self.next).wrapping_add(passed.wrapping_mul(places.apart));
        self.next = place.wrapping_add(1);
        self.wasm_offset = self.wasm_offset.wrapping_add(difference as u32);
        Some((place, self.wasm_offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look-up finds.
    fn find(bytes: &[u8], wasm_offset: u32, offset: u32) -> Option<u32> {
        let map = AddressMap::new(bytes, wasm_offset);
        map.take_while(|&(code, _)| code <= offset).last().map(|(_, wasm)| wasm)
    }

    fn check(wasm_offset: u32, sites: &[(u32, u32)]) {
        let mut bytes = Vec::new();
        AddressMap::encode(&mut bytes, wasm_offset, sites);
        for &(code, wasm) in sites {
            assert_eq!(find(&bytes, wasm_offset, code), Some(wasm), "at {code} of {sites:?}");
        }
        let first = sites.first().map_or(u32::MAX, |site| site.0);
        assert_eq!(first.checked_sub(1).and_then(|at| find(&bytes, wasm_offset, at)), None);
        let places: Vec<u32> = AddressMap::new(&bytes, wasm_offset).map(|(code, _)| code).collect();
        assert!(places.is_sorted_by(|a, b| a < b) && places.len() <= sites.len(), "{places:?}");
    }

    #[test]
    fn sites_are_exact() {
        check(7, &[]);
        check(0, &[(0, 0)]);
        check(10, &[(0, 10), (1, 9), (2, 10), (3, u32::MAX), (4, 0)]);
        check(1000, &[(100, 1004), (116, 1004), (117, 900), (5000, 1003), (1 << 30, 1 << 31)]);
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let (mut code, mut wasm) = (random(50) as u32, 3000u32);
            let mut sites = Vec::new();
            for _ in 0..random(60) {
                sites.push((code, wasm));
                let (code_bits, wasm_bits) = (1 + random(7), 1 + random(9));
                code += 1 + random(1 << code_bits) as u32;
                wasm += random(1 << wasm_bits) as u32;
                wasm -= if random(8) == 0 { random(400) as u32 } else { 0 };
            }
            check(3000, &sites);
        }
    }

    #[test]
    fn an_entry_takes_a_byte() {
        // Calls and loads as they lie in compiled code.
        let sites: Vec<_> = (0..400).map(|n| (n * 17 + n % 3 * 4, 100 + n * 9)).collect();
        let mut bytes = Vec::new();
        AddressMap::encode(&mut bytes, 100, &sites);
        assert!(bytes.len() <= sites.len() + sites.len() / 8, "{}", bytes.len());
    }

    #[test]
    fn bytes_without_sense_end() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 56) as u8
                })
                .collect();
            assert!(AddressMap::new(&bytes, 0).count() <= bytes.len() * 8);
        }
    }
}
