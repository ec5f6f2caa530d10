//! The engine's names of blocks, mapped to this router's names. A name of this router follows from the
//! block's tokens, the block before it and the salt, and the events have all three.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use warmpath_core::block::{BlockHash, BlockRun, Chain, Namer, ScopePlan};
use warmpath_core::event::KvEvent;
use warmpath_core::id::TierId;
use warmpath_core::runs::anchor_above;
use warmpath_kv_events::event::{Batch, EngineHash, Event, ExtraKey, Removed, Stored};

/// Blocks of one engine that are known at most, in all tiers: some 600 MB.
const MOST: usize = 4 << 20;
/// Salts whose keys are kept.
const SALTS: usize = 4_096;
const TIERS: usize = 3;

/// Why blocks of an event are not in the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dropped {
    /// The block before them is not known.
    Parent,
    /// They came without their tokens, or with others than their number says.
    Tokens,
    /// Beside tokens and a salt, something else is in their name: a LoRA, an image.
    Keys,
    /// A medium that is not on this worker, or has no tier here.
    Medium,
    /// Another group of the engine's caches.
    Group,
    /// More blocks than the engine has room for.
    Room,
    /// Another block of the engine has the same tokens after the same ones. No honest engine says that.
    Twice,
}

impl Dropped {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Parent, "parent"),
        (Self::Tokens, "tokens"),
        (Self::Keys, "keys"),
        (Self::Medium, "medium"),
        (Self::Group, "group"),
        (Self::Room, "room"),
        (Self::Twice, "twice"),
    ];
}

#[derive(Debug)]
struct Block {
    hash: EngineHash,
    name: BlockHash,
    /// Its place in its text.
    place: u32,
    parent: Option<u32>,
    /// Known blocks that follow it.
    children: u32,
    namer: Arc<Namer>,
    /// Copies by tier. An engine may compute a block twice, and removes both.
    copies: [u16; TIERS],
}

/// A stretch of blocks that changed in the same way.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    tier: u8,
    stored: bool,
    first: u32,
    last: u32,
}

/// All known blocks of one engine.
#[derive(Debug)]
pub struct Blocks {
    block_size: u32,
    model: String,
    /// The salt of blocks whose events have none. None: such an engine cannot be followed.
    salt: Option<String>,
    /// Blocks of HBM. None: not told.
    total: Option<u64>,
    by_hash: HashMap<EngineHash, u32>,
    /// The names of all of them. Two blocks with one name would take it from each other.
    names: HashSet<BlockHash>,
    blocks: Vec<Block>,
    free: Vec<u32>,
    /// Unlinked in this batch. Their names may still be needed.
    unlinked: Vec<u32>,
    held: [u64; TIERS],
    namers: HashMap<String, Arc<Namer>>,
    /// The group of caches that is followed.
    group: Option<u32>,
    dropped: [u64; Dropped::ALL.len()],
    open: Option<Stretch>,
    out: Vec<KvEvent>,
}

/// The tier of a medium, by the names of vLLM and SGLang.
fn tier(medium: Option<&str>) -> Option<u8> {
    match medium {
        None | Some("GPU") => Some(0),
        Some("CPU" | "CPU_PINNED") => Some(1),
        Some("STORAGE" | "DISK") => Some(2),
        Some(_) => None,
    }
}

impl Blocks {
    pub fn new(block_size: u32, model: &str, salt: Option<String>, total: Option<u64>) -> Self {
        Self {
            block_size,
            model: model.to_owned(),
            salt,
            total,
            by_hash: HashMap::new(),
            names: HashSet::new(),
            blocks: Vec::new(),
            free: Vec::new(),
            unlinked: Vec::new(),
            held: [0; TIERS],
            namers: HashMap::new(),
            group: None,
            dropped: [0; Dropped::ALL.len()],
            open: None,
            out: Vec::new(),
        }
    }

    /// Blocks that are held, by tier.
    pub const fn held(&self) -> [u64; TIERS] {
        self.held
    }

    /// Blocks that were dropped since the last call, by reason.
    pub fn take_dropped(&mut self) -> impl Iterator<Item = (&'static str, u64)> {
        let dropped = std::mem::take(&mut self.dropped);
        let all = Dropped::ALL.into_iter().zip(dropped);
        all.filter_map(|((_, name), count)| (count > 0).then_some((name, count)))
    }

    fn drop_blocks(&mut self, why: Dropped, count: usize) {
        self.dropped[why as usize] += count as u64;
    }

    /// The changes of a batch in this router's names. The error says why this engine cannot be followed.
    pub fn apply(&mut self, batch: Batch) -> Result<Vec<KvEvent>, String> {
        for event in batch.events {
            match event {
                Event::Stored(stored) => self.stored(&stored)?,
                Event::Removed(removed) => self.removed(&removed),
                Event::Cleared => self.clear(),
            }
        }
        self.close();
        self.free.append(&mut self.unlinked);
        Ok(std::mem::take(&mut self.out))
    }

    fn clear(&mut self) {
        self.close();
        self.by_hash.clear();
        self.names.clear();
        self.blocks.clear();
        self.free.clear();
        self.unlinked.clear();
        self.held = [0; TIERS];
        self.out.push(KvEvent::Cleared);
    }

    /// Of a model with several groups of caches, the first one with full attention covers whole prefixes.
    fn is_followed(&mut self, group: Option<u32>, kind: Option<&str>) -> bool {
        let Some(group) = group else { return true };
        if self.group.is_none() && kind.is_none_or(|kind| kind.contains("full")) {
            self.group = Some(group);
        }
        self.group == Some(group)
    }

    fn stored(&mut self, event: &Stored) -> Result<(), String> {
        let count = event.hashes.len();
        let here = event.locality.as_deref() != Some("REMOTE");
        let Some(tier) = tier(event.medium.as_deref()).filter(|_| here) else {
            self.drop_blocks(Dropped::Medium, count);
            return Ok(());
        };
        if !self.is_followed(event.group_idx, event.spec_kind.as_deref()) {
            self.drop_blocks(Dropped::Group, count);
            return Ok(());
        }
        if event.lora_id.is_some() || event.lora_name.is_some() {
            self.drop_blocks(Dropped::Keys, count);
            return Ok(());
        }
        let size = self.block_size as usize;
        if tier == 0 && !event.token_ids.is_empty() && event.block_size != self.block_size {
            let (theirs, ours) = (event.block_size, self.block_size);
            return Err(format!("its KV events have blocks of {theirs} tokens, expected {ours}"));
        }
        let has_tokens = event.token_ids.len() == count * size;
        // None: not known. Some(None): the text begins here.
        let mut before = match &event.parent {
            None => has_tokens.then_some(None),
            Some(parent) => self.by_hash.get(parent).map(|&parent| Some(parent)),
        };
        for (i, hash) in event.hashes.iter().enumerate() {
            let known = self.by_hash.get(hash).copied();
            let block = match (known, before) {
                (Some(block), _) => Ok(block),
                (None, None) if !has_tokens => Err(Dropped::Tokens),
                (None, None) => Err(Dropped::Parent),
                (None, Some(_)) if !has_tokens => Err(Dropped::Tokens),
                (None, Some(parent)) => {
                    let tokens = &event.token_ids[i * size..(i + 1) * size];
                    self.add(hash, parent, tokens, keys(event, i), tier)?
                }
            };
            match block {
                Ok(block) => self.add_copy(block, tier),
                Err(why) => self.drop_blocks(why, 1),
            }
            before = block.ok().map(Some);
        }
        Ok(())
    }

    /// Adds a block that is not known yet. It must get a copy at once.
    fn add(
        &mut self,
        hash: &EngineHash,
        parent: Option<u32>,
        tokens: &[u32],
        keys: Keys<'_>,
        tier: u8,
    ) -> Result<Result<u32, Dropped>, String> {
        let full = tier == 0 && self.total.is_some_and(|total| self.held[0] >= total);
        if full || self.by_hash.len() >= MOST {
            return Ok(Err(Dropped::Room));
        }
        let (namer, before, place) = match parent {
            Some(parent) => {
                if !matches!(keys, Keys::None | Keys::NotTold) {
                    return Ok(Err(Dropped::Keys));
                }
                let parent = &self.blocks[parent as usize];
                (Arc::clone(&parent.namer), Some(parent.name), parent.place + 1)
            }
            None => {
                let salt = match keys {
                    Keys::None => "",
                    Keys::One(salt) => salt,
                    Keys::Other => return Ok(Err(Dropped::Keys)),
                    Keys::NotTold => self.salt.as_deref().ok_or(
                        "its KV events do not say which cache_salt a block has, expected an engine that does, \
                         or sharing = \"all\" or one tenant",
                    )?,
                };
                (self.namers.get(salt).cloned().unwrap_or_else(|| self.namer(salt)), None, 0)
            }
        };
        if (u64::from(place) + 1) * u64::from(self.block_size) > u64::from(u32::MAX) {
            return Ok(Err(Dropped::Room));
        }
        if parent.is_none() && self.namers.len() < SALTS {
            // Kept for the next text with this salt.
            if let Keys::One(salt) = keys {
                self.namers.entry(salt.to_owned()).or_insert_with(|| Arc::clone(&namer));
            }
        }
        let name = namer.next(before, tokens);
        if !self.names.insert(name) {
            return Ok(Err(Dropped::Twice));
        }
        if let Some(parent) = parent {
            self.blocks[parent as usize].children += 1;
        }
        let hash = hash.clone();
        let copies = [0; TIERS];
        let block = Block { hash: hash.clone(), name, place, parent, children: 0, namer, copies };
        let number = match self.free.pop() {
            Some(number) => {
                self.blocks[number as usize] = block;
                number
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() as u32 - 1
            }
        };
        self.by_hash.insert(hash, number);
        Ok(Ok(number))
    }

    fn namer(&self, salt: &str) -> Arc<Namer> {
        Arc::new(Namer::new(&ScopePlan::new(salt, &self.model, "", self.block_size)))
    }

    fn add_copy(&mut self, number: u32, tier: u8) {
        let copies = &mut self.blocks[number as usize].copies[usize::from(tier)];
        *copies = copies.saturating_add(1);
        if *copies == 1 {
            self.held[usize::from(tier)] += 1;
            self.changed(number, tier, true);
        }
    }

    fn removed(&mut self, event: &Removed) {
        let here = event.locality.as_deref() != Some("REMOTE");
        let Some(tier) = tier(event.medium.as_deref()).filter(|_| here) else { return };
        if event.group_idx.is_some() && event.group_idx != self.group {
            return;
        }
        for hash in &event.hashes {
            // It may have been dropped when it was stored.
            let Some(&number) = self.by_hash.get(hash) else { continue };
            let copies = &mut self.blocks[number as usize].copies[usize::from(tier)];
            if *copies == 0 {
                continue;
            }
            *copies -= 1;
            if *copies == 0 {
                self.held[usize::from(tier)] -= 1;
                self.changed(number, tier, false);
                self.unlink(number);
            }
        }
    }

    /// Forgets a block without copies and children, and then the ones before it that only it needed.
    fn unlink(&mut self, number: u32) {
        let mut next = Some(number);
        while let Some(number) = next {
            let block = &self.blocks[number as usize];
            if block.children > 0 || block.copies != [0; TIERS] {
                return;
            }
            next = block.parent;
            self.by_hash.remove(&block.hash);
            self.names.remove(&block.name);
            self.unlinked.push(number);
            if let Some(parent) = next {
                self.blocks[parent as usize].children -= 1;
            }
        }
    }

    /// Puts a change behind those before it, as one stretch where they follow each other.
    fn changed(&mut self, number: u32, tier: u8, stored: bool) {
        let parent = |number: u32| self.blocks[number as usize].parent;
        if let Some(open) = &mut self.open
            && (open.tier, open.stored) == (tier, stored)
        {
            if parent(number) == Some(open.last) {
                open.last = number;
                return;
            }
            // An engine removes a text from its end.
            if !stored && parent(open.first) == Some(number) {
                open.first = number;
                return;
            }
        }
        self.close();
        self.open = Some(Stretch { tier, stored, first: number, last: number });
    }

    /// Writes the open stretch as an event, with the names from the anchor above it on.
    fn close(&mut self) {
        let Some(Stretch { tier, stored, first, last }) = self.open.take() else { return };
        let (start, end) =
            (self.blocks[first as usize].place, self.blocks[last as usize].place + 1);
        let base = anchor_above(start);
        let mut names = Vec::with_capacity((end - base) as usize);
        let mut next = Some(last);
        while names.len() < (end - base) as usize
            && let Some(number) = next
        {
            let block = &self.blocks[number as usize];
            names.push(block.name);
            next = block.parent;
        }
        names.reverse();
        let chain = Chain::from_wire(self.block_size, base, names);
        let (tier, run) = (TierId(tier), BlockRun { chain, start, end });
        self.out.push(match stored {
            true => KvEvent::Stored { tier, run },
            false => KvEvent::Removed { tier, run },
        });
    }
}

/// What beside its tokens is in the name of a block.
#[derive(Clone, Copy, Debug)]
enum Keys<'a> {
    None,
    /// One text: a salt, where a text begins.
    One(&'a str),
    Other,
    /// The engine's version does not say.
    NotTold,
}

fn keys(event: &Stored, place: usize) -> Keys<'_> {
    let Some(all) = &event.extra_keys else { return Keys::NotTold };
    match all.get(place) {
        None => Keys::NotTold,
        Some(None) => Keys::None,
        Some(Some(keys)) => match keys.as_slice() {
            [] => Keys::None,
            [ExtraKey::Text(text)] => Keys::One(text),
            _ => Keys::Other,
        },
    }
}

#[cfg(test)]
mod tests;
