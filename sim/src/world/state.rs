//! The state of a world, and what each part of it does to it: messages, wake-ups, the router's inputs.

use super::outcome::RunError;
use super::split::SplitRequest;
use crate::attempts::Attempts;
use crate::beliefs::Beliefs;
use crate::checkers;
use crate::devices::Devices;
use crate::faults::{FailedFetches, check_faults};
use crate::feeds::Feeds;
use crate::fleet::check_fleet;
use crate::lines::Lines;
use crate::messages::{Message, Messages};
use crate::observers::Observers;
use crate::pool::WorldPool;
use crate::reasons::refusal;
use crate::routers::Routers;
use crate::scenario::Scenario;
use crate::wakes::Wakes;
use crate::worker_faults::WorkerFaults;
use std::collections::BTreeSet;
use std::sync::Arc;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, EngineStats, Output, SubmitError};
use warmpath_core::event::{Role, Snapshot};
use warmpath_core::hash::Map;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::Recorder;
use warmpath_core::request::Work;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Decision, Input, RouterId};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::workload::Workload;

/// All parts of a world. The files of this folder share it.
pub struct World<'a> {
    /// How long a message is under way between two processes.
    pub hop: Duration,
    /// From an event at a worker to its arrival at the router.
    pub of_events: Duration,
    pub beliefs: Beliefs,
    pub kv_transfer_latency: Duration,
    pub report_every: Duration,
    pub routers: Routers,
    pub index: PrefixIndex,
    pub engines: Vec<Engine>,
    pub workload: Workload,
    pub recorder: Recorder,
    pub messages: Messages,
    /// When each engine next has something to do, refreshed after each call.
    pub wakes: Wakes,
    /// When a busy worker next reports its load.
    pub reports: BTreeSet<(Instant, u32)>,
    pub reporting: Vec<bool>,
    /// Requests that have not reached the worker that answers them.
    pub works: Map<RequestId, Work>,
    /// Requests that one worker computes and another decodes.
    pub splits: Map<RequestId, SplitRequest>,
    pub pool: WorldPool,
    pub attempts: Attempts,
    /// Whether the router hears of failed attempts. Otherwise a request whose worker fails is over.
    pub tries_again: bool,
    pub worker_faults: WorkerFaults,
    /// Where feeds are played message by message. None: their batches arrive, each a hop later.
    pub feeds: Option<Feeds>,
    pub lines: Vec<Lines>,
    pub lost_engines: Vec<(WorkerId, EngineStats)>,
    /// The instant that is played.
    pub now: Instant,
    pub devices: Option<Devices>,
    pub failed_fetches: FailedFetches,
    pub overlap_blocks: u64,
    pub held: u64,
    /// When there was last a request, where faults last until there is none.
    pub worked: Instant,
    pub events: u64,
    pub observers: Observers<'a>,
    /// When the observer of memories is next told. None: there is none.
    pub next_look: Option<Instant>,
    /// Buffers that are used again.
    pub outputs: Vec<Output>,
    pub actions: Vec<Action>,
}

/// A rule that polls more often than workers report by themselves sees newer reports.
fn report_every(scenario: &Scenario) -> Duration {
    let own = scenario.network.report_every();
    scenario.policy.poll().map_or(own, |poll| own.min(poll))
}

impl<'a> World<'a> {
    pub fn new(
        scenario: &Scenario,
        workload: Workload,
        observers: Observers<'a>,
    ) -> Result<Self, RunError> {
        let new_devices = |fleet| Devices::new(fleet, observers.rows);
        let devices = scenario.devices.as_ref().map(new_devices).transpose()?;
        if !scenario.groups.is_empty() || !devices.as_ref().is_some_and(Devices::take_all) {
            check_fleet(&scenario.groups, scenario.pool.is_some(), scenario.kv_transfer.as_ref())?;
        }
        check_faults(&scenario.faults, scenario.pool.is_some())?;
        scenario.reliability.check().map_err(RunError::Reliability)?;
        let splits = scenario.groups.iter().any(|group| !group.role.is_both());
        if splits && !scenario.reliability.is_off() {
            let why = "set, expected only in fleets without prefill and decode workers";
            return Err(RunError::Reliability(why.to_owned()));
        }
        let worker_faults = WorkerFaults::new(scenario)?;
        let tries_again = !scenario.reliability.is_off();
        let on = tries_again || worker_faults.any();
        let count = scenario.workers() as usize;
        let plays_feeds = scenario.faults.iter().any(|fault| fault.kind.plays_feeds());
        let mut recorder = Recorder::default();
        if observers.rows {
            recorder.keep_rows();
        }
        let alike = scenario.groups.iter().flat_map(|group| {
            let profile = Arc::new(group.profile.clone());
            (0..group.workers).map(move |_| (Arc::clone(&profile), group.role))
        });
        let engine = |(id, (profile, role)): (u32, (Arc<Profile>, Role))| {
            Engine::new(WorkerId(id), 1, profile).with_role(role, scenario.kv_transfer)
        };
        let mut world = Self {
            hop: scenario.network.hop(),
            of_events: scenario.network.of_events(),
            beliefs: Beliefs::new(scenario),
            kv_transfer_latency: scenario.kv_transfer_latency(),
            report_every: report_every(scenario),
            routers: Routers::new(scenario),
            index: if plays_feeds { PrefixIndex::with_digests() } else { PrefixIndex::default() },
            engines: (0..).zip(alike).map(engine).collect(),
            workload,
            recorder,
            messages: Messages::default(),
            wakes: Wakes::new(count),
            reports: BTreeSet::new(),
            reporting: vec![false; count],
            works: Map::default(),
            splits: Map::default(),
            pool: WorldPool::new(scenario)?,
            attempts: Attempts::new(on),
            tries_again,
            worker_faults,
            feeds: plays_feeds.then(|| Feeds::new(count, scenario.seed)),
            lines: core::iter::repeat_with(Lines::default).take(count).collect(),
            lost_engines: Vec::new(),
            now: Instant::START,
            devices,
            failed_fetches: FailedFetches::default(),
            overlap_blocks: 0,
            held: 0,
            worked: Instant::START,
            events: 0,
            next_look: observers.memories.is_some().then_some(Instant::START),
            observers,
            outputs: Vec::new(),
            actions: Vec::new(),
        };
        if let Some(pool) = world.pool.now() {
            world
                .index
                .replace(&pool.snapshot())
                .expect("an empty snapshot has no parents to miss");
        }
        for i in 0..count {
            let info = world.beliefs.of(world.engines[i].info());
            let empty = Snapshot { source: info.worker.into(), epoch: 1, seq: 0, runs: Vec::new() };
            world.index.replace(&empty).expect("an empty snapshot has no parents to miss");
            world.tell_router(Instant::START, Input::Joined(info));
        }
        Ok(world)
    }

    pub fn post(&mut self, at: Instant, message: Message) {
        self.messages.send(at, message);
    }

    /// A worker does not take the request: the router hears of it, then the client.
    pub fn refuse(&mut self, now: Instant, id: RequestId, error: SubmitError) {
        self.works.remove(&id);
        self.splits.remove(&id);
        self.attempts.forget(id);
        self.post(now + self.hop, Message::Router(Input::Cancelled(id)));
        self.fail(now + self.hop + self.hop, id, refusal(error));
    }

    pub fn fail(&mut self, at: Instant, id: RequestId, reason: &str) {
        self.recorder.failed(at, id, reason);
        self.post(at, Message::Ended(id));
    }

    /// Tells the routers that hear such an input.
    pub fn tell_router(&mut self, now: Instant, input: Input) {
        if self.routers.count() == 1 {
            return self.tell_one(now, 0, input);
        }
        let receivers = self.routers.receivers(&input);
        for number in 0..self.routers.count() {
            if self.routers.hears(now, receivers, number) {
                self.tell_one(now, number, input.clone());
            }
        }
    }

    /// The index is asked at every input, since requests that are held may be decided about at any.
    fn tell_one(&mut self, now: Instant, number: u32, input: Input) {
        let router = self.routers.get_mut(number);
        let index = &self.index;
        let lookup = |prompt: &_, overlap: &mut Overlap| index.overlap(prompt, overlap);
        let mut actions = core::mem::take(&mut self.actions);
        if let (Some(explained), Input::Arrived(request)) = (&mut self.observers.explained, &input)
            && let Ok(explanation) = router.explain(now, request, &lookup)
        {
            explained(explanation);
        }
        match &mut self.observers.record {
            // A record is that of one router.
            Some(record) if number == 0 => {
                record(&router.apply_recorded(now, input, &lookup, &mut actions));
            }
            _ => router.apply(now, &input, &lookup, &mut actions),
        }
        checkers::after_input(router);
        for news in router.take_news() {
            let input = Input::Sibling { router: RouterId(number), news };
            self.messages.send(now + self.hop, Message::Router(input));
        }
        let mut abandoned = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Dispatch { id, mut decision } => {
                    let given = self.observers.assigned.and_then(|assigned| assigned(id));
                    if let Some(worker) = given {
                        decision = Decision::blind(worker);
                    }
                    let blocks = decision.covered();
                    self.overlap_blocks += u64::from(blocks);
                    self.credit(id, &decision);
                    self.begin_attempt(now, id, &decision);
                    self.post(now + self.hop, Message::Dispatched(id, decision));
                }
                // It stays in the router, which decides about it later.
                Action::Hold { .. } => self.held += 1,
                Action::Abandon { id, worker } => abandoned.push((id, worker)),
                Action::Reject { id, reason } => {
                    self.works.remove(&id);
                    self.attempts.forget(id);
                    self.fail(now + self.hop, id, reason.name());
                }
            }
        }
        self.actions = actions;
        for (id, worker) in abandoned {
            self.abandon(now, id, worker);
        }
    }

    /// When an engine next has something to do, in the world's time.
    fn engine_wake(&self, i: u32) -> Option<Instant> {
        let own = self.engines[i as usize].next_wake()?;
        if !self.worker_faults.any() {
            return Some(own);
        }
        if self.worker_faults.of(i).frozen {
            return None;
        }
        self.worker_faults.world(i, own).map(|at| at.max(self.now))
    }

    pub fn refresh_wake(&mut self, i: u32) {
        let next = self.engine_wake(i);
        self.wakes.set(i, next);
    }
}
