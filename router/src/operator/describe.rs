//! A worker as an operator sees it.

use crate::fleet::siblings;
use crate::fleet::worker::{Standing, WorkerLink};
use crate::state::RouterState;
use std::sync::atomic::Ordering;
use warmpath_core::routing::fleet::WorkerState;
use warmpath_core::routing::health::{Health, Standing as Rotation};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::routing::policy::shadow::ShadowCounts;
use warmpath_core::time::Instant;
use warmpath_proto::convert;
use warmpath_proto::v1::{
    ListShadowsResponse, ListSiblingsResponse, Shadow, Sibling, Worker, WorkerStanding,
};

/// A worker: its standing, and its load if it is in the fleet.
pub fn worker(router: &RouterState, link: &WorkerLink) -> Worker {
    let now = router.router.clock().now();
    router.router.fleet(|fleet| {
        let mut worker = Worker {
            number: link.id.0,
            url: link.url.clone(),
            name: link.given(),
            drained: fleet.is_drained(link.id),
            ..Default::default()
        };
        if let Some(state) = fleet.worker(link.id) {
            worker.epoch = Some(state.info.epoch);
            worker.model = router.agreement.terms().map_or_else(String::new, |t| t.model.clone());
            worker.block_size = state.info.block_size;
            worker.total_blocks = state.info.total_blocks;
            worker.active_requests = state.active();
            worker.backlog_s = state.backlog(now).as_secs_f64();
            worker.load = state.load().map(|(_, load)| convert::load_to_wire(load));
            let ejected = fleet.rotation().health(link.id).and_then(|health| why_out(health, now));
            let (standing, why) = match (state.takes_requests(), ejected) {
                (true, None) => (WorkerStanding::Joined, String::new()),
                (true, Some(why)) => (WorkerStanding::Ejected, why),
                (false, _) => (WorkerStanding::Draining, why_draining(link, state)),
            };
            worker.set_standing(standing);
            worker.why = why;
            return worker;
        }
        let (standing, why) = match link.standing() {
            Standing::Refused(why) => (WorkerStanding::Refused, why),
            Standing::Same(why) => (WorkerStanding::Same, why),
            Standing::Away(why) => (WorkerStanding::Lost, why),
            // It is about to join the fleet, or to leave it.
            Standing::Joined => (WorkerStanding::Lost, String::new()),
        };
        worker.set_standing(standing);
        worker.why = why;
        worker
    })
}

/// The rules that are asked beside the one that decides.
pub fn shadows(state: &RouterState) -> ListShadowsResponse {
    let shadow = |(policy, counts): (PolicyConfig, ShadowCounts)| Shadow {
        policy: policy.to_string(),
        asked: counts.asked,
        held: counts.held,
        same: counts.same,
        prompt_tokens: counts.prompt_tokens,
        live_hit_tokens: counts.live.hit_tokens,
        shadow_hit_tokens: counts.shadow.hit_tokens,
        live_ttft_s: counts.live.ttft.as_secs_f64(),
        shadow_ttft_s: counts.shadow.ttft.as_secs_f64(),
    };
    let shadows = state.router.shadows().into_iter().map(shadow).collect();
    ListShadowsResponse { policy: state.router.policy().label.to_string(), shadows }
}

/// The other routers before the fleet.
pub fn siblings(state: &RouterState) -> ListSiblingsResponse {
    let told = state.router.teller().told();
    let sibling = |sibling: siblings::Sibling| {
        let (standing, why) = sibling.standing.name();
        Sibling {
            standing: standing.to_owned(),
            why: why.to_owned(),
            epoch: sibling.epoch,
            same_names: sibling.same_names,
            under_way: sibling.under_way as u32,
            elsewhere: sibling.elsewhere as u32,
            news: sibling.news,
            gaps: sibling.gaps,
            url: sibling.url,
            address: sibling.address,
        }
    };
    ListSiblingsResponse {
        share: state.config.siblings.sharing().name().to_owned(),
        siblings: state.siblings.all().into_iter().map(sibling).collect(),
        followers: told.followers as u32,
        news_told: told.news,
    }
}

/// None: it is in rotation.
fn why_out(health: &Health, now: Instant) -> Option<String> {
    match health.standing() {
        Rotation::In => None,
        Rotation::Out { until, why } => {
            let left = until.since(now).as_secs_f64();
            Some(format!("{why}; a probe in {left:.1} s, ejection {}", health.ejections()))
        }
        Rotation::Probed { why, .. } => {
            Some(format!("{why}; a request probes it, ejection {}", health.ejections()))
        }
    }
}

fn why_draining(link: &WorkerLink, state: WorkerState<'_>) -> String {
    let reasons = [
        (link.leaving.load(Ordering::Acquire), "being removed"),
        (state.is_draining(), "by itself"),
        (state.is_drained(), "by the operator"),
    ];
    let reasons: Vec<_> = reasons.iter().filter(|(is, _)| *is).map(|(_, why)| *why).collect();
    reasons.join(", ")
}
