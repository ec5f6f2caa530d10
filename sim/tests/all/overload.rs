//! More load than the fleet can serve, with admission and, as the control, without.

use crate::common::{profile, scenario, spec};
use std::collections::BTreeMap;
use warmpath_core::block::ScopePlan;
use warmpath_core::id::{RequestId, TenantId};
use warmpath_core::report::{Figures, Row, Slo};
use warmpath_core::routing::AdmissionLimits;
use warmpath_core::routing::input::{Action, Input};
use warmpath_core::routing::policy::{LeastLoaded, PolicyConfig, WaitForRoom, Warmpath};
use warmpath_core::routing::record::{Entry, Header, replay};
use warmpath_core::sharing::{Scopes, SharingRule, Tenants};
use warmpath_core::workload::Workload;
use warmpath_core::workload::arrivals::Arrivals;
use warmpath_core::workload::sessions::Sessions;
use warmpath_core::workload::spec::{Amount, SessionsSpec, WorkloadSpec};
use warmpath_core::workload::stage::{Stage, StageArrivals};
use warmpath_sim::{Observers, Scenario, run};

const SLO: Slo = Slo { ttft_s: 1.0, tpot_s: 0.05 };
const WORKERS: u32 = 4;
/// What the fleet can serve within the SLO, about.
const FULL: f64 = 165.0;
const SECONDS: f64 = 30.0;

fn limits() -> AdmissionLimits {
    let (ttft_s, tpot_s) = (Some(SLO.ttft_s), Some(SLO.tpot_s));
    AdmissionLimits { ttft_s, tpot_s, ..AdmissionLimits::default() }
}

/// Single requests, independent of each other.
fn questions(per_s: f64) -> SessionsSpec {
    SessionsSpec {
        turns: Amount { mean: 1.0, cv: 0.0 },
        user_tokens: Amount { mean: 300.0, cv: 1.0 },
        ..spec((per_s * SECONDS) as u64, Arrivals::Poisson { sessions_per_s: per_s })
    }
}

fn world(policy: PolicyConfig, admission: Option<AdmissionLimits>) -> Scenario {
    Scenario { admission, ..scenario(WORKERS, policy, profile(16, Some(60_000))) }
}

struct Played {
    figures: Figures,
    rows: Vec<Row>,
    /// How long each refused request waited for its refusal, in seconds.
    refused_after: Vec<f64>,
    lines: Vec<String>,
    /// The most that waited in the router.
    most_held: usize,
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a record has a JSON form")
}

fn play(scenario: &Scenario, spec: &SessionsSpec, tenants: Tenants, stages: &[Stage]) -> Played {
    let operator = ScopePlan::new("", "test", "", 16);
    let scopes = Scopes::new(&operator, SharingRule::default(), tenants);
    let spec = WorkloadSpec {
        sessions: spec.clone(),
        team_prefixes: None,
        documents: None,
        tenants: 1,
        tenant_zipf: 0.0,
        stages: stages.to_vec(),
        prompts: None,
    };
    let sessions = Sessions::with_shared_texts(&spec, &scopes, 5, 1.0, None);
    let workload = Workload::Sessions(sessions);
    let header = Header::new(scenario.policy, 0).with_admission(scenario.admission.clone());
    let mut lines = vec![line(&header)];
    let mut arrived: BTreeMap<RequestId, f64> = BTreeMap::new();
    let (mut refused_after, mut held, mut most_held) = (Vec::new(), 0_usize, 0);
    let mut push = |entry: &Entry| {
        let now = entry.now.as_secs_f64();
        if let Input::Arrived(request) = &entry.input {
            arrived.insert(request.id, now);
        }
        for action in &entry.actions {
            match action {
                Action::Reject { id, .. } => refused_after.push(now - arrived[id]),
                Action::Hold { .. } => held += 1,
                Action::Dispatch { id, .. } => {
                    held -= usize::from(now > arrived[id] && held > 0);
                }
                Action::Abandon { .. } => {}
            }
        }
        most_held = most_held.max(held);
        lines.push(line(entry));
    };
    let observers = Observers { record: Some(&mut push), rows: true, ..Observers::default() };
    let mut outcome = run(scenario, workload, observers).expect("a world that can be");
    let figures = outcome.recorder.figures(16, WORKERS, &SLO);
    let rows = outcome.recorder.take_rows();
    Played { figures, rows, refused_after, lines, most_held }
}

fn alone() -> Tenants {
    Tenants::new(1, 0.0)
}

/// Requests within the SLO, per second of the load.
fn good_per_s(played: &Played) -> f64 {
    played.figures.within_slo * played.figures.offered as f64 / SECONDS
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[test]
fn three_times_too_much_costs_little_of_what_the_fleet_can_serve() {
    let rules: [PolicyConfig; 4] = [
        PolicyConfig::RoundRobin,
        LeastLoaded::DEFAULT.into(),
        PolicyConfig::KvAware,
        Warmpath::DEFAULT.into(),
    ];
    for policy in rules {
        let at = |load: f64, admission: Option<AdmissionLimits>| {
            play(&world(policy, admission), &questions(load * FULL), alone(), &[])
        };
        let peak = [0.9, 1.0, 1.1].map(|load| good_per_s(&at(load, Some(limits()))));
        let peak = peak.into_iter().fold(0.0, f64::max);
        let over = at(3.0, Some(limits()));
        let good = good_per_s(&over);
        assert!(good >= 0.95 * peak, "{policy}: {good:.1} of {peak:.1} a second");
        // Refused at once, all but a few whose queue turned out slower than it was.
        let late = percentile(&over.refused_after, 0.99);
        assert!(over.refused_after.len() > 2_500 && late <= 0.01, "{policy}: {late} s");
        assert!(over.most_held < 400, "{policy}: {} waited", over.most_held);
        replay(over.lines.iter()).expect("the record replays");
        // The control: nothing is refused, and hardly anything is in time.
        let control = good_per_s(&at(3.0, None));
        assert!(control < 0.2 * peak, "{policy} takes all on: {control:.1} of {peak:.1} a second");
    }
}

/// Every rule that can be named, each with what it does by itself about a full fleet.
#[test]
fn every_rule_bends() {
    for &policy in PolicyConfig::ALL {
        let policy = match policy {
            // By itself it leaves half of the seats free.
            PolicyConfig::WaitForRoom => {
                WaitForRoom { max_active: 16, ..WaitForRoom::DEFAULT }.into()
            }
            other => other,
        };
        let spec = questions(2.0 * FULL);
        let short = SessionsSpec { requests: spec.requests / 2, ..spec };
        let played = play(&world(policy, Some(limits())), &short, alone(), &[]);
        let (figures, good) = (&played.figures, 2.0 * good_per_s(&played));
        let in_time = figures.within_slo * figures.offered as f64 / figures.requests as f64;
        assert!(figures.refused > 0 && in_time > 0.9, "{policy}: {in_time:.2}");
        assert!(good > 0.8 * FULL, "{policy}: {good:.1} a second");
        replay(played.lines.iter()).expect("the record replays");
    }
}

/// Half load, three times too much, half load again: normal within five seconds, and nothing refused.
#[test]
fn when_the_load_is_gone_all_is_as_before() {
    let stage = |load: f64| Stage {
        name: None,
        rate: load * FULL,
        duration_s: 20.0,
        arrivals: StageArrivals::Poisson,
        drain: false,
        pause_s: 0.0,
        counted: true,
    };
    let stages = [stage(0.5), stage(3.0), stage(0.5)];
    let policy = LeastLoaded::DEFAULT.into();
    let ttft = |played: &Played, from: f64, to: f64| {
        let within = |row: &&Row| (from..to).contains(&row.intended.as_secs_f64());
        let rows: Vec<&Row> = played.rows.iter().filter(within).collect();
        let failed = rows.iter().filter(|row| row.failed.is_some()).count();
        let times: Vec<f64> =
            rows.iter().filter_map(|row| Some(row.ttft()?.as_secs_f64())).collect();
        (percentile(&times, 0.99), failed)
    };
    let spec = questions(FULL);
    let played = play(&world(policy, Some(limits())), &spec, alone(), &stages);
    let (before, _) = ttft(&played, 5.0, 20.0);
    let (after, failed) = ttft(&played, 45.0, 60.0);
    assert!(failed == 0 && after <= 1.5 * before, "{after} s after, {before} s before, {failed}");
    assert!(ttft(&played, 20.0, 40.0).1 > 1_000, "too much, and all was taken on");
    let control = play(&world(policy, None), &spec, alone(), &stages);
    let (after, _) = ttft(&control, 45.0, 60.0);
    assert!(after > 10.0 * before, "without admission {after} s after, {before} s before");
}

/// One tenant asks for eight times as much as the other, who asks for less than half of the fleet.
#[test]
fn a_tenant_within_its_share_is_served_whatever_the_other_asks_for() {
    let policy = LeastLoaded::DEFAULT.into();
    let both = Tenants::new(2, 3.0);
    let played = play(&world(policy, Some(limits())), &questions(3.0 * FULL), both, &[]);
    let share_of = |tenant: u32| {
        let own = played.rows.iter().filter(|row| row.tenant == TenantId(tenant));
        let served = own.clone().filter(|row| row.failed.is_none()).count();
        served as f64 / own.count() as f64
    };
    let (loud, quiet) = (share_of(0), share_of(1));
    assert!(quiet > 0.97 && loud < 0.4, "served {quiet:.3} of the quiet, {loud:.3} of the loud");
    // The control: to a router that does not tell them apart, both are the same.
    let merged = play(&world(policy, Some(limits())), &questions(3.0 * FULL), alone(), &[]);
    let served = merged.figures.requests as f64 / merged.figures.offered as f64;
    assert!(served < 0.5, "{served:.3}");
}
