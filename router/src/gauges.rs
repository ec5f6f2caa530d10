//! The gauges, refreshed now and then from the router's state.

use crate::metrics::{
    ACTIVE, BACKLOG, EJECTIONS, HELD, HELD_TOKENS, IN_FLIGHT, IN_ROTATION, NAMED, RUNS,
    SHADOW_HITS, SHADOW_REQUESTS, SHADOW_TOKENS, SHADOW_TTFT, SIBLING_BOOKINGS, SIBLINGS, SPEEDUP,
    TAKES, zero,
};
use crate::state::RouterState;
use metrics::{counter, gauge};
use std::collections::BTreeMap;
use std::time::Duration;
use warmpath_core::id::WorkerId;
use warmpath_core::routing::fleet::Fleet;
use warmpath_core::routing::health::Health;
use warmpath_core::time::Instant;

const REFRESH: Duration = Duration::from_millis(500);

/// Refreshes the gauges until it is dropped.
pub async fn refresh(state: &RouterState) {
    let mut known = BTreeMap::new();
    let mut named: BTreeMap<String, (String, String)> = BTreeMap::new();
    gauge!(SPEEDUP).set(state.config.speedup);
    zero::router(&state.router.policy());
    loop {
        let now = state.router.clock().now();
        let links = state.roster.links();
        for link in &links {
            if known.insert(link.id, link.name.clone()).is_none() {
                zero::worker(&link.name, &state.router.policy());
            }
        }
        name_workers(state, &mut named);
        // The lock is held for reading alone: requests wait for it.
        let read: Vec<_> = state
            .router
            .fleet(|fleet| known.keys().map(|&id| PerWorker::of(fleet, id, now)).collect());
        for (name, worker) in known.values().zip(read) {
            worker.set(name);
        }
        // A worker's number is never given again, so the gauges of a removed worker stay at 0.
        known.retain(|id, _| links.iter().any(|link| link.id == *id));
        gauge!(SIBLINGS).set(state.siblings.followed() as f64);
        let of_siblings = state.router.fleet(|fleet| fleet.of_siblings());
        gauge!(SIBLING_BOOKINGS).set(of_siblings as f64);
        shadows(state);
        let held = state.router.held();
        gauge!(HELD).set(held.requests as f64);
        gauge!(HELD_TOKENS).set(held.prompt_tokens as f64);
        gauge!(IN_FLIGHT).set(state.in_flight.len() as f64);
        gauge!(RUNS).set(state.index.read().runs() as f64);
        tokio::time::sleep(REFRESH).await;
    }
}

/// The gauges of one worker; all are 0 of one that is away.
#[derive(Default)]
struct PerWorker {
    takes: bool,
    active: u32,
    backlog_s: f64,
    in_rotation: bool,
    ejections: u32,
}

impl PerWorker {
    fn of(fleet: &Fleet, id: WorkerId, now: Instant) -> Self {
        let Some(worker) = fleet.worker(id) else { return Self::default() };
        let health = fleet.rotation().health(id);
        Self {
            takes: worker.takes_requests(),
            active: worker.active(),
            backlog_s: worker.backlog(now).as_secs_f64(),
            in_rotation: health.is_some_and(Health::is_in),
            ejections: health.map_or(0, Health::ejections),
        }
    }

    fn set(&self, name: &str) {
        let set = |gauge: &'static str, value: f64| {
            gauge!(gauge, "worker" => name.to_owned()).set(value);
        };
        set(TAKES, f64::from(u8::from(self.takes)));
        set(ACTIVE, f64::from(self.active));
        set(BACKLOG, self.backlog_s);
        set(IN_ROTATION, f64::from(u8::from(self.in_rotation)));
        set(EJECTIONS, f64::from(self.ejections));
    }
}

/// What the rules beside the policy would have done.
fn shadows(state: &RouterState) {
    for (policy, counts) in state.router.shadows() {
        let rule = policy.to_string();
        let count = |name: &'static str, label: &'static str, value: &'static str, count| {
            counter!(name, "rule" => rule.clone(), label => value).absolute(count);
        };
        let other = counts.asked - counts.held - counts.same;
        for (choice, many) in [("same", counts.same), ("other", other), ("held", counts.held)] {
            count(SHADOW_REQUESTS, "choice", choice, many);
        }
        counter!(SHADOW_TOKENS, "rule" => rule.clone()).absolute(counts.prompt_tokens);
        for (by, weighed) in [("live", counts.live), ("shadow", counts.shadow)] {
            count(SHADOW_HITS, "by", by, weighed.hit_tokens);
            let ttft = weighed.ttft.as_secs_f64();
            gauge!(SHADOW_TTFT, "rule" => rule.clone(), "by" => by).set(ttft);
        }
    }
}

/// The names that workers gave themselves, as a gauge to join with the others. `named` has what was
/// said before: a name that changed goes to 0.
fn name_workers(state: &RouterState, named: &mut BTreeMap<String, (String, String)>) {
    let set = |worker: &str, (name, url): &(String, String), value: f64| {
        let labels = [("worker", worker.to_owned()), ("name", name.clone()), ("url", url.clone())];
        gauge!(NAMED, &labels).set(value);
    };
    let links = state.roster.links();
    named.retain(|worker, of| {
        let stays = links.iter().any(|link| link.name == *worker && link.given() == of.0);
        if !stays {
            set(worker, of, 0.0);
        }
        stays
    });
    for link in links.iter().filter(|link| !link.given().is_empty()) {
        let of = (link.given(), link.url.clone());
        if named.get(&link.name) != Some(&of) {
            set(&link.name, &of, 1.0);
            named.insert(link.name.clone(), of);
        }
    }
}
