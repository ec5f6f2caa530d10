//! Packed lists of token ids, the largest part of a request.

use prost::DecodeError;
use prost::encoding::decode_varint;

/// Bytes that are looked at together.
const BLOCK: usize = 64;
/// The bits of a number's first bytes, by how many these are. Longer ones are
/// read again below; with eight entries no place needs a check.
const BITS: [u32; 8] = [0, 0x7f, 0x7f_7f, 0x7f_7f_7f, 0x7f_7f_7f_7f, 0, 0, 0];

/// How many ids a list has: each one ends with a byte below 128.
pub fn ids_in(packed: &[u8]) -> usize {
    // So few at a time that a byte can hold their number: then the compiler counts 16 at once.
    let ends = |few: &[u8]| few.iter().fold(0, |sum: u8, byte| sum + u8::from(*byte < 0x80));
    packed.chunks(255).map(|few| usize::from(ends(few))).sum()
}

/// Takes the first id of `bytes`.
#[inline]
pub fn take_id(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    let low = |byte: u8| u32::from(byte & 0x7f);
    let (id, length) = match **bytes {
        [a @ 0..0x80, ..] => (low(a), 1),
        [a, b @ 0..0x80, ..] => (low(a) | low(b) << 7, 2),
        [a, b, c @ 0..0x80, ..] => (low(a) | low(b) << 7 | low(c) << 14, 3),
        // No vocabulary has so large ids.
        _ => return Ok(decode_varint(bytes)? as u32),
    };
    *bytes = &bytes[length..];
    Ok(id)
}

/// All ids of a list.
///
/// In a text, ids of one, two and three bytes follow each other as if by chance. A processor that guesses each length
/// is wrong too often. So the ends of the ids in a block are found first, without a branch. Then the bytes of each id
/// are copied, up to four from its start. Last, all ids of the block are decoded, several at once.
pub fn ids(packed: &[u8]) -> Result<Vec<u32>, DecodeError> {
    let mut ids = Vec::with_capacity(ids_in(packed));
    // The start of the next id, and of the next block.
    let (mut start, mut from) = (0, 0);
    let mut widths = 0;
    let mut copied = [0; BLOCK];
    // Four bytes from any start in the block must be there.
    while let Some(block) = packed.get(from..from + BLOCK + 4).and_then(|some| some.first_chunk()) {
        let mut ends = ends(block);
        let count = (ends.count_ones() as usize).min(BLOCK);
        for bytes in &mut copied[..count] {
            let next = from + ends.trailing_zeros() as usize + 1;
            ends &= ends.wrapping_sub(1);
            let four = packed[start..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
            let width = next - start;
            start = next;
            widths |= width - 1;
            *bytes = four & BITS[width % BITS.len()];
        }
        ids.extend(copied[..count].iter().map(|bytes| without_gaps(*bytes)));
        from += BLOCK;
    }
    // No vocabulary has ids of more than four bytes, and a number of up to three may be written in more.
    if widths > 3 {
        (ids, start) = (Vec::new(), 0);
    }
    let mut rest = &packed[start..];
    while !rest.is_empty() {
        ids.push(take_id(&mut rest)?);
    }
    Ok(ids)
}

/// A bit for each byte that ends an id.
#[inline]
fn ends(block: &[u8; BLOCK]) -> u64 {
    let eights = block.as_chunks::<8>().0.iter().rev();
    eights.fold(0, |ends, eight| {
        let top_bits = (!u64::from_le_bytes(*eight) & 0x8080_8080_8080_8080) >> 7;
        // The product brings the eight bits together, in order, at its top.
        ends << 8 | top_bits.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// The seven low bits of each of four bytes as one number.
#[inline]
const fn without_gaps(bytes: u32) -> u32 {
    bytes & 0x7f | bytes >> 1 & 0x3f80 | bytes >> 2 & 0x1f_c000 | bytes >> 3 & 0xfe0_0000
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding::encode_varint;
    use warmpath_core::rng::Rng;

    fn one_by_one(mut packed: &[u8]) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        while !packed.is_empty() {
            ids.push(decode_varint(&mut packed).ok()? as u32);
        }
        Some(ids)
    }

    fn packed(rng: &mut Rng, count: u64, widest: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let bits = 1 + rng.below(widest);
            encode_varint(rng.next_u64() >> (64 - bits), &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_list_is_read_as_prost_reads_it() {
        let mut rng = Rng::named(5, &[]);
        for case in 0..4_000 {
            // Up to the widths of a vocabulary, of any id, and of any number.
            let widest = [7, 14, 17, 21, 28, 32, 64][case % 7];
            let count = rng.below(120);
            let mut list = packed(&mut rng, count, widest);
            assert_eq!(ids_in(&list), count as usize);
            assert_eq!(ids(&list).ok(), one_by_one(&list), "case {case}");
            // Any bytes, also those that end within a number.
            list.truncate(rng.below(list.len() as u64 + 1) as usize);
            for _ in 0..rng.below(3) {
                let at = rng.below(list.len() as u64 + 1) as usize;
                list.insert(at, rng.next_u64() as u8);
            }
            assert_eq!(ids(&list).ok(), one_by_one(&list), "case {case}");
        }
    }

    /// 5 may be written as 5 or, with zeros behind it, in up to ten bytes.
    #[test]
    fn a_number_may_be_longer_than_it_must_be() {
        for zeros in 1..10 {
            for before in 0..70 {
                let mut list = vec![1; before];
                list.push(0x85);
                list.extend(std::iter::repeat_n(0x80, zeros - 1));
                list.push(0);
                list.extend([2; 70]);
                let ids = ids(&list).unwrap();
                assert_eq!(ids.len(), before + 71);
                assert_eq!(ids[before], 5, "{zeros} zeros at {before}");
            }
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for length in [1, 63, 64, 65, 68, 69, 200] {
            assert!(ids(&vec![0x80; length]).is_err(), "{length} bytes without an end");
        }
    }
}
