//! Names of blocks of tokens: ours beside what Dynamo's crates compute of the same tokens, in CPU seconds of one thread.
//!
//! Each side gets token ids and returns one name for each full block, which covers the block's whole prefix. Before
//! anything is timed, all sides must agree which prefixes of many texts are equal. Ours are keyed and have 128 bits;
//! theirs are unkeyed XXH3 and have 64, in `dynamo-kv-hashing` with the place beside it.

use dynamo_kv_hashing::Request;
use dynamo_kv_router::protocols::{
    BlockHashOptions, compute_block_hash_for_seq, compute_seq_hash_for_block,
};
use dynamo_tokens::{TokenBlockSequence, Tokens};
use peers_table::{Good, Side, head, per_second, row};
use std::collections::BTreeMap;
use std::hint::black_box;
use warmpath_core::block::{ScopePlan, hash_blocks};
use warmpath_core::rng::Rng;
use warmpath_core::tokens::VOCABULARY;

const ROUNDS: usize = 15;
/// Tokens that a round names.
const ROUND: usize = 4_000_000;
/// As a router sends it.
const SALT: &str = "7b7ff15bcae5460e412fbb947fc30565a6447d583cdc1feb3b8ca3b9ee986749";

/// One way to name blocks.
struct Namer {
    name: &'static str,
    /// The names of a text in blocks of so many tokens, as numbers.
    names: fn(&[u32], u32) -> Vec<u128>,
    /// The same without turning the result into numbers, for the clock.
    timed: fn(&[u32], u32),
}

/// The first is ours. As in a router, each prompt has a scope of its own, with keys of its own.
const NAMERS: [Namer; 4] = [
    Namer {
        name: "warmpath",
        names: |tokens, size| {
            let chain = hash_blocks(&scope(size), tokens);
            (0..chain.blocks()).map(|block| chain.hash(block).to_wire()).collect()
        },
        timed: |tokens, size| {
            black_box(hash_blocks(&scope(size), tokens));
        },
    },
    Namer {
        name: "dynamo-kv-router",
        names: |tokens, size| kv_router(tokens, size).into_iter().map(u128::from).collect(),
        timed: |tokens, size| {
            black_box(kv_router(tokens, size));
        },
    },
    Namer {
        name: "dynamo-tokens",
        names: |tokens, size| {
            let blocks = sequence(tokens, size);
            blocks.blocks().iter().map(|block| u128::from(block.sequence_hash())).collect()
        },
        timed: |tokens, size| {
            black_box(sequence(tokens, size));
        },
    },
    Namer {
        name: "dynamo-kv-hashing",
        names: |tokens, size| {
            lineage(tokens, size).into_iter().map(|hash| hash.as_u128()).collect()
        },
        timed: |tokens, size| {
            black_box(lineage(tokens, size));
        },
    },
];

fn scope(size: u32) -> ScopePlan {
    ScopePlan::new(SALT, "model", "", size)
}

/// Hashes of the blocks, then a chain of them.
fn kv_router(tokens: &[u32], size: u32) -> Vec<u64> {
    let blocks = compute_block_hash_for_seq(tokens, size, BlockHashOptions::default());
    compute_seq_hash_for_block(&blocks)
}

fn sequence(tokens: &[u32], size: u32) -> TokenBlockSequence {
    TokenBlockSequence::new(Tokens::from(tokens.to_vec()), size, Some(1_337))
}

fn lineage(tokens: &[u32], size: u32) -> Vec<dynamo_tokens::PositionalLineageHash> {
    let request = Request::builder().tokens(tokens.to_vec()).build().expect("a request of tokens");
    request.positional_lineage_hashes(size).expect("a block size")
}

/// Texts with equal prefixes of all lengths, and with blocks that are equal behind different prefixes.
fn texts() -> Vec<Vec<u32>> {
    let mut rng = Rng::named(1, &[]);
    let mut texts: Vec<Vec<u32>> = vec![Vec::new()];
    for _ in 0..400 {
        let before = &texts[rng.below(texts.len() as u64) as usize];
        let mut text = before[..rng.below(before.len() as u64 + 1) as usize].to_vec();
        match rng.below(3) {
            0 => text.extend(std::iter::repeat_n(7, rng.below(300) as usize)),
            _ => text.extend(drawn(&mut rng, 300)),
        }
        texts.push(text);
    }
    texts
}

fn drawn(rng: &mut Rng, below: u64) -> Vec<u32> {
    (0..rng.below(below)).map(|_| rng.below(u64::from(VOCABULARY)) as u32).collect()
}

/// Numbers the names of all texts in the order in which they come first, so that equal names are equal numbers.
fn numbered(namer: &Namer, texts: &[Vec<u32>], size: u32) -> Vec<Vec<usize>> {
    let mut known = BTreeMap::new();
    let mut number = |name| {
        let next = known.len();
        *known.entry(name).or_insert(next)
    };
    let names = texts.iter().map(|text| (namer.names)(text, size));
    names.map(|names| names.into_iter().map(&mut number).collect()).collect()
}

/// The same from the tokens themselves.
fn by_tokens(texts: &[Vec<u32>], size: u32) -> Vec<Vec<usize>> {
    let mut known = BTreeMap::new();
    let mut number = |prefix| {
        let next = known.len();
        *known.entry(prefix).or_insert(next)
    };
    let ends =
        |text: &[u32]| (1..=text.len() / size as usize).map(move |block| block * size as usize);
    texts.iter().map(|text| ends(text).map(|end| number(text[..end].to_vec())).collect()).collect()
}

fn check(size: u32) {
    let texts = texts();
    let expected = by_tokens(&texts, size);
    let blocks: usize = expected.iter().map(Vec::len).sum();
    let different = expected.iter().flatten().max().map_or(0, |last| last + 1);
    for namer in &NAMERS {
        let name = namer.name;
        assert!(
            numbered(namer, &texts, size) == expected,
            "{name}: names that differ from the tokens"
        );
    }
    println!(
        "blocks of {size}: all sides agree about {blocks} blocks with {different} different prefixes\n"
    );
}

/// The version in the lock file.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("of an unknown version")
}

fn compare(what: &str, tokens: usize, size: u32, wanted: &str) {
    let mut rng = Rng::named(2, &[tokens as u64]);
    let text: Vec<u32> = (0..tokens).map(|_| rng.below(u64::from(VOCABULARY)) as u32).collect();
    let prompts = ROUND / tokens;
    let text = &text;
    let side = |namer: &'static Namer| {
        let label = match namer.name {
            "warmpath" => "warmpath".to_owned(),
            theirs => format!("{theirs} {}", version(theirs)),
        };
        Side::new(label, move || {
            for _ in 0..prompts {
                (namer.timed)(black_box(text), black_box(size));
            }
            (prompts * tokens) as f64
        })
    };
    let measured = per_second(ROUNDS, NAMERS.iter().map(side).collect());
    row(what, "tokens/s", Good::High, &measured, wanted);
}

fn main() {
    for size in [16, 64, 512] {
        check(size);
    }
    head();
    compare("names of 16-token blocks, prompts of 8,192 tokens", 8_192, 16, ".5");
    compare("names of 16-token blocks, prompts of 131,072 tokens", 131_072, 16, ".5");
    compare("names of 16-token blocks, prompts of 200 tokens", 200, 16, "-");
    compare("names of 64-token blocks, prompts of 8,192 tokens", 8_192, 64, "-");
    compare("names of 512-token blocks, prompts of 8,192 tokens", 8_192, 512, "-");
}
