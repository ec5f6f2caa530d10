//! Prompts as ids of blocks, and the size of these blocks.

use super::error::TraceError;
use super::line::{Fields, brief};
use super::rows::{MAX_PARTS, Row};
use super::words::hash_text;
use crate::rng::hash_words;
use crate::tokens::Segment;
use serde_json::Value;

/// The field of the ids.
pub const FIELD: &str = "hash_ids";
const MAX_BLOCK: u32 = 1 << 16;

/// The ids of one prompt, as the seeds of their texts.
#[derive(Debug)]
pub struct Ids {
    line: usize,
    input: u32,
    seeds: Vec<u64>,
}

/// The ids of a row. `all` counts those of all rows. None: the row has none, so its prompt is a text
/// of its own.
pub fn ids(
    fields: &Fields<'_>,
    tag: u64,
    input: u32,
    all: &mut usize,
) -> Result<Option<Ids>, TraceError> {
    if fields.said(FIELD).is_none() {
        return Ok(None);
    }
    let values = fields.list(FIELD, "ids")?;
    *all += values.len();
    if *all > MAX_PARTS {
        let why = format!("more than {MAX_PARTS} ids in all rows, expected fewer");
        return Err(fields.err(FIELD, why));
    }
    let seeds = values.iter().map(|id| seed(fields, tag, id)).collect::<Result<_, _>>()?;
    Ok(Some(Ids { line: fields.line(), input, seeds }))
}

/// An id is a whole number of 64 bits, with or without a sign, or a string.
fn seed(fields: &Fields<'_>, tag: u64, id: &Value) -> Result<u64, TraceError> {
    if let Some(id) = id.as_u64() {
        Ok(seed_of_number(tag, id))
    } else if let Some(id) = id.as_i64() {
        Ok(hash_words(&[tag, 1, id as u64]))
    } else if let Some(id) = id.as_str() {
        Ok(hash_words(&[tag, 2, hash_text(id)]))
    } else {
        let expected = "expected a whole number from -2^63 to 2^64 - 1, or a string";
        Err(fields.err(FIELD, format!("{}, {expected}", brief(id))))
    }
}

fn seed_of_number(tag: u64, id: u64) -> u64 {
    hash_words(&[tag, id])
}

/// The size of the blocks: the one that is given, else the usual one if it fits all prompts, else the
/// power of two that does.
pub fn size(given: Option<u32>, usual: u32, all: &[(Row, Option<Ids>)]) -> Result<u32, TraceError> {
    let ids = || all.iter().filter_map(|(_, ids)| ids.as_ref());
    if let Some(size) = given {
        return match ids().find(|ids| !ids.fit(size)) {
            Some(wrong) => Err(wrong.err(size, "")),
            None => Ok(size),
        };
    }
    let Some(wrong) = ids().find(|ids| !ids.fit(usual)) else { return Ok(usual) };
    // With one id in each row, any large size would do.
    let several = ids().any(|ids| ids.seeds.len() > 1);
    let powers = (0..=16).map(|bit| 1 << bit).filter(|size| ids().all(|ids| ids.fit(*size)));
    match powers.collect::<Vec<u32>>().as_slice() {
        [size] if several => Ok(*size),
        _ => Err(wrong.err(usual, "; --trace-block-size says if blocks have another size")),
    }
}

impl Ids {
    /// The ids of a row that are numbers. None: too many with those of the rows before.
    pub fn of_numbers(
        line: usize,
        tag: u64,
        input: u32,
        ids: &[u64],
        all: &mut usize,
    ) -> Option<Self> {
        let fit = *all + ids.len() <= MAX_PARTS;
        fit.then(|| *all += ids.len())?;
        let seeds = ids.iter().map(|&id| seed_of_number(tag, id)).collect();
        Some(Self { line, input, seeds })
    }

    fn needed(&self, block: u32) -> usize {
        self.input.div_ceil(block) as usize
    }

    /// Whether each block has an id.
    fn fit(&self, block: u32) -> bool {
        self.seeds.len() == self.needed(block)
    }

    /// Gives the partial block at the end an id of its own, if it has none.
    pub fn complete(&mut self, block: u32) {
        if self.seeds.len() == (self.input / block) as usize && !self.fit(block) {
            self.seeds.push(hash_words(&[0x7461_696c, self.line as u64]));
        }
    }

    fn err(&self, block: u32, hint: &str) -> TraceError {
        let why = format!(
            "{} ids, expected {} for {} input tokens in blocks of {block}{hint}",
            self.seeds.len(),
            self.needed(block),
            self.input
        );
        TraceError::Field { line: self.line, field: FIELD.into(), why }
    }

    /// The prompt, one segment a block.
    pub fn prompt(&self, block: u32) -> Vec<Segment> {
        let tokens = |i: u32| (self.input - i * block).min(block);
        let segment = |(i, &seed)| Segment::Text { seed, tokens: tokens(i) };
        (0..).zip(&self.seeds).map(segment).collect()
    }
}

/// Checks a size of blocks that a user gives.
pub fn parse_size(text: &str) -> Result<u32, String> {
    let size = text.parse().ok().filter(|size| (1..=MAX_BLOCK).contains(size));
    size.ok_or_else(|| format!("expected a whole number from 1 to {MAX_BLOCK}"))
}
