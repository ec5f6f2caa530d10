//! Devices of the users themselves, in place of the workers and beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use warmpath_core::block::ScopePlan;
use warmpath_core::id::TenantId;
use warmpath_core::report::{Answered, Recorder};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::{Scopes, SharingRule, Tenants};
use warmpath_core::tokens::Segment;
use warmpath_core::workload::Workload;
use warmpath_core::workload::mixed::{Mixed, class_of};
use warmpath_core::workload::sessions::{Arrivals, WorkloadSpec};
use warmpath_core::workload::trace::{Pace, TimedReplay, TimedRequest, Trace};
use warmpath_sim::{
    Classes, DeviceFleet, FleetError, Observers, Outcome, RunError, Scenario, Stays, run,
};

fn fleet(users: Option<u32>, up_to_tokens: Option<u32>) -> DeviceFleet {
    let stays = Stays { up_to_tokens, ..Stays::default() };
    DeviceFleet { profile: crate::common::profile(16, Some(8_000)), users, stays }
}

fn scenario(workers: u32, devices: DeviceFleet) -> Scenario {
    let profile = crate::common::profile(16, None);
    let plain = crate::common::scenario(workers, PolicyConfig::KvAware, profile);
    let groups = if workers == 0 { Vec::new() } else { plain.groups };
    Scenario { groups, devices: Some(devices), ..plain }
}

fn play(scenario: &Scenario, requests: u64) -> Outcome {
    let spec = crate::common::spec(requests, Arrivals::Poisson { sessions_per_s: 5.0 });
    let workload = crate::common::workload(&spec, 16, 3);
    run(scenario, workload, Observers::default()).expect("a world that can be made")
}

#[test]
fn a_device_caches_only_the_sessions_of_its_user() {
    // Three system prompts of 200 tokens are all that sessions share.
    let each = play(&scenario(0, fleet(None, None)), 300);
    let one = play(&scenario(0, fleet(Some(1), None)), 300);
    let first_turns = |outcome: &Outcome| -> Vec<u32> {
        let devices = outcome.devices.as_ref().expect("devices served it");
        let all = devices.recorder.answered().iter();
        all.filter(|r| r.id.0 % (1 << 16) == 0).map(|r| r.cached_tokens).collect()
    };
    assert!(first_turns(&each).iter().all(|&cached| cached == 0), "nothing comes from others");
    assert!(first_turns(&one).iter().any(|&cached| cached > 0), "its own sessions it knows");
    let later = each.devices.expect("devices served it").recorder;
    let hits = later.answered().iter().filter(|r| r.cached_tokens > 0).count();
    assert!(hits > 100, "a session finds its own history: {hits}");
    assert_eq!((each.recorder.ended(), later.ended()), (0, 300));
}

#[test]
fn a_split_sends_each_prompt_to_its_side_and_both_make_up_the_whole() {
    let outcome = play(&scenario(2, fleet(Some(20), Some(600))), 400);
    let devices = outcome.devices.expect("devices served some");
    let sides = [outcome.recorder.answered(), devices.recorder.answered()];
    let [workers, own] = sides;
    assert!(workers.iter().all(|r| r.prompt_tokens > 600) && workers.len() > 50);
    assert!(own.iter().all(|r| r.prompt_tokens <= 600) && own.len() > 50);
    let mut together = outcome.recorder.clone();
    together.absorb(devices.recorder.clone());
    assert_eq!((together.answered().len(), together.ended()), (400, 400));
    assert!(devices.engines.len() <= 20);
    assert!(together.span() >= outcome.recorder.span());
}

/// Two classes of the same shape for three tenants: what stays is what both rules let stay.
#[test]
fn chosen_classes_and_tenants_stay_on_devices() {
    let spec = |requests| WorkloadSpec {
        sessions: crate::common::spec(requests, Arrivals::Poisson { sessions_per_s: 5.0 }),
        team_prefixes: None,
        documents: None,
        tenants: 3,
        tenant_zipf: 0.0,
        stages: Vec::new(),
        prompts: None,
    };
    let plan = ScopePlan::new("", "test", "", 16);
    let scopes = Scopes::new(&plan, SharingRule::default(), Tenants::new(3, 0.0));
    let workload = || Workload::Mixed(Mixed::new(&[spec(200), spec(100)], &scopes, 3, 1.0, None));
    let split = |stays: Stays| {
        let fleet = DeviceFleet { stays, ..fleet(Some(20), None) };
        let outcome = run(&scenario(2, fleet), workload(), Observers::default()).expect("a world");
        let devices = outcome.devices.expect("devices served some");
        let answered = |recorder: &Recorder| recorder.answered().to_vec();
        (answered(&devices.recorder), answered(&outcome.recorder), devices.engines.len())
    };
    let second = Classes { of: 2, stay: BTreeSet::from([1]) };
    let (own, others, used) = split(Stays { classes: Some(second.clone()), ..Stays::default() });
    assert_eq!(used, 20, "sessions of one class are dealt out to all users");
    assert!(own.iter().all(|r| class_of(r.id, 2) == 1) && own.len() == 100);
    assert!(others.iter().all(|r| class_of(r.id, 2) == 0) && others.len() == 200);
    let tenants = Some(BTreeSet::from([TenantId(0), TenantId(2)]));
    let both = Stays { classes: Some(second), tenants, up_to_tokens: None };
    let (own, others, _) = split(both);
    let lets = |r: &Answered| class_of(r.id, 2) == 1 && r.tenant != TenantId(1);
    assert!(own.iter().all(lets) && own.len() > 30);
    assert!(!others.iter().any(lets) && own.len() + others.len() == 300);
}

#[test]
fn ten_thousand_devices_are_played_quickly() {
    let mut fleet = fleet(Some(10_000), None);
    fleet.profile.hbm_tokens = None;
    let spec = crate::common::spec(60_000, Arrivals::Poisson { sessions_per_s: 500.0 });
    let workload = crate::common::workload(&spec, 16, 3);
    let outcome = run(&scenario(0, fleet), workload, Observers::default()).expect("a world");
    let devices = outcome.devices.expect("devices served it");
    assert_eq!((devices.engines.len(), devices.recorder.answered().len()), (10_000, 60_000));
}

#[test]
fn a_request_that_a_device_has_no_room_for_fails_there() {
    let scope = ScopePlan::new("", "test", "", 16);
    let recorded = |tokens| TimedRequest {
        at_ms: 0,
        prompt: vec![Segment::Text { seed: 1, tokens }],
        output_tokens: 10,
    };
    let trace = Arc::new(Trace::new(vec![recorded(100), recorded(9_000)], &scope));
    let pace = Pace { rate_scale: 1.0, tick_jitter: false, seed: 1, limit: None };
    let workload = Workload::Trace(TimedReplay::new(trace, pace));
    let scenario = scenario(0, fleet(None, None));
    let outcome = run(&scenario, workload, Observers::default()).expect("a world");
    let devices = outcome.devices.expect("devices served it");
    assert_eq!((devices.recorder.answered().len(), devices.recorder.ended()), (1, 2));
}

#[test]
fn a_split_needs_workers() {
    let spec = crate::common::spec(1, Arrivals::Closed { sessions: 1 });
    let split = scenario(0, fleet(None, Some(100)));
    let workload = crate::common::workload(&spec, 16, 3);
    let error =
        run(&split, workload, Observers::default()).expect_err("no worker for long prompts");
    assert_eq!(error, RunError::Fleet(FleetError::NoWorkers));
}
