//! The hello of a worker or a pool.

use super::error::DecodeError;
use crate::{HASH_SCHEME, v1};
use warmpath_core::event::{DecodeCost, FetchCost, PrefillCost, Role, TierCost, WorkerInfo};
use warmpath_core::id::{MAX_TIERS, TierId, WorkerId};

/// Encodes a worker's description. `speedup` is in model seconds per wall second.
pub fn hello_to_wire(info: &WorkerInfo, model: &str, speedup: f64) -> v1::Hello {
    let tier = |cost: &TierCost| v1::TierCost {
        tier: u32::from(cost.tier.0),
        latency_ns: cost.latency_ns,
        load_ns_per_block: cost.load_ns_per_block,
    };
    v1::Hello {
        epoch: info.epoch,
        model: model.to_owned(),
        block_size: info.block_size,
        hash_scheme: HASH_SCHEME.to_owned(),
        speedup,
        total_blocks: info.total_blocks,
        constant_blocks: info.constant_blocks,
        max_num_seqs: info.max_num_seqs,
        prefill: Some(v1::PrefillCost {
            step_ns: info.prefill.step_ns,
            floor_ns: info.prefill.floor_ns,
            chunk_tokens: info.prefill.chunk_tokens,
            ns_per_token: info.prefill.ns_per_token,
            ns_per_pair: info.prefill.ns_per_pair,
        }),
        tiers: info.tiers.iter().map(tier).collect(),
        pool: info.pool.map(fetch_cost_to_wire),
        peers: info.peers.map(fetch_cost_to_wire),
        role: role_to_wire(info.role).into(),
        decode: info.decode.map(decode_cost_to_wire),
        name: String::new(),
        instance: String::new(),
    }
}

const fn fetch_cost_to_wire(cost: FetchCost) -> v1::FetchCost {
    v1::FetchCost { latency_ns: cost.latency_ns, ns_per_block: cost.ns_per_block }
}

fn fetch_cost_from_wire(cost: &v1::FetchCost) -> FetchCost {
    FetchCost { latency_ns: cost.latency_ns, ns_per_block: cost.ns_per_block }
}

const fn role_to_wire(role: Role) -> v1::Role {
    match role {
        Role::Both => v1::Role::Both,
        Role::Prefill => v1::Role::Prefill,
        Role::Decode => v1::Role::Decode,
    }
}

fn role_from_wire(role: i32) -> Result<Role, DecodeError> {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Both) => Ok(Role::Both),
        Ok(v1::Role::Prefill) => Ok(Role::Prefill),
        Ok(v1::Role::Decode) => Ok(Role::Decode),
        Err(_) => Err(DecodeError::Role(role)),
    }
}

const fn decode_cost_to_wire(cost: DecodeCost) -> v1::DecodeCost {
    v1::DecodeCost {
        step_ns: cost.step_ns,
        ns_per_seq: cost.ns_per_seq,
        ns_per_context_token: cost.ns_per_context_token,
        kv_transfer_latency_ns: cost.kv_transfer_latency_ns,
        kv_transfer_ns_per_token: cost.kv_transfer_ns_per_token,
    }
}

const fn decode_cost_from_wire(cost: &v1::DecodeCost) -> DecodeCost {
    DecodeCost {
        step_ns: cost.step_ns,
        ns_per_seq: cost.ns_per_seq,
        ns_per_context_token: cost.ns_per_context_token,
        kv_transfer_latency_ns: cost.kv_transfer_latency_ns,
        kv_transfer_ns_per_token: cost.kv_transfer_ns_per_token,
    }
}

/// A pool's description of itself, sent when a router connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolInfo {
    /// The number of the pool's life. It is higher after a restart.
    pub epoch: u64,
    /// Tokens a block.
    pub block_size: u32,
    /// Blocks that fit into the pool.
    pub total_blocks: u64,
}

/// Encodes a pool's description.
pub fn pool_hello_to_wire(info: &PoolInfo, model: &str, speedup: f64) -> v1::Hello {
    v1::Hello {
        epoch: info.epoch,
        model: model.to_owned(),
        block_size: info.block_size,
        hash_scheme: HASH_SCHEME.to_owned(),
        speedup,
        total_blocks: Some(info.total_blocks),
        ..Default::default()
    }
}

/// Checks that the block size is 1 to 65,536 tokens.
pub fn check_block_size(hello: &v1::Hello) -> Result<(), DecodeError> {
    match hello.block_size {
        1..=65_536 => Ok(()),
        other => Err(DecodeError::BlockSize(other)),
    }
}

/// Decodes a worker's description. The caller must compare hash scheme, speedup and model with its
/// own.
pub fn hello_from_wire(worker: WorkerId, hello: &v1::Hello) -> Result<WorkerInfo, DecodeError> {
    check_block_size(hello)?;
    let prefill = hello.prefill.as_ref().ok_or(DecodeError::Missing { field: "prefill" })?;
    let tier = |cost: &v1::TierCost| {
        if cost.tier as usize >= MAX_TIERS {
            return Err(DecodeError::Tier { tier: cost.tier });
        }
        let (latency_ns, load_ns_per_block) = (cost.latency_ns, cost.load_ns_per_block);
        Ok(TierCost { tier: TierId(cost.tier as u8), latency_ns, load_ns_per_block })
    };
    Ok(WorkerInfo {
        worker,
        epoch: hello.epoch,
        block_size: hello.block_size,
        total_blocks: hello.total_blocks,
        constant_blocks: hello.constant_blocks,
        max_num_seqs: hello.max_num_seqs,
        prefill: PrefillCost {
            step_ns: prefill.step_ns,
            floor_ns: prefill.floor_ns,
            chunk_tokens: prefill.chunk_tokens,
            ns_per_token: prefill.ns_per_token,
            ns_per_pair: prefill.ns_per_pair,
        },
        tiers: hello.tiers.iter().map(tier).collect::<Result<_, _>>()?,
        pool: hello.pool.as_ref().map(fetch_cost_from_wire),
        peers: hello.peers.as_ref().map(fetch_cost_from_wire),
        role: role_from_wire(hello.role)?,
        decode: hello.decode.as_ref().map(decode_cost_from_wire),
    })
}
