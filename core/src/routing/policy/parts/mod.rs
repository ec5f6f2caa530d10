//! What several rules remember or compute alike.

pub(super) mod active_blocks;
pub(super) mod in_flight;
pub(super) mod pick;
pub(super) mod predicted;
pub(super) mod prompt;
pub(super) mod ring;
pub(super) mod ways;
pub(super) mod working_set;

pub(super) use active_blocks::ActiveBlocks;
pub(super) use in_flight::InFlight;
pub(super) use pick::{Cheapest, Least, Lots, in_turn, lot, unit};
pub(super) use predicted::{Index, Predicted, Prediction};
pub(super) use prompt::{new_tokens, start_key};
pub(super) use ring::Ring;
pub(super) use ways::{Held, Way, Ways};
pub(super) use working_set::WorkingSet;
