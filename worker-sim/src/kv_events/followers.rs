//! Who follows the events inside this process, to pass them on by other protocols than ZeroMQ.

use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use warmpath_kv_events::event::{Event, Stored};

/// Batches that may wait for one follower.
pub const QUEUE: usize = 1_024;
/// The most tokens of a part of what is held, so that it fits into a message.
const MOST_TOKENS: usize = 262_144;
/// The number before the first batch. The parts of what is held have the numbers up to that of the last batch,
/// so there must be some before the first.
const BEFORE_FIRST: u64 = 1 << 32;

/// A numbered batch of changes, or a part of what is held.
#[derive(Clone, PartialEq, Debug)]
pub struct Numbered {
    pub number: u64,
    /// Seconds since 1970.
    pub ts: f64,
    pub events: Vec<Event>,
    /// None: changes.
    pub part: Option<Part>,
}

/// Which part of what is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    pub index: u32,
    pub count: u32,
    /// Blocks in all parts.
    pub blocks: u64,
}

#[derive(Debug)]
pub struct Followers {
    all: Vec<Sender<Arc<Numbered>>>,
    /// The number of the last batch.
    last: u64,
}

impl Default for Followers {
    fn default() -> Self {
        Self { all: Vec::new(), last: BEFORE_FIRST }
    }
}

impl Followers {
    /// Tells a new follower what is held, from an empty cache on.
    pub fn add(&mut self, follower: Sender<Arc<Numbered>>, ts: f64, held: Vec<Event>) {
        let blocks_in = |event: &Event| match event {
            Event::Stored(stored) => stored.hashes.len() as u64,
            _ => 0,
        };
        let blocks = held.iter().map(blocks_in).sum();
        let mut parts = vec![vec![Event::Cleared]];
        let mut tokens = 0;
        for event in held.into_iter().flat_map(pieces) {
            let more = tokens_in(&event);
            if tokens + more > MOST_TOKENS {
                parts.push(Vec::new());
                tokens = 0;
            }
            tokens += more;
            parts.last_mut().expect("at least one part").push(event);
        }
        let count = parts.len() as u32;
        let told = parts.into_iter().zip(0..).all(|(events, index)| {
            let number = self.last - u64::from(count - 1 - index);
            let part = Some(Part { index, count, blocks });
            follower.try_send(Arc::new(Numbered { number, ts, events, part })).is_ok()
        });
        if told {
            self.all.push(follower);
        }
    }

    /// Tells all of a change. A follower that is too far behind hears nothing more: a gap would be wrong.
    pub fn tell(&mut self, ts: f64, events: Vec<Event>) {
        self.last += 1;
        if self.all.is_empty() {
            return;
        }
        let batch = Arc::new(Numbered { number: self.last, ts, events, part: None });
        self.all.retain(|follower| follower.try_send(Arc::clone(&batch)).is_ok());
    }
}

fn tokens_in(event: &Event) -> usize {
    match event {
        Event::Stored(stored) => stored.token_ids.len(),
        _ => 0,
    }
}

/// A long stretch in pieces that each fit into a part.
fn pieces(event: Event) -> Vec<Event> {
    let Event::Stored(mut stored) = event else { return vec![event] };
    let size = stored.block_size.max(1) as usize;
    let most = (MOST_TOKENS / size).max(1);
    let mut pieces = Vec::new();
    while stored.hashes.len() > most {
        let rest = Stored {
            hashes: stored.hashes.split_off(most),
            parent: stored.hashes.last().cloned(),
            token_ids: stored.token_ids.split_off(most * size),
            extra_keys: stored.extra_keys.as_mut().map(|keys| keys.split_off(most)),
            ..stored.clone()
        };
        pieces.push(Event::Stored(std::mem::replace(&mut stored, rest)));
    }
    pieces.push(Event::Stored(stored));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::channel;
    use warmpath_kv_events::event::EngineHash;

    fn stretch(blocks: usize) -> Event {
        let hashes = (0..blocks).map(|block| EngineHash::Int(block as i128)).collect();
        let extra_keys = Some(vec![None; blocks]);
        let token_ids = vec![7; blocks * 1_024];
        Event::Stored(Stored {
            hashes,
            token_ids,
            block_size: 1_024,
            extra_keys,
            ..Stored::default()
        })
    }

    #[tokio::test]
    async fn what_is_held_comes_in_parts_whose_numbers_end_at_the_last_batch() {
        let mut followers = Followers::default();
        followers.tell(0.0, vec![Event::Cleared]);
        let (sender, mut receiver) = channel(QUEUE);
        followers.add(sender, 1.0, vec![stretch(600), stretch(10)]);
        followers.tell(2.0, vec![Event::Cleared]);
        let mut seen = Vec::new();
        let (mut blocks, mut last_hash) = (0, None);
        while let Ok(batch) = receiver.try_recv() {
            for event in &batch.events {
                let Event::Stored(stored) = event else { continue };
                assert_eq!(stored.token_ids.len(), stored.hashes.len() * 1_024);
                assert!(stored.parent.is_none() || stored.parent == last_hash, "{batch:?}");
                blocks += stored.hashes.len();
                last_hash = stored.hashes.last().cloned();
            }
            seen.push((
                batch.number.wrapping_sub(BEFORE_FIRST),
                batch.part.map(|part| (part.index, part.count)),
            ));
        }
        assert_eq!(blocks, 610);
        let count = seen.len() as u32 - 1;
        assert_eq!(count, 3, "{seen:?}");
        assert_eq!(seen.last(), Some(&(2, None)));
        assert_eq!(seen[2], (1, Some((2, 3))));
        assert_eq!(seen[0].1, Some((0, 3)));
    }

    #[tokio::test]
    async fn a_follower_that_falls_behind_hears_nothing_more() {
        let mut followers = Followers::default();
        let (sender, mut receiver) = channel(2);
        followers.add(sender, 0.0, Vec::new());
        (0..3).for_each(|_| followers.tell(0.0, vec![Event::Cleared]));
        let mut numbers = Vec::new();
        while let Some(batch) = receiver.recv().await {
            numbers.push(batch.number - BEFORE_FIRST);
        }
        assert_eq!(numbers, [0, 1]);
    }
}
