//! Batches of KV events as data.

/// The name that an engine gives a block. It covers the block's whole prefix.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum EngineHash {
    /// As engines with `VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES` send it: 64 bits, with or without a sign.
    Int(i128),
    /// 32 bytes of SHA-256 by default.
    Bytes(Box<[u8]>),
}

/// Where blocks are, by vLLM's names.
pub mod medium {
    pub const GPU: &str = "GPU";
    pub const CPU: &str = "CPU";
    pub const STORAGE: &str = "STORAGE";
}

/// The changes of one engine step.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// Seconds since 1970.
    pub ts: f64,
    pub events: Vec<Event>,
    pub data_parallel_rank: Option<u32>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    Stored(Stored),
    Removed(Removed),
    /// The engine holds no block any more.
    Cleared,
}

/// Blocks that follow each other in one text, and are now in a medium.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Stored {
    pub hashes: Vec<EngineHash>,
    /// The block before the first one. None: they begin the text.
    pub parent: Option<EngineHash>,
    /// Of all blocks, one after the other. Events of offloading may leave them out.
    pub token_ids: Vec<u32>,
    /// Tokens a block.
    pub block_size: u32,
    pub lora_id: Option<i64>,
    pub medium: Option<String>,
    pub lora_name: Option<String>,
    /// What beside the tokens went into the hash of each block: a salt, a LoRA, an image. None: the engine
    /// does not say.
    pub extra_keys: Option<Vec<Option<Vec<ExtraKey>>>>,
    /// The group of the engine's KV caches, where a model has several.
    pub group_idx: Option<u32>,
    /// The kind of that cache, such as `full_attention`.
    pub spec_kind: Option<String>,
    pub sliding_window: Option<u32>,
    /// `LOCAL` or `REMOTE`.
    pub locality: Option<String>,
}

/// One thing beside the tokens that went into the hash of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtraKey {
    /// A salt, a LoRA's name or an image's name.
    Text(String),
    /// Anything else. It is not kept.
    Other,
}

/// Blocks that left a medium.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Removed {
    pub hashes: Vec<EngineHash>,
    pub medium: Option<String>,
    pub group_idx: Option<u32>,
    pub locality: Option<String>,
}
