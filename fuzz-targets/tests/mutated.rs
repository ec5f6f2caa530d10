//! Every target with its seeds, and with mutations of them.
//!
//! `WARMPATH_FUZZ_CASES` sets how many mutations each target gets, `WARMPATH_FUZZ_SEED` the seed, and
//! `WARMPATH_FUZZ_ONLY` the number of the one case to run. `fuzz/` looks further with libFuzzer.

use std::ops::Range;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};
use warmpath_fuzz_targets::{ALL, Target};

/// Far more than any input takes. A slow machine does not come near it.
const LONGEST: Duration = Duration::from_secs(8);

#[test]
fn traces() {
    plays("traces", 1_000);
}

#[test]
fn toml() {
    plays("toml", 1_000);
}

#[test]
fn messages() {
    plays("messages", 40_000);
}

#[test]
fn feed() {
    plays("feed", 3_000);
}

#[test]
fn kv_events() {
    plays("kv_events", 40_000);
}

#[test]
fn records() {
    plays("records", 40_000);
}

#[test]
fn bodies() {
    plays("bodies", 40_000);
}

#[test]
fn answers() {
    plays("answers", 40_000);
}

#[test]
fn cli() {
    plays("cli", 3_000);
}

/// `usual`: enough cases for a few seconds.
fn plays(name: &str, usual: u64) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = set("WARMPATH_FUZZ_SEED").unwrap_or(1);
    let numbers = match set("WARMPATH_FUZZ_ONLY") {
        Some(only) => only..only + 1,
        None => 0..set("WARMPATH_FUZZ_CASES").unwrap_or(usual),
    };
    if let Some(wrong) = first_wrong(target, seed, numbers, LONGEST) {
        panic!("{wrong}");
    }
}

/// The first input that the target does not take: of its seeds, then of its mutations.
fn first_wrong(
    target: &Target,
    seed: u64,
    numbers: Range<u64>,
    longest: Duration,
) -> Option<String> {
    let seeds = (target.seeds)();
    for (i, bytes) in seeds.iter().enumerate() {
        if let Err(wrong) = play(target, &format!("seed {i}"), bytes, longest) {
            return Some(wrong);
        }
    }
    for number in numbers {
        let mut random = Random::new(seed, number);
        let mut bytes = random.of(&seeds).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        if let Err(wrong) = play(target, &format!("case {number} of seed {seed}"), &bytes, longest)
        {
            return Some(wrong);
        }
    }
    None
}

fn play(target: &Target, called: &str, bytes: &[u8], longest: Duration) -> Result<(), String> {
    let begun = Instant::now();
    let played = catch_unwind(|| (target.run)(bytes));
    let (took, input) = (begun.elapsed(), bytes.escape_ascii());
    match played {
        Err(_) => Err(format!("{}, {called} panicked: {input}", target.name)),
        Ok(()) if took >= longest => {
            Err(format!("{}, {called} took {took:?}: {input}", target.name))
        }
        Ok(()) => Ok(()),
    }
}

/// The controls: faults that are planted in a target are found, and only by mutations of its seed.
mod planted {
    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        vec![b"\x01name = 12\nlength = 3\n".to_vec()]
    }

    fn length(bytes: &[u8]) -> Option<&[u8]> {
        bytes.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"length = "))
    }

    fn panics_at_a_large_number(bytes: &[u8]) {
        let text = length(bytes).and_then(|value| std::str::from_utf8(value).ok());
        let value = text.and_then(|text| text.parse::<u64>().ok());
        assert!(value.is_none_or(|value| u32::try_from(value).is_ok()), "a planted panic");
    }

    fn hangs_without_a_length(bytes: &[u8]) {
        if length(bytes).is_none() {
            std::thread::sleep(Duration::from_millis(1_200));
        }
    }

    fn found(run: fn(&[u8])) -> Option<String> {
        let target = Target { name: "planted", run, seeds };
        first_wrong(&target, 1, 0..1_000, Duration::from_secs(1))
    }

    #[test]
    fn a_panic_is_found() {
        let wrong = found(panics_at_a_large_number).expect("a number above 32 bits");
        assert!(wrong.contains("of seed 1 panicked: "), "{wrong}");
    }

    #[test]
    fn a_slow_input_is_found() {
        let wrong = found(hangs_without_a_length).expect("an input without its last line");
        assert!(wrong.contains("of seed 1 took "), "{wrong}");
    }

    #[test]
    fn nothing_is_found_where_nothing_is_planted() {
        let target = Target { name: "sound", run: |_| {}, seeds };
        assert_eq!(first_wrong(&target, 1, 0..1_000, Duration::from_secs(8)), None);
    }
}

/// Values at the edge of what a field takes, or of another kind.
const VALUES: [&str; 26] = [
    "0",
    "-1",
    "1",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-0.0",
    "1e-320",
    "nan",
    "inf",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[[1, 2]]",
    "\u{feff}",
    "../../x.toml",
    "a\\nb",
    "\"a\\u001bb\"",
];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(random.next() as u8);
    }
    // The first byte is a tag.
    let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
    let (from, to) = (at.min(other), at.max(other));
    let to = to.min(from + 1 + random.below(64));
    match random.below(12) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => {
            bytes[at] = *random.of(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'\t', b',', b'[', b'{'])
        }
        2 => bytes.truncate(at.max(1)),
        3 => drop(bytes.drain(from..to)),
        4 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(other..other, piece);
        }
        5 => {
            let piece = random.of(seeds).clone();
            let cut = random.below(piece.len());
            bytes.splice(at.., piece[cut..].iter().copied());
        }
        6 => {
            let value = random.of(&VALUES);
            bytes.splice(at..at, value.bytes());
        }
        7 => {
            let wide = random.next().to_le_bytes();
            bytes.splice(at..at, wide[..1 + random.below(8)].iter().copied());
        }
        8 => {
            let lines = lines(bytes);
            let (line, place) = (random.of(&lines).clone(), random.of(&lines).start);
            let line = bytes[line].to_vec();
            bytes.splice(place..place, line);
        }
        9 => {
            let lines = lines(bytes);
            drop(bytes.drain(random.of(&lines).clone()));
        }
        _ => {
            let numbers = numbers(bytes);
            if !numbers.is_empty() {
                let number = random.of(&numbers).clone();
                bytes.splice(number, random.of(&VALUES).bytes());
            }
        }
    }
}

type Place = std::ops::Range<usize>;

/// The lines, each with its end.
fn lines(bytes: &[u8]) -> Vec<Place> {
    let mut start = 0;
    let each = bytes.split_inclusive(|&byte| byte == b'\n').map(|line| {
        start += line.len();
        start - line.len()..start
    });
    each.collect()
}

/// The numbers in a text.
fn numbers(bytes: &[u8]) -> Vec<Place> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
        if length > 0 {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    found
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
