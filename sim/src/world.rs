//! Asks every heart for its next instant and takes the least. Between hearts travel letters, which
//! arrive a hop later and, at one instant, in the order they were posted.

mod fetches;

use crate::devices::{DeviceOutcome, Devices};
use crate::faults::{FailedFetches, FaultError, check_faults};
use crate::handover::{self, Hand};
use crate::mail::{Letter, Mail};
use crate::scenario::{FleetError, Group, Scenario, check_fleet};
use crate::shared::{POOL, Shared};
use crate::{Observers, checkers};
use std::collections::BTreeSet;
use warmpath_core::engine::handover::HandoverStats;
use warmpath_core::engine::{Engine, EngineStats, LoanStats, Output, SubmitError};
use warmpath_core::event::Snapshot;
use warmpath_core::hash::Map;
use warmpath_core::id::{RequestId, SourceId, WorkerId};
use warmpath_core::pool::{PoolError, PoolStats};
use warmpath_core::report::{Cached, Recorder};
use warmpath_core::request::Work;
use warmpath_core::routing::Router;
use warmpath_core::routing::index::{Overlap, PrefixIndex};
use warmpath_core::routing::input::{Action, Decision, Input, RejectReason};
use warmpath_core::time::{Duration, Instant};
use warmpath_core::workload::Workload;

/// Why a world can't be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("pool: {0}")]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("given up")]
    GivenUp,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub recorder: Recorder,
    /// What their users' own devices served; nothing of it stands in the other fields.
    pub devices: Option<DeviceOutcome>,
    /// By worker.
    pub engines: Vec<EngineStats>,
    /// The same, of what they handed over.
    pub handovers: Vec<HandoverStats>,
    /// Of each worker: what it lent to its peers.
    pub loans: Vec<LoanStats>,
    pub pool: Option<PoolStats>,
    /// Why fetches failed.
    pub failed_fetches: FailedFetches,
    /// Blocks that at least one worker holds, and copies of them in all workers.
    pub resident: (u64, u64),
    /// Prompt blocks the router believed the chosen worker would find, where it looked.
    pub overlap_blocks: u64,
    /// Letters and wake-ups handled.
    pub events: u64,
}

pub struct World<'a> {
    pub hop: Duration,
    pub handover_latency: Duration,
    report_every: Duration,
    router: Router,
    index: PrefixIndex,
    pub engines: Vec<Engine>,
    workload: Workload,
    pub recorder: Recorder,
    mail: Mail,
    /// One wake-up key an engine, refreshed after each call: (when, which), and what stands there.
    wakes: BTreeSet<(Instant, u32)>,
    wake_of: Vec<Option<Instant>>,
    /// When a busy worker next reports its load.
    reports: BTreeSet<(Instant, u32)>,
    reporting: Vec<bool>,
    pub works: Map<RequestId, Work>,
    /// Requests that one worker computes and another answers.
    pub shares: Map<RequestId, handover::Shared>,
    pub shared: Shared,
    devices: Option<Devices>,
    failed_fetches: FailedFetches,
    overlap_blocks: u64,
    events: u64,
    observers: Observers<'a>,
    outputs: Vec<Output>,
    actions: Vec<Action>,
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
            check_fleet(&scenario.groups, scenario.pool.is_some(), scenario.handover.as_ref())?;
        }
        check_faults(&scenario.faults, scenario.pool.is_some())?;
        let count = scenario.workers() as usize;
        let mut recorder = Recorder::default();
        if observers.rows {
            recorder.keep_rows();
        }
        let engine = |(id, group): (_, &Group)| {
            Engine::new(id, 1, group.profile.clone()).with_role(group.role, scenario.handover)
        };
        let mut world = Self {
            hop: scenario.network.hop(),
            handover_latency: handover::latency(scenario),
            report_every: scenario.network.report_every(),
            router: Router::new(scenario.policy).with_seed(scenario.seed),
            index: PrefixIndex::default(),
            engines: scenario.each_worker().map(engine).collect(),
            workload,
            recorder,
            mail: Mail::default(),
            wakes: BTreeSet::new(),
            wake_of: vec![None; count],
            reports: BTreeSet::new(),
            reporting: vec![false; count],
            works: Map::default(),
            shares: Map::default(),
            shared: Shared::new(scenario)?,
            devices,
            failed_fetches: FailedFetches::default(),
            overlap_blocks: 0,
            events: 0,
            observers,
            outputs: Vec::new(),
            actions: Vec::new(),
        };
        if let Some(pool) = world.shared.pool() {
            world
                .index
                .replace(&pool.snapshot())
                .expect("an empty snapshot has no parents to miss");
        }
        for i in 0..count {
            let info = world.engines[i].info();
            let empty = Snapshot { source: info.worker.into(), epoch: 1, seq: 0, runs: Vec::new() };
            world.index.replace(&empty).expect("an empty snapshot has no parents to miss");
            world.tell_router(Instant::START, Input::Joined(info));
        }
        Ok(world)
    }

    pub fn run(mut self) -> Result<Outcome, RunError> {
        while let Some(now) = self.next_instant() {
            self.events += 1;
            if let Some(letter) = self.mail.take(now) {
                self.deliver(now, letter);
            } else if let Some(&(at, i)) = self.wakes.first()
                && at <= now
            {
                self.step(now, i);
            } else if self.shared.next_wake().is_some_and(|at| at <= now) {
                self.step_pool(now);
            } else if let Some(devices) = self.devices.as_mut().filter(|d| d.is_due(now)) {
                for (at, id) in devices.step(now) {
                    self.post(at, Letter::Ended(id));
                }
            } else if let Some(&(at, i)) = self.reports.first()
                && at <= now
            {
                self.report(now, i);
            } else if let Some((at, work)) = self.workload.send(now) {
                self.send(at, work);
            } else {
                self.tell_router(now, Input::Tick);
            }
            if self.events.is_multiple_of(4096)
                && let Some(give_up) = &mut self.observers.give_up
                && give_up(&self.recorder)
            {
                return Err(RunError::GivenUp);
            }
            if self.events.is_multiple_of(4096)
                && let Some(progress) = &mut self.observers.progress
            {
                progress(self.recorder.ended() + self.devices.as_ref().map_or(0, Devices::ended));
            }
        }
        let Self { router, index, engines, recorder, .. } = &self;
        checkers::at_rest(router, index, engines, self.shared.pool(), recorder);
        let devices = self.devices.map(Devices::into_outcome);
        let elsewhere = devices.as_ref().map_or(0, |devices| devices.recorder.ended());
        checkers::all_sent(&self.workload, self.recorder.ended() + elsewhere);
        Ok(Outcome {
            recorder: self.recorder,
            devices,
            engines: self.engines.iter().map(Engine::stats).collect(),
            handovers: self.engines.iter().map(Engine::handover_stats).collect(),
            loans: self.engines.iter().map(Engine::loan_stats).collect(),
            pool: self.shared.stats(),
            failed_fetches: self.failed_fetches.of(&self.engines),
            resident: self.index.copies(),
            overlap_blocks: self.overlap_blocks,
            events: self.events,
        })
    }

    fn next_instant(&self) -> Option<Instant> {
        let mail = self.mail.next();
        let engine = self.wakes.first().map(|&(at, _)| at);
        let report = self.reports.first().map(|&(at, _)| at);
        let (pool, sends) = (self.shared.next_wake(), self.workload.next_send());
        let devices = self.devices.as_ref().and_then(Devices::next_wake);
        let all = [mail, engine, pool, devices, report, sends, self.router.next_wake()];
        all.into_iter().flatten().min()
    }

    pub fn post(&mut self, at: Instant, letter: Letter) {
        self.mail.post(at, letter);
    }

    fn send(&mut self, at: Instant, work: Work) {
        if let Some(devices) = self.devices.as_mut().filter(|devices| devices.take(&work)) {
            if let Some(refused) = devices.send(at, work) {
                self.post(at, Letter::Ended(refused));
            }
            return;
        }
        let (id, session, tenant) = (work.request.id, work.request.session, work.request.tenant);
        self.recorder.sent(at, id, work.request.prompt.tokens(), work.output_tokens);
        self.recorder.described(at, id, session, tenant);
        self.recorder.belongs(id, tenant, work.known);
        self.works.insert(id, work);
        self.post(at + self.hop, Letter::Request(id));
    }

    fn deliver(&mut self, now: Instant, letter: Letter) {
        match letter {
            Letter::Request(id) => {
                let request = self.works[&id].request.clone();
                self.tell_router(now, Input::Arrived(request));
            }
            Letter::Dispatched(id, decision) => {
                let done = match decision.decode {
                    Some(decode) => self.prefill(now, id, &decision, decode),
                    None => self.dispatch(now, id, &decision),
                };
                if let Err(error) = done {
                    self.refuse(now, id, error);
                }
            }
            Letter::Hand(hand) => self.hand(now, hand),
            Letter::Heard(input) => self.tell_router(now, input),
            Letter::Kv(batch) => {
                self.index.apply(&batch).expect("this network loses and reorders nothing");
            }
            Letter::Pool(Some(snapshot)) => {
                self.index.replace(&snapshot).expect("it holds whole prefixes");
            }
            Letter::Pool(None) => {
                self.index.forget(POOL.into());
                self.tell_router(now, Input::Lost(POOL.into()));
            }
            Letter::Ended(id) => self.workload.on_ended(now, id),
            Letter::Fetch(worker, fetch) => self.fetch(now, worker, &fetch),
            Letter::Fetched(worker, id, result) => {
                let engine = &mut self.engines[worker.0 as usize];
                if let Err(why) = result
                    && engine.store().awaits(id)
                {
                    self.failed_fetches.count(why);
                }
                engine.on_transfer(now, id, result);
                self.refresh_wake(worker.0);
            }
            Letter::Put(run, owner) => self.shared.put(now, &run, owner),
        }
    }

    fn dispatch(
        &mut self,
        now: Instant,
        id: RequestId,
        decision: &Decision,
    ) -> Result<(), SubmitError> {
        let work = self.works.remove(&id).expect("a request is dispatched once");
        let worker = decision.worker;
        self.recorder.placed(id, worker);
        let engine = &mut self.engines[worker.0 as usize];
        let offers = self.shared.offers(engine, &work.request.prompt, decision.pull);
        engine.submit_offered(now, work, &offers)?;
        self.refresh_wake(worker.0);
        Ok(())
    }

    /// A worker does not take the request: the router hears of it, then the client.
    pub fn refuse(&mut self, now: Instant, id: RequestId, error: SubmitError) {
        self.works.remove(&id);
        self.shares.remove(&id);
        self.post(now + self.hop, Letter::Heard(Input::Cancelled(id)));
        self.fail(now + self.hop + self.hop, id, refusal(error));
    }

    fn fail(&mut self, at: Instant, id: RequestId, reason: &str) {
        self.recorder.failed(at, id, reason);
        self.post(at, Letter::Ended(id));
    }

    fn tell_router(&mut self, now: Instant, input: Input) {
        let index = &self.index;
        let lookup = |prompt: &_, overlap: &mut Overlap| index.overlap(prompt, overlap);
        let mut actions = core::mem::take(&mut self.actions);
        match &mut self.observers.record {
            Some(record) => {
                record(&self.router.apply_recorded(now, input, &lookup, &mut actions));
            }
            None => self.router.apply(now, &input, &lookup, &mut actions),
        }
        for action in actions.drain(..) {
            match action {
                Action::Dispatch { id, decision } => {
                    let blocks = decision.covered();
                    self.overlap_blocks += u64::from(blocks);
                    self.post(now + self.hop, Letter::Dispatched(id, decision));
                }
                // It stays in the router, which decides about it later.
                Action::Hold { .. } => {}
                Action::Reject { id, reason } => {
                    self.works.remove(&id);
                    self.fail(now + self.hop, id, rejection(reason));
                }
            }
        }
        self.actions = actions;
    }

    fn step(&mut self, now: Instant, i: u32) {
        let mut outputs = core::mem::take(&mut self.outputs);
        self.engines[i as usize].step(now, &mut outputs);
        checkers::after_step(&self.engines[i as usize]);
        let worker = WorkerId(i);
        for output in outputs.drain(..) {
            match output {
                Output::Admitted { .. } => {}
                Output::FirstToken { id, at } => {
                    let heard = at + self.hop;
                    self.recorder.first_token(heard + self.hop, id);
                    self.post(heard, Letter::Heard(Input::FirstToken(id)));
                }
                Output::Finished { id, at, cached_tokens, hit } => {
                    let heard = at + self.hop;
                    let ended = heard + self.hop;
                    let block_size = self.engines[i as usize].profile().block_size;
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    let found = self.found(id, Cached { tokens: cached_tokens, by_tier });
                    self.recorder.finished(ended, id, worker, found);
                    let (cached_tokens, by_origin) = (found.tokens, Some(found.by_tier));
                    let input = Input::Finished { id, cached_tokens, by_origin };
                    self.post(heard, Letter::Heard(input));
                    self.post(ended, Letter::Ended(id));
                }
                Output::Prefilled { id, at, cached_tokens, hit } => {
                    let block_size = self.engines[i as usize].profile().block_size;
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    self.prefilled(at, id, worker, Cached { tokens: cached_tokens, by_tier });
                }
                Output::Pull { at, id, from, tokens } => {
                    self.post(at, Letter::Hand(Hand::Pull { id, to: worker, from, tokens }));
                }
                Output::HandedOver { at, id, to } => self.handed_over(at, id, to),
                Output::Kv { at, batch } => self.post(at + self.hop, Letter::Kv(batch)),
                Output::Fetch { at, fetch } => self.post(at, Letter::Fetch(worker, fetch)),
                Output::Put { at, run, owner } => self.post(at, Letter::Put(run, owner)),
                Output::Lent { at, key } => {
                    self.sent(at, key, SourceId::Worker(worker), Ok(()));
                }
            }
        }
        self.outputs = outputs;
        if !core::mem::replace(&mut self.reporting[i as usize], true) {
            self.reports.insert((now + self.report_every, i));
        }
        self.refresh_wake(i);
    }

    /// A busy worker goes on reporting; an idle one says so and falls silent.
    fn report(&mut self, now: Instant, i: u32) {
        self.reports.remove(&(now, i));
        let engine = &self.engines[i as usize];
        let report = engine.load_report();
        self.reporting[i as usize] = !engine.is_idle();
        if !engine.is_idle() {
            self.reports.insert((now + self.report_every, i));
        }
        self.post(now + self.hop, Letter::Heard(Input::Load(report)));
    }

    pub fn refresh_wake(&mut self, i: u32) {
        let next = self.engines[i as usize].next_wake();
        let old = core::mem::replace(&mut self.wake_of[i as usize], next);
        if old != next {
            if let Some(at) = old {
                self.wakes.remove(&(at, i));
            }
            if let Some(at) = next {
                self.wakes.insert((at, i));
            }
        }
    }
}

fn rejection(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::NoEligibleWorker { .. } => "no worker takes requests",
        RejectReason::NoDecodeWorker { .. } => "no worker decodes",
        RejectReason::NoPrefillWorker { .. } => "no worker prefills",
        RejectReason::PromptTooLarge { .. } => "prompt too large for any worker",
        RejectReason::DuplicateId => "duplicate request id",
        RejectReason::QueueFull { .. } => "queue full",
        RejectReason::WaitedTooLong { .. } => "waited too long",
        RejectReason::DeadlinePassed { .. } => "deadline passed in the queue",
    }
}

pub fn refusal(error: SubmitError) -> &'static str {
    match error {
        SubmitError::TooLarge { .. } => "request too large for its worker",
        SubmitError::EmptyPrompt => "empty prompt",
        SubmitError::EmptyAnswer => "empty answer",
        SubmitError::DuplicateId => "duplicate request id",
    }
}
