//! The checksum by which damage to the module data is found.
//!
//! It covers everything but the image of memory 0, which is a program's contents as code is, and may be large: reading
//! an artifact whole would make loading depend on its size. It finds accidents, not attackers: who can
//! write the module data can write the code.

use super::header::Header;

/// Where the checksum lies in the header: the first field after the lead.
const CHECKSUM_AT: usize = Header::LEAD_BYTES;
const CHECKSUM_BYTES: usize = 8;

/// Odd constants with irregular bits: the golden ratio's, and those of MurmurHash3 and SplitMix64.
const FACTORS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53, 0xbf58_476d_1ce4_e5b9];

/// Writes the checksum of the first `covered_bytes` bytes of module data into its header.
///
/// # Panics
/// If `data` is shorter than that, or than a header.
pub fn seal(data: &mut [u8], covered_bytes: usize) {
    let sum = checksum(&data[..covered_bytes]);
    data[CHECKSUM_AT..CHECKSUM_AT + CHECKSUM_BYTES].copy_from_slice(&sum.to_le_bytes());
}

/// The checksum of `data`, which starts with a header, passing over the checksum in it.
pub(super) fn checksum(data: &[u8]) -> u64 {
    let mut lanes = FACTORS;
    absorb(&mut lanes, &data[..CHECKSUM_AT]);
    absorb(&mut lanes, &data[CHECKSUM_AT + CHECKSUM_BYTES..]);
    combine(lanes, data.len())
}

/// The checksum of other bytes.
pub(crate) fn checksum_of(bytes: &[u8]) -> u64 {
    let mut lanes = FACTORS;
    absorb(&mut lanes, bytes);
    combine(lanes, bytes.len())
}

fn combine(lanes: [u64; 4], bytes: usize) -> u64 {
    lanes.iter().fold(bytes as u64, |sum, &lane| {
        (sum ^ lane ^ lane >> 29).wrapping_mul(FACTORS[1]).rotate_left(31)
    })
}

/// Four lanes, so that the multiplications of one do not wait for those of another. Each step is a
/// bijection of its lane, so a single changed word always changes the sum of its lane.
fn absorb(lanes: &mut [u64; 4], bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(32);
    for chunk in &mut chunks {
        for (index, lane) in lanes.iter_mut().enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(&chunk[index * 8..index * 8 + 8]);
            *lane = (*lane ^ u64::from_le_bytes(word)).wrapping_mul(FACTORS[index]).rotate_left(29);
        }
    }
    for &byte in chunks.remainder() {
        lanes[0] = (lanes[0] ^ u64::from(byte)).wrapping_mul(FACTORS[0]).rotate_left(29);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_is_found() {
        let mut data: alloc::vec::Vec<u8> = (0..500u32).map(|i| (i * 7) as u8).collect();
        let covered = data.len();
        seal(&mut data, covered);
        let sum = checksum(&data);
        for bit in 0..data.len() * 8 {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            data[byte] ^= mask;
            let in_sum = (CHECKSUM_AT..CHECKSUM_AT + CHECKSUM_BYTES).contains(&byte);
            assert_eq!(checksum(&data) == sum, in_sum, "bit {bit}");
            data[byte] ^= mask;
        }
    }
}
