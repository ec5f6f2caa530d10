//! Which tokens the blocks of the store have. The store knows blocks by name only, and vLLM's events have
//! the tokens.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use warmpath_core::block::{BlockRun, Chain};
use warmpath_core::event::{KvBatch, KvEvent};
use warmpath_core::id::{RequestId, TierId};
use warmpath_kv_events::event::{EngineHash, Event, ExtraKey, Removed, Stored, medium};

/// Blocks that neither a request nor the store has, and whose tokens are still known: a block may be on its
/// way to a lower tier.
const KEPT: usize = 65_536;

/// How a block's name is published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hashes {
    /// 32 bytes.
    #[default]
    Bytes,
    /// 64 bits, as vLLM does with `VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES`.
    Int,
}

/// All tokens of a request, and the names of their blocks.
#[derive(Debug)]
pub struct Text {
    pub id: RequestId,
    pub tokens: Vec<u32>,
    pub chain: Chain,
    pub salt: String,
    /// The salt of the first blocks, and how many they are.
    pub public: (String, u32),
}

#[derive(Debug)]
struct Block {
    tokens: Box<[u32]>,
    parent: Option<u128>,
    /// What beside the tokens and the parent is in its name.
    salt: Option<Arc<str>>,
    /// Requests that have it.
    uses: u32,
    /// The tiers that have it, as bits.
    tiers: u8,
    /// It stands in `unused`.
    waits: bool,
}

/// The blocks of requests and of the store.
#[derive(Debug)]
pub struct Texts {
    block_size: u32,
    hashes: Hashes,
    blocks: HashMap<u128, Block>,
    requests: HashMap<RequestId, (Chain, u32)>,
    /// Oldest first.
    unused: VecDeque<u128>,
}

/// A medium's name and the bits of its tiers.
const fn place(tier: TierId) -> (&'static str, u8) {
    match tier.0 {
        0 => (medium::GPU, 1),
        1 => (medium::CPU, 2),
        _ => (medium::STORAGE, !3),
    }
}

impl Texts {
    pub fn new(block_size: u32, hashes: Hashes) -> Self {
        let (blocks, requests, unused) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { block_size, hashes, blocks, requests, unused }
    }

    /// A request that is under way.
    pub fn add(&mut self, text: Text) {
        let Text { id, tokens, chain, salt, public: (public_salt, public) } = text;
        let (own, public_salt): (Arc<str>, Arc<str>) = (salt.into(), public_salt.into());
        let mut parent = None;
        let mut count = 0;
        for (place, tokens) in (0..chain.blocks()).zip(tokens.chunks(self.block_size as usize)) {
            let name = chain.hash(place).to_wire();
            let salt = match place {
                place if place == public => Some(&own),
                0 => Some(&public_salt),
                _ => None,
            };
            let new = || Block {
                tokens: tokens.into(),
                parent,
                salt: salt.cloned(),
                uses: 0,
                tiers: 0,
                waits: false,
            };
            self.blocks.entry(name).or_insert_with(new).uses += 1;
            (parent, count) = (Some(name), place + 1);
        }
        self.requests.insert(id, (chain, count));
    }

    /// A request has ended. What it left in the store stays known.
    pub fn ended(&mut self, id: RequestId) {
        let Some((chain, count)) = self.requests.remove(&id) else { return };
        for place in 0..count {
            let name = chain.hash(place).to_wire();
            if let Some(block) = self.blocks.get_mut(&name) {
                block.uses -= 1;
            }
            self.unused(name);
        }
    }

    /// Forgets a block later, if nothing has it any more.
    fn unused(&mut self, name: u128) {
        let Some(block) = self.blocks.get_mut(&name) else { return };
        if block.uses > 0 || block.tiers > 0 || block.waits {
            return;
        }
        block.waits = true;
        self.unused.push_back(name);
        while self.unused.len() > KEPT {
            let Some(oldest) = self.unused.pop_front() else { break };
            if let Some(block) = self.blocks.get_mut(&oldest) {
                block.waits = false;
                if block.uses == 0 && block.tiers == 0 {
                    self.blocks.remove(&oldest);
                }
            }
        }
    }

    /// A batch of the store in vLLM's terms.
    pub fn events(&mut self, batch: &KvBatch) -> Vec<Event> {
        let mut events = Vec::new();
        for event in &batch.events {
            match event {
                KvEvent::Stored { tier, run } => self.stored(*tier, run, &mut events),
                KvEvent::Removed { tier, run } => self.removed(*tier, run, &mut events),
                KvEvent::Cleared => {
                    self.blocks.values_mut().for_each(|block| block.tiers = 0);
                    self.blocks.retain(|_, block| block.uses > 0);
                    self.blocks.values_mut().for_each(|block| block.waits = false);
                    self.unused.clear();
                    events.push(Event::Cleared);
                }
            }
        }
        events
    }

    /// What the store holds, as events that would put it there: a block comes after the one before it.
    pub fn held(&self) -> Vec<Event> {
        let is_held = |name: &u128| self.blocks.get(name).is_some_and(|block| block.tiers != 0);
        let mut behind: BTreeMap<Option<u128>, Vec<u128>> = BTreeMap::new();
        for (&name, block) in self.blocks.iter().filter(|(_, block)| block.tiers != 0) {
            behind.entry(block.parent.filter(is_held)).or_default().push(name);
        }
        behind.values_mut().for_each(|names| names.sort_unstable());
        let mut order = Vec::new();
        let mut next = behind.get(&None).cloned().unwrap_or_default();
        while let Some(name) = next.pop() {
            order.push(name);
            next.extend(behind.get(&Some(name)).into_iter().flatten());
        }
        let media = [TierId(0), TierId(1), TierId(2)];
        media.into_iter().flat_map(|tier| self.held_in(tier, &order)).collect()
    }

    /// The blocks of `order` that a tier's medium has. One event for each stretch of one text.
    fn held_in(&self, tier: TierId, order: &[u128]) -> Vec<Event> {
        let (medium, same) = place(tier);
        let mut events = Vec::new();
        let mut open: Option<(u128, Stored)> = None;
        for &name in order {
            let block = &self.blocks[&name];
            if block.tiers & same == 0 {
                continue;
            }
            let follows = open.as_ref().is_some_and(|(last, _)| block.parent == Some(*last));
            if !follows {
                events.extend(open.take().map(|(_, stored)| Event::Stored(stored)));
            }
            let (last, stored) = open.get_or_insert_with(|| (name, self.begin(block, medium)));
            *last = name;
            self.append(stored, name, block);
        }
        events.extend(open.map(|(_, stored)| Event::Stored(stored)));
        events
    }

    /// An event to which a block is appended next.
    fn begin(&self, block: &Block, medium: &str) -> Stored {
        Stored {
            parent: block.parent.map(|parent| published(self.hashes, parent)),
            block_size: self.block_size,
            medium: Some(medium.to_owned()),
            extra_keys: Some(Vec::new()),
            ..Stored::default()
        }
    }

    fn append(&self, event: &mut Stored, name: u128, block: &Block) {
        event.hashes.push(published(self.hashes, name));
        event.token_ids.extend(&block.tokens);
        let key = block.salt.as_ref().map(|salt| vec![ExtraKey::Text(salt.to_string())]);
        event.extra_keys.get_or_insert_default().push(key);
    }

    /// A tier has a run. One event for each stretch that its medium did not have.
    fn stored(&mut self, tier: TierId, run: &BlockRun, events: &mut Vec<Event>) {
        let (medium, same) = place(tier);
        let mut open: Option<Stored> = None;
        for hash in run.hashes() {
            let name = hash.to_wire();
            // Its request came before. Without its tokens it could not be named by others.
            let Some(block) = self.blocks.get_mut(&name) else {
                events.extend(open.take().map(Event::Stored));
                continue;
            };
            let had = block.tiers & same != 0;
            block.tiers |= 1 << tier.0;
            if had {
                events.extend(open.take().map(Event::Stored));
                continue;
            }
            let block = &self.blocks[&name];
            let event = open.get_or_insert_with(|| self.begin(block, medium));
            self.append(event, name, block);
        }
        events.extend(open.map(Event::Stored));
    }

    fn removed(&mut self, tier: TierId, run: &BlockRun, events: &mut Vec<Event>) {
        let (medium, same) = place(tier);
        let mut gone = Vec::new();
        // As vLLM does: the end of a text leaves first.
        let names: Vec<u128> = run.hashes().map(|hash| hash.to_wire()).collect();
        for name in names.into_iter().rev() {
            let Some(block) = self.blocks.get_mut(&name) else { continue };
            let had = block.tiers & 1 << tier.0 != 0;
            block.tiers &= !(1 << tier.0);
            if had && block.tiers & same == 0 {
                gone.push(published(self.hashes, name));
            }
            self.unused(name);
        }
        if !gone.is_empty() {
            let medium = Some(medium.to_owned());
            events.push(Event::Removed(Removed { hashes: gone, medium, ..Removed::default() }));
        }
    }
}

/// A block's name for others. It is another one than the router's own names, as an engine's are.
fn published(hashes: Hashes, name: u128) -> EngineHash {
    let hash = blake3::derive_key("warmpath v1 published block", &name.to_le_bytes());
    match hashes {
        Hashes::Bytes => EngineHash::Bytes(hash.into()),
        Hashes::Int => {
            let bytes = hash.first_chunk::<8>().expect("32 bytes");
            EngineHash::Int(u64::from_be_bytes(*bytes).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_core::block::{ScopePlan, hash_blocks};
    use warmpath_core::id::{SourceId, WorkerId};

    fn text(id: u64, tokens: &[u32]) -> Text {
        let chain = hash_blocks(&ScopePlan::new("s", "m", "", 2), tokens);
        let (tokens, salt) = (tokens.to_vec(), "s".to_owned());
        Text { id: RequestId(id), tokens, chain, salt, public: (String::new(), 0) }
    }

    fn batch(events: Vec<KvEvent>) -> KvBatch {
        KvBatch { source: SourceId::Worker(WorkerId(0)), epoch: 1, seq: 1, events }
    }

    #[test]
    fn blocks_are_published_with_their_tokens_once_for_each_medium() {
        let mut texts = Texts::new(2, Hashes::Bytes);
        let text = text(1, &[1, 2, 3, 4, 5, 6, 7]);
        let chain = text.chain.clone();
        let run = |start, end| BlockRun { chain: chain.clone(), start, end };
        let stored =
            |tier, start, end| KvEvent::Stored { tier: TierId(tier), run: run(start, end) };
        let removed =
            |tier, start, end| KvEvent::Removed { tier: TierId(tier), run: run(start, end) };
        texts.add(text);
        let name = |place| published(Hashes::Bytes, chain.hash(place).to_wire());
        let events = texts.events(&batch(vec![stored(0, 0, 2), stored(0, 1, 3)]));
        let [Event::Stored(first), Event::Stored(second)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(first.token_ids, [1, 2, 3, 4]);
        let salt = Some(vec![ExtraKey::Text("s".to_owned())]);
        assert_eq!((&first.parent, &first.extra_keys), (&None, &Some(vec![salt, None])));
        assert_eq!((second.hashes.as_slice(), &second.parent), (&[name(2)][..], &Some(name(1))));
        assert_eq!(second.token_ids, [5, 6]);
        // Two tiers are one medium.
        let both = texts.events(&batch(vec![stored(2, 0, 1), stored(3, 0, 1), removed(2, 0, 1)]));
        assert_eq!(both.len(), 1, "{both:?}");
        let gone = texts.events(&batch(vec![removed(3, 0, 1), removed(0, 1, 3), removed(0, 1, 3)]));
        let Event::Removed(last) = &gone[1] else { panic!("{gone:?}") };
        assert_eq!((gone.len(), last.hashes.as_slice()), (2, &[name(2), name(1)][..]));
    }

    #[test]
    fn what_is_held_can_be_told_again() {
        let mut texts = Texts::new(2, Hashes::Int);
        let (one, other) = (text(1, &[1, 2, 3, 4, 5, 6]), text(2, &[1, 2, 7, 8]));
        let run = |text: &Text, start, end| BlockRun { chain: text.chain.clone(), start, end };
        let stored = |tier, run| KvEvent::Stored { tier: TierId(tier), run };
        let (first, second) = (run(&one, 0, 3), run(&other, 0, 2));
        let in_host = run(&one, 1, 2);
        texts.add(one);
        texts.add(other);
        texts.events(&batch(vec![stored(0, first), stored(0, second), stored(1, in_host)]));
        let mut seen = Vec::new();
        let mut tokens = Vec::new();
        for event in texts.held() {
            let Event::Stored(stored) = event else { panic!("{event:?}") };
            let (parent, medium) = (stored.parent, stored.medium.unwrap());
            assert!(parent.is_none_or(|parent| seen.contains(&parent)), "its parent came before");
            assert_eq!(stored.token_ids.len(), 2 * stored.hashes.len());
            tokens.push((medium, stored.token_ids));
            seen.extend(stored.hashes);
        }
        tokens.sort();
        let all: Vec<u32> = tokens.iter().flat_map(|(_, tokens)| tokens.clone()).collect();
        assert_eq!(tokens[0], ("CPU".to_owned(), vec![3, 4]));
        assert_eq!((seen.len(), all.len()), (5, 10), "{tokens:?}");
        texts.events(&batch(vec![KvEvent::Cleared]));
        assert!(texts.held().is_empty());
    }

    #[test]
    fn what_nothing_has_is_forgotten() {
        let mut texts = Texts::new(2, Hashes::Int);
        for id in 0..KEPT as u64 {
            texts.add(text(id, &[id as u32, 0, 1, 2]));
            texts.ended(RequestId(id));
        }
        assert_eq!((texts.blocks.len(), texts.requests.len()), (KEPT, 0));
    }
}
