//! Names against a second implementation, which is written to be read and shares no code with the first, and names
//! of texts that differ in as little as possible.

use super::*;
use crate::block::hash_blocks;
use crate::rng::Rng;
use std::collections::BTreeSet;

/// Names as docs/security.md defines them.
mod reference {
    pub const P: u128 = (1 << 127) - 1;

    fn times(a: u128, b: u128) -> u128 {
        (0..128).rev().fold(0, |sum, bit| {
            let twice = (sum + sum) % P;
            (twice + if b >> bit & 1 == 1 { a % P } else { 0 }) % P
        })
    }

    fn times_in_bytes(mut a: u8, mut b: u8) -> u8 {
        let mut product = 0;
        while b > 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            let carry = a >> 7;
            a = (a << 1) ^ (carry * 0x1b);
            b >>= 1;
        }
        product
    }

    fn sub_byte(byte: u8) -> u8 {
        let inverse = (0..=255).find(|&other| times_in_bytes(byte, other) == 1).unwrap_or(0);
        (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
    }

    /// AES-128 by FIPS 197, byte by byte.
    pub struct Aes {
        substitutes: [u8; 256],
        round_keys: [[u8; 16]; 11],
    }

    impl Aes {
        pub fn new(key: [u8; 16]) -> Self {
            let substitutes: [u8; 256] = std::array::from_fn(|byte| sub_byte(byte as u8));
            let mut round_keys = [key; 11];
            let mut constant = 1;
            for round in 1..11 {
                let before = round_keys[round - 1];
                let word: [u8; 4] =
                    std::array::from_fn(|i| substitutes[before[12 + (i + 1) % 4] as usize]);
                for i in 0..16 {
                    let beside = match i {
                        0 => word[0] ^ constant,
                        1..4 => word[i],
                        _ => round_keys[round][i - 4],
                    };
                    round_keys[round][i] = before[i] ^ beside;
                }
                constant = times_in_bytes(constant, 2);
            }
            Self { substitutes, round_keys }
        }

        pub fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
            let add = |state: [u8; 16], key: [u8; 16]| std::array::from_fn(|i| state[i] ^ key[i]);
            let mut state: [u8; 16] = add(block, self.round_keys[0]);
            for round in 1..11 {
                // Bytes are substituted; row r of the four columns moves by r.
                let shifted: [u8; 16] = std::array::from_fn(|i| {
                    self.substitutes[state[(i + 4 * (i % 4)) % 16] as usize]
                });
                let mixed = std::array::from_fn(|i| {
                    let column = &shifted[i / 4 * 4..][..4];
                    let at = |row: usize| column[(i + row) % 4];
                    times_in_bytes(at(0), 2) ^ times_in_bytes(at(1), 3) ^ at(2) ^ at(3)
                });
                state = add(if round < 10 { mixed } else { shifted }, self.round_keys[round]);
            }
            state
        }
    }

    pub struct Keys {
        names: Aes,
        words: [u128; 8],
        point: u128,
        last: u128,
    }

    /// The keys of [`super::ScopePlan::new`].
    pub fn keys(salt: &str, model: &str, lora: &str, block_size: u32) -> Keys {
        let mut input = Vec::new();
        for field in [salt, model, lora] {
            input.extend((field.len() as u64).to_le_bytes());
            input.extend(field.bytes());
        }
        input.extend(block_size.to_le_bytes());
        let mut hasher = blake3::Hasher::new_derive_key("warmpath v1 sharing scope");
        let mut derived = [0; 64];
        hasher.update(&input).finalize_xof().fill(&mut derived);
        let digests = Aes::new(derived[32..48].try_into().unwrap());
        let bits = |number: u128| u128::from_le_bytes(digests.encrypt(number.to_le_bytes()));
        let words = std::array::from_fn(|i| bits(i as u128) & !(0b111 << 125 | 0b111 << 61));
        let field = |number| (bits(number) & P) % P;
        let names = Aes::new(derived[..16].try_into().unwrap());
        Keys { names, words, point: field(8), last: field(9) }
    }

    pub fn name(keys: &Keys, parent: u128, block: &[u32]) -> u128 {
        let mut digest = 0;
        for piece in block.chunks(16) {
            digest = times(digest, keys.point);
            for (i, &token) in piece.iter().enumerate() {
                let term = times(keys.words[i / 2], u128::from(token) << (32 * (i % 2)));
                digest = (digest + term) % P;
            }
        }
        let masked = ((digest + keys.last) % P) ^ parent;
        u128::from_le_bytes(keys.names.encrypt(masked.to_le_bytes()))
    }
}

/// A token of any width up to 32 bits.
fn token(rng: &mut Rng) -> u32 {
    (rng.next_u64() as u32) >> rng.below(32)
}

#[test]
fn the_reference_encrypts_as_fips_197_says() {
    let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
    let text = 0x3243_f6a8_885a_308d_3131_98a2_e037_0734_u128.to_be_bytes();
    let encrypted = 0x3925_841d_02dc_09fb_dc11_8597_196a_0b32_u128.to_be_bytes();
    assert_eq!(reference::Aes::new(key).encrypt(text), encrypted);
}

#[test]
fn names_are_those_of_the_reference() {
    let mut rng = Rng::named(3, &[]);
    for case in 0..120 {
        let size = match case {
            0..40 => case + 1,
            40..60 => 16,
            _ => 1 + rng.below(200) as u32,
        };
        let blocks = rng.below(6) as u32;
        let length = blocks * size + rng.below(u64::from(size)) as u32;
        let tokens: Vec<u32> = (0..length).map(|_| token(&mut rng)).collect();
        let (salt, model) = (format!("salt {case}"), "m");
        let own = ScopePlan::new(&salt, model, "lora", size);
        let public = ScopePlan::new("public", model, "", size);
        let public_blocks = rng.below(4) as u32;
        let plan = own.clone().behind(&public, public_blocks * size);
        let own_keys = reference::keys(&salt, model, "lora", size);
        let public_keys = reference::keys("public", model, "", size);
        let chain = hash_blocks(&plan, &tokens);
        assert_eq!(chain.blocks(), blocks);
        let mut parent = 0;
        for (i, block) in tokens.chunks_exact(size as usize).enumerate() {
            let shared = i < public_blocks as usize;
            let keys = if shared { &public_keys } else { &own_keys };
            let namer = Namer::new(if shared { &public } else { &own });
            let before = (i > 0).then(|| BlockHash::from_wire(parent));
            parent = reference::name(keys, parent, block);
            let place = format!("case {case}, block {i} of {size} tokens");
            assert_eq!(chain.hash(i as u32).to_wire(), parent, "{place}");
            assert_eq!(namer.next(before, block).to_wire(), parent, "{place}");
        }
    }
}

/// What differs in one bit of one token has other names from that block on, and the same ones before it.
#[test]
fn each_bit_of_each_token_counts() {
    for size in [1, 2, 3, 15, 16, 17, 33, 64] {
        let plan = ScopePlan::new("s", "m", "", size);
        let tokens: Vec<u32> = (0..size * 2).map(|i| i * 977).collect();
        let names = hash_blocks(&plan, &tokens);
        let mut seen = BTreeSet::from([names.hash(0), names.hash(1)]);
        for place in 0..tokens.len() {
            for bit in 0..32 {
                let mut other = tokens.clone();
                other[place] ^= 1 << bit;
                let other = hash_blocks(&plan, &other);
                let first = place as u32 / size;
                assert!((0..first).all(|block| other.hash(block) == names.hash(block)));
                let fresh = (first..2).all(|block| seen.insert(other.hash(block)));
                assert!(fresh, "bit {bit} of token {place} in blocks of {size}");
            }
        }
    }
}

/// Blocks that a weak digest would confuse: few tokens that are not zero, tokens that change places, that add up to
/// the same, that shift by one, with the largest and the smallest values; at several places of a text.
#[test]
fn a_corpus_of_near_texts_has_no_name_twice() {
    let values = [1, 2, 3, 255, 256, 65_535, 1 << 16, (1 << 24) - 1, 1 << 24, 1 << 31, u32::MAX];
    for size in [8, 16, 24, 48] {
        let mut blocks = BTreeSet::from([vec![0; size]]);
        for a in 0..size {
            for b in 0..size {
                for (i, &x) in values.iter().enumerate() {
                    let y = values[(i + a + b) % values.len()];
                    let mut block = vec![0; size];
                    (block[a], block[b]) = (x, y);
                    blocks.insert(block);
                    let mut block = vec![u32::MAX; size];
                    (block[a], block[b]) = (x, u32::MAX - x);
                    blocks.insert(block);
                }
            }
        }
        let counts: Vec<u32> = (0..size as u32).collect();
        for turn in 0..size {
            let mut block = counts.clone();
            block.rotate_left(turn);
            blocks.insert(block.clone());
            block.reverse();
            blocks.insert(block);
        }
        let (mut names, mut low, mut high) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut asked = 0;
        for salt in ["s", "t"] {
            let namer = Namer::new(&ScopePlan::new(salt, "m", "", size as u32));
            let first = namer.next(None, &blocks.first().cloned().unwrap_or_default());
            for parent in [None, Some(first), Some(BlockHash::from_wire(1))] {
                for block in &blocks {
                    let name = namer.next(parent, block);
                    asked += 1;
                    names.insert(name);
                    // Half of a name is as good as 64 bits can be.
                    low.insert(name.to_wire() as u64);
                    high.insert((name.to_wire() >> 64) as u64);
                }
            }
        }
        assert!(asked > 1_000, "{asked} names");
        assert_eq!([names.len(), low.len(), high.len()], [asked; 3], "in blocks of {size}");
    }
}

/// Equal tokens have other names in another scope, model, adapter, block size and part of the text.
#[test]
fn each_part_of_the_scope_counts() {
    let tokens = [7; 96];
    let plan = |salt, model, lora, size| ScopePlan::new(salt, model, lora, size);
    let own = plan("s", "m", "", 16);
    let all = [
        own.clone(),
        plan("t", "m", "", 16),
        plan("s", "n", "", 16),
        plan("s", "m", "l", 16),
        plan("s", "m", "", 15),
        plan("s", "m", "", 32),
        own.within("tenant", 1),
        own.within("tenant", 2),
        own.within("group", 1),
        own.within("tenant", 1).within("tenant", 1),
        own.clone().behind(&plan("p", "m", "", 16), 32),
    ];
    let mut seen = BTreeSet::new();
    for plan in &all {
        let chain = hash_blocks(plan, &tokens);
        assert!((0..chain.blocks()).all(|block| seen.insert(chain.hash(block))), "{plan:?}");
    }
}

#[test]
#[should_panic(expected = "tokens of a full block")]
fn a_block_of_another_length_has_no_name() {
    Namer::new(&ScopePlan::new("", "", "", 16)).next(None, &[1; 15]);
}
