//! Blocks that a worker puts into a pool count for their tenant: a flood over real sockets.

use crate::common::*;
use std::time::Duration;
use tokio::net::TcpListener;
use warmpath_core::block::{BlockRun, hash_blocks};
use warmpath_core::engine::profile::{Fill, Loads, PoolLink};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::pool::PoolSpec;
use warmpath_core::tokens::{Segment, materialize};
use warmpath_proto::scope::ScopeHint;
use warmpath_proto::v1::pool_client::PoolClient;
use warmpath_proto::v1::{LookupRequest, PutRequest};
use warmpath_proto::{convert, generate, hints, transport};
use warmpath_worker_sim::WorkerConfig;
use warmpath_worker_sim::pool::PoolConfig;

const SPEEDUP: f64 = 5.0;
const PROMPT: u32 = 1_600;
const FLOODS: u64 = 6;

fn sharing(pool: &str) -> WorkerConfig {
    let mut config = WorkerConfig { pool: Some(pool.to_owned()), ..config(SPEEDUP) };
    config.profile.pool = Some(PoolLink {
        gb_s: 10.0,
        latency_us: 100.0,
        fill: Fill::WriteThrough,
        loads: Loads::WhenCheaper,
        timeout_ms: 1_000.0,
    });
    config
}

fn named(config: &WorkerConfig, seed: u64) -> BlockRun {
    let scope = generate::scope("", &config.model, BLOCK);
    let ids = materialize(&[Segment::Text { seed, tokens: PROMPT }], PROMPT);
    let chain = hash_blocks(&scope, &ids);
    BlockRun { start: 0, end: chain.blocks(), chain }
}

/// How much of a victim's prompt is left after another tenant's worker has put six others into a
/// pool with room for four.
async fn left_after_a_flood(tenant_quota: Option<f64>) -> u32 {
    let (tokens, eviction) = (4 * u64::from(PROMPT), EvictionRule::Lru);
    let spec = PoolSpec { tokens, gb_s: 20.0, store_gb_s: 20.0, eviction, tenant_quota };
    let profile = sharing("http://nowhere").profile;
    let config = PoolConfig { speedup: SPEEDUP, ..PoolConfig::new(profile, spec) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(warmpath_worker_sim::pool::serve(listener, config, std::future::pending()));
    let config = sharing(&url);
    let agreement = Some(config.agreement().to_wire());
    let client = PoolClient::new(transport::channel(&url).unwrap());
    let present = async |run: &BlockRun| {
        let hashes = convert::prompt_to_wire(&run.chain, run.end);
        let lookup = LookupRequest { agreement: agreement.clone(), hashes };
        client.clone().lookup(lookup).await.unwrap().into_inner().blocks
    };
    let (victims, last) = (named(&config, 1), named(&config, 1 + FLOODS));
    let blocks = Some(convert::stretch_to_wire(&victims));
    let put =
        PutRequest { agreement: agreement.clone(), blocks, tenant: Some(1), public_blocks: 0 };
    within(client.clone().put(put)).await.unwrap();
    let worker = Worker::start(config).await;
    for seed in 2..=1 + FLOODS {
        let mut flood = request(seed, PROMPT, 4);
        let hint = ScopeHint { tenant: 2, ..ScopeHint::default() };
        flood.kv_hints = Some(hints::to_wire("r", vec![hint.to_action()]));
        responses(worker.inference(), flood).await.unwrap();
    }
    within(async {
        while present(&last).await + 1 < last.end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    present(&victims).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_names_the_tenant_of_its_blocks() {
    assert_eq!(left_after_a_flood(Some(0.5)).await, PROMPT / BLOCK);
    assert_eq!(left_after_a_flood(None).await, 0, "without a share the flood takes all");
}
