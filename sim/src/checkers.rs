//! What must hold in every world. Cheap checks run at each event, the others when all is at rest.

use crate::routers::Routers;
use warmpath_core::engine::Engine;
use warmpath_core::id::WorkerId;
use warmpath_core::pool::Pool;
use warmpath_core::report::Recorder;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::PrefixIndex;
use warmpath_core::workload::Workload;

/// After a step of this engine: blocks in use never pass its capacity.
pub fn after_step(engine: &Engine) {
    engine.store().check_capacity();
}

/// After an input of the router: the queue keeps its limits, and all that was due is decided.
pub fn after_input(router: &Router) {
    let (queue, limits) = (router.queue(), router.queue().limits());
    assert!(queue.len() <= limits.requests as usize, "too many requests are held");
    assert!(queue.prompt_tokens() <= limits.prompt_tokens, "too many prompt tokens are held");
}

/// At the end, with no message under way: the index equals what the stores hold; no lease, no
/// booking and no held request is left. A debug build also checks the index itself, which takes
/// more than 1 % of a simulation's time.
pub fn at_rest(
    routers: &Routers,
    index: &PrefixIndex,
    engines: &[Engine],
    pool: Option<&Pool>,
    recorder: &Recorder,
) {
    if cfg!(debug_assertions) {
        index.check();
    }
    routers.all().for_each(Router::check_at_rest);
    for engine in engines {
        engine.check_at_rest();
    }
    if let Some(pool) = pool {
        pool.check_at_rest();
    }
    let held = |(i, engine): (usize, &Engine)| {
        assert!(!engine.store().has_events(), "all is announced at rest");
        (WorkerId(i as u32).into(), engine.store().tallies())
    };
    let pooled = pool.map(|pool| (pool.source(), pool.tallies()));
    index.check_against(engines.iter().enumerate().map(held).chain(pooled));
    assert_eq!(recorder.in_flight(), 0, "requests never ended");
}

/// Every request of the workload has ended, on a worker or on a device.
pub fn all_sent(workload: &Workload, ended: u64) {
    assert_eq!(ended, workload.total(), "requests were never sent");
}
