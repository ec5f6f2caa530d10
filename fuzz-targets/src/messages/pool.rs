//! Calls of a pool from workers that may send anything.

use crate::choices::Choices;
use prost::Message;
use warmpath_core::block::{BlockHash, BlockRun, Chain, TokenBlocks};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::id::{PoolId, TenantId, TransferId, WorkerId};
use warmpath_core::pool::{Pool, PoolOutput, PoolSpec};
use warmpath_core::request::Owner;
use warmpath_core::time::Instant;
use warmpath_proto::convert;
use warmpath_proto::pool::Agreement;
use warmpath_proto::raw::Bytes;
use warmpath_proto::v1::{GetRequest, LookupRequest, PutRequest};

const BLOCK: u32 = 16;

/// Each message has before it a byte that says which call it is, and its length. The pool is small, so that
/// blocks leave it. When all calls are done, its counts are right and nothing is held.
pub fn run(calls: &Bytes) {
    let mut rest = calls.clone();
    let first = Choices(&rest).byte();
    let eviction = if first & 1 == 0 { EvictionRule::Lru } else { EvictionRule::Arc };
    let tenant_quota = (first & 2 != 0).then_some(0.5);
    let tokens = u64::from(BLOCK) * 40;
    let spec = PoolSpec { tokens, gb_s: 1.0, store_gb_s: 1.0, eviction, tenant_quota };
    let pool = Pool::new(PoolId(0), &spec, BLOCK, 1e6, 1.0);
    let mut pool = pool.expect("a pool");
    let agreement = agreement();
    let (mut now, mut out) = (Instant::START, Vec::new());
    for number in 0..256 {
        let Some((&call, message)) = rest.split_first() else { break };
        let mut message = Bytes::copy_from_slice(message);
        let before = message.len();
        match call % 4 {
            0 | 1 => {
                let Ok(put) = PutRequest::decode_length_delimited(&mut message) else { break };
                let _ = agreement.check(put.agreement.as_ref());
                let owner = put.tenant.map(|tenant| Owner {
                    tenant: TenantId(tenant),
                    public_blocks: put.public_blocks,
                });
                if let Some(Ok(run)) =
                    put.blocks.map(|blocks| convert::stretch_from_wire(BLOCK, &blocks))
                {
                    pool.put_of(now, &run, owner);
                }
            }
            2 => {
                let Ok(get) = GetRequest::decode_length_delimited(&mut message) else { break };
                if let Some(Ok(run)) =
                    get.blocks.map(|blocks| convert::stretch_from_wire(BLOCK, &blocks))
                {
                    convert::checksum(&run);
                    let _ = pool.get(now, (WorkerId(0), TransferId(number)), &run);
                }
            }
            _ => {
                let Ok(look) = LookupRequest::decode_length_delimited(&mut message) else { break };
                if let Ok(run) = convert::prompt_from_wire(BLOCK, &look.hashes) {
                    let held = pool.present(&run);
                    assert!(held <= run.end, "{held} of {}", run.end);
                    let tokens = run.chain.tokens();
                    pool.holds(&TokenBlocks::new(run.chain, tokens));
                }
            }
        }
        // Sometimes several calls come at once.
        if call & 4 == 0 {
            now = pool.next_wake().unwrap_or(now);
            pool.step(now, &mut out);
        }
        rest = rest.slice(1 + before - message.len()..);
    }
    while let Some(due) = pool.next_wake() {
        pool.step(due, &mut out);
    }
    let sent = out.iter().filter(|output| matches!(output, PoolOutput::Sent { .. })).count();
    assert!(sent <= 256);
    assert!(pool.blocks() <= 40, "{} blocks", pool.blocks());
    pool.check_at_rest();
}

fn agreement() -> Agreement {
    Agreement { model: "m".to_owned(), block_size: BLOCK, speedup: 1.0 }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let stretch = |text: u128, start, end: u32| {
        let names = (0..u128::from(end)).map(|block| BlockHash::from_wire(text << 64 | block));
        let chain = Chain::from_wire(BLOCK, 0, names.collect());
        convert::stretch_to_wire(&BlockRun { chain, start, end })
    };
    let agreement = Some(agreement().to_wire());
    let put = |text, start, end, tenant| {
        let blocks = Some(stretch(text, start, end));
        let put = PutRequest { agreement: agreement.clone(), blocks, tenant, public_blocks: 2 };
        [&[0][..], &put.encode_length_delimited_to_vec()].concat()
    };
    let get = |text, start, end| {
        let blocks = Some(stretch(text, start, end));
        let get = GetRequest { agreement: agreement.clone(), blocks };
        [&[2][..], &get.encode_length_delimited_to_vec()].concat()
    };
    let look = LookupRequest { agreement: agreement.clone(), hashes: stretch(1, 0, 9).hashes };
    let look = [&[3][..], &look.encode_length_delimited_to_vec()].concat();
    let plain = [put(1, 0, 20, None), put(2, 5, 30, None), get(1, 0, 20), look].concat();
    let owned = [put(1, 0, 20, Some(1)), put(2, 0, 25, Some(2)), put(1, 20, 30, Some(1))].concat();
    vec![plain, owned]
}
