//! An engine without KV events: what it computed for this router is taken for what it holds, up to the blocks of its
//! GPU memory, the least recently used going first.
//!
//! What others send it, what it drops of itself and the blocks of its answers are not seen. The engine is asked twice a second
//! whether it is there; one that has another instance id is another life.

use super::control::Control;
use super::feed::Feed;
use super::load::Gauges;
use crate::source::event::{Event, Events, FeedEnd};
use lru::LruCache;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::event::{KvBatch, KvEvent, Snapshot};
use warmpath_core::id::{MAX_TIERS, SourceId, TierId, WorkerId};
use warmpath_proto::clock::now;

/// How often the engine is asked whether it is there.
const BEAT: Duration = Duration::from_millis(500);
/// Prompts that wait to be believed. More of them are not believed.
pub const SERVED: usize = 1_024;

/// The blocks that an engine is believed to hold.
struct Believed {
    /// The most recently used first. A block comes after those before it in its text, so a text loses its end first.
    blocks: LruCache<BlockHash, (Chain, u32)>,
    room: u64,
}

impl Believed {
    fn new(room: u64) -> Self {
        Self { blocks: LruCache::unbounded(), room }
    }

    /// A prompt was computed.
    fn served(&mut self, prompt: &TokenBlocks) -> Vec<KvEvent> {
        let chain = prompt.chain();
        let end = u64::from(prompt.blocks()).min(self.room) as u32;
        let is_held = |block: &u32| self.blocks.contains(&chain.hash(*block));
        let start = (0..end).find(|block| !is_held(block)).unwrap_or(end);
        for block in (0..end).rev() {
            self.blocks.get_or_insert(chain.hash(block), || (chain.clone(), block));
        }
        let run = BlockRun { chain: chain.clone(), start, end };
        let mut events = vec![KvEvent::Stored { tier: TierId::HBM, run }];
        if start == end {
            events.clear();
        }
        while self.blocks.len() as u64 > self.room {
            let Some((_, (chain, block))) = self.blocks.pop_lru() else { break };
            match events.last_mut() {
                // The block before the one that went last.
                Some(KvEvent::Removed { run, .. })
                    if run.chain.is_same(&chain) && run.start == block + 1 =>
                {
                    run.start = block;
                }
                _ => {
                    let run = BlockRun { chain, start: block, end: block + 1 };
                    events.push(KvEvent::Removed { tier: TierId::HBM, run });
                }
            }
        }
        events
    }
}

/// Follows one engine by what it is sent.
pub struct Guess {
    pub id: WorkerId,
    /// The life of the engine; a restart begins the next one.
    pub epoch: Arc<AtomicU64>,
    pub control: Control,
    pub instance: String,
    /// Blocks of its GPU memory.
    pub room: u64,
    pub gauges: Option<Gauges>,
    /// Prompts that it has computed.
    pub served: mpsc::Receiver<TokenBlocks>,
}

impl Guess {
    /// Follows in a task that ends with the stream.
    pub fn start(mut self) -> Events {
        Feed::of(|out| async move {
            let Err(end) = self.follow(&out).await;
            if matches!(end, FeedEnd::Lost(_)) {
                self.epoch.fetch_add(1, Ordering::AcqRel);
            }
            let _ = out.send(Err(end)).await;
        })
    }

    async fn follow(
        &mut self,
        out: &mpsc::Sender<Result<Event, FeedEnd>>,
    ) -> Result<Infallible, FeedEnd> {
        let tell = async |event| {
            let gone = |_| FeedEnd::Lost("it is not followed any more".to_owned());
            out.send(Ok(event)).await.map_err(gone)
        };
        let (source, epoch) = (SourceId::Worker(self.id), self.epoch.load(Ordering::Acquire));
        let (mut believed, mut seq) = (Believed::new(self.room), 0);
        tell(Event::Snapshot(Snapshot { source, epoch, seq, runs: Vec::new() })).await?;
        let mut beat = now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(beat.into()) => {
                    self.control.is_there(&self.instance).await?;
                    let mut blocks_by_tier = [0; MAX_TIERS];
                    blocks_by_tier[0] = believed.blocks.len() as u64;
                    tell(Event::Heartbeat { epoch, seq }).await?;
                    let told = self.gauges.as_ref().and_then(Gauges::told);
                    tell(Event::Booked { epoch, seq, blocks_by_tier, told }).await?;
                    beat = now() + BEAT;
                }
                prompt = self.served.recv() => {
                    let gone = || FeedEnd::Lost("it is followed anew".to_owned());
                    let events = believed.served(&prompt.ok_or_else(gone)?);
                    if !events.is_empty() {
                        seq += 1;
                        tell(Event::Batch(KvBatch { source, epoch, seq, events })).await?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::block::{ScopePlan, hash_blocks};
    use warmpath_core::routing::index::{Overlap, PrefixIndex};

    fn prompt(seed: u32, blocks: u32) -> TokenBlocks {
        let tokens: Vec<u32> = (0..blocks * 4).map(|i| seed * 1_000 + i).collect();
        TokenBlocks::whole(hash_blocks(&ScopePlan::new("", "", "", 4), &tokens))
    }

    /// What an index makes of the events is what is believed, at each step.
    #[test]
    fn an_index_that_follows_has_what_is_believed() {
        let source = SourceId::Worker(WorkerId(0));
        let mut index = PrefixIndex::default();
        let snapshot = Snapshot { source, epoch: 1, seq: 0, runs: Vec::new() };
        index.replace(&snapshot).unwrap();
        let mut believed = Believed::new(20);
        for (seq, i) in (1..).zip(0..200_u32) {
            // Some share a beginning: longer and shorter ones of one text.
            let text = prompt(i * 7 % 5, 1 + i * 13 % 9);
            let batch = KvBatch { source, epoch: 1, seq, events: believed.served(&text) };
            index.apply(&batch).unwrap();
            assert!(believed.blocks.len() <= 20);
            assert_eq!(index.digest(source).blocks, believed.blocks.len() as u64);
            let mut overlap = Overlap::default();
            index.overlap(&text, &mut overlap);
            let held = overlap.of_worker(WorkerId(0))[0];
            assert_eq!(held, text.reusable_blocks(), "what was just computed is there");
        }
    }

    #[test]
    fn a_prompt_that_is_larger_than_the_memory_is_believed_in_part() {
        let mut believed = Believed::new(3);
        let events = believed.served(&prompt(1, 8));
        let [KvEvent::Stored { run, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((run.start, run.end), (0, 3));
        assert_eq!(believed.served(&prompt(1, 8)), [], "nothing new");
        let events = believed.served(&prompt(2, 2));
        let [KvEvent::Stored { .. }, KvEvent::Removed { run, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((run.start, run.end), (1, 3), "its end goes first, in one run");
    }
}
