//! A fixed set of prompts in groups, and the order in which a run sends them.

use crate::rng::Rng;
use serde::{Deserialize, Deserializer, Serialize};

/// The `[prompts]` of a workload file. The prompts of a group begin with the same system part; each
/// prompt has a question of its own. A value out of range is an error at its place in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSet {
    /// The number of groups.
    #[serde(deserialize_with = "few")]
    pub groups: u32,
    /// Prompts of a group.
    #[serde(deserialize_with = "few")]
    pub per_group: u32,
    /// Tokens of the part that a group shares.
    #[serde(deserialize_with = "length_or_none")]
    pub system_tokens: u32,
    /// Tokens of a question.
    #[serde(deserialize_with = "length")]
    pub question_tokens: u32,
    /// Tokens of an answer.
    #[serde(deserialize_with = "length")]
    pub output_tokens: u32,
    /// When the order is drawn.
    #[serde(default)]
    pub shuffle: Shuffle,
    /// Whether each stage begins with the first prompt of the order.
    #[serde(default)]
    pub restart: bool,
}

/// When the order of a set of prompts is drawn. In a cycle each prompt is sent once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shuffle {
    /// All cycles have one order.
    #[default]
    Once,
    /// Each cycle has another order.
    EachCycle,
}

impl PromptSet {
    /// The most prompts of a set.
    pub const MOST: u64 = 10_000_000;
    const MOST_GROUPS: u64 = 1_000_000;
    const LONGEST: u64 = 1 << 28;

    /// The number of different prompts.
    pub const fn count(&self) -> u64 {
        self.groups as u64 * self.per_group as u64
    }
}

/// A prompt of a set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Chosen {
    /// Its group.
    pub group: u64,
    /// Its number in the group.
    pub question: u64,
}

/// The prompts of a set in the order of a run.
#[derive(Clone, Debug)]
pub struct Deck {
    set: PromptSet,
    seed: u64,
    /// The cycle that `order` is of.
    cycle: u64,
    order: Vec<u32>,
}

impl Deck {
    /// The order depends on the seed only.
    pub fn new(set: PromptSet, seed: u64) -> Self {
        let mut deck = Self { set, seed, cycle: 0, order: Vec::new() };
        deck.shuffle(0);
        deck
    }

    /// Whether each stage begins with the first prompt of the order.
    pub const fn restarts(&self) -> bool {
        self.set.restart
    }

    /// The prompt at this place, counted through all cycles.
    pub fn at(&mut self, place: u64) -> Chosen {
        let (cycle, place) = (place / self.set.count(), place % self.set.count());
        if self.set.shuffle == Shuffle::EachCycle && cycle != self.cycle {
            self.shuffle(cycle);
        }
        let number = u64::from(self.order[place as usize]);
        let each = u64::from(self.set.per_group);
        Chosen { group: number / each, question: number % each }
    }

    /// Fisher and Yates.
    fn shuffle(&mut self, cycle: u64) {
        let mut rng = Rng::named(self.seed, &[0x4445_434b, cycle]);
        self.cycle = cycle;
        self.order = (0..self.set.count() as u32).collect();
        for last in (1..self.order.len()).rev() {
            self.order.swap(last, rng.below(last as u64 + 1) as usize);
        }
    }
}

fn few<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    whole(from, 1, PromptSet::MOST_GROUPS)
}

fn length<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    whole(from, 1, PromptSet::LONGEST)
}

fn length_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    whole(from, 0, PromptSet::LONGEST)
}

/// Reads a number here and not in a later check, so that the error has its line.
fn whole<'de, D: Deserializer<'de>>(from: D, least: u64, most: u64) -> Result<u32, D::Error> {
    let number = u64::deserialize(from)?;
    let why = || serde::de::Error::custom(format_args!("{number}, expected {least} to {most}"));
    (least..=most).contains(&number).then_some(number as u32).ok_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn deck(shuffle: Shuffle, seed: u64) -> Deck {
        let set = PromptSet {
            groups: 15,
            per_group: 5,
            system_tokens: 60,
            question_tokens: 12,
            output_tokens: 10,
            shuffle,
            restart: false,
        };
        Deck::new(set, seed)
    }

    fn cycle(deck: &mut Deck, number: u64) -> Vec<Chosen> {
        (number * 75..(number + 1) * 75).map(|place| deck.at(place)).collect()
    }

    #[test]
    fn each_cycle_has_each_prompt_once() {
        for shuffle in [Shuffle::Once, Shuffle::EachCycle] {
            let mut deck = deck(shuffle, 7);
            for number in 0..3 {
                let seen: BTreeSet<Chosen> = cycle(&mut deck, number).into_iter().collect();
                assert_eq!(seen.len(), 75);
                assert!(seen.iter().all(|prompt| prompt.group < 15 && prompt.question < 5));
            }
        }
    }

    #[test]
    fn the_order_follows_the_seed_and_the_shuffle() {
        let first = cycle(&mut deck(Shuffle::Once, 7), 0);
        assert!(!first.is_sorted());
        assert_eq!(first, cycle(&mut deck(Shuffle::Once, 7), 2));
        assert_eq!(first, cycle(&mut deck(Shuffle::EachCycle, 7), 0));
        assert_ne!(first, cycle(&mut deck(Shuffle::EachCycle, 7), 2));
        assert_ne!(first, cycle(&mut deck(Shuffle::Once, 8), 0));
        let mut there_and_back = deck(Shuffle::EachCycle, 7);
        let second = cycle(&mut there_and_back, 1);
        assert_eq!(first, cycle(&mut there_and_back, 0));
        assert_eq!(second, cycle(&mut there_and_back, 1));
    }
}
