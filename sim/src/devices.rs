//! The users' own devices. Each user has one device with its own engine and cache. A device has no
//! router, no network and no blocks of other users. It is made when its user sends the first request,
//! so a large fleet costs only what its users do with it.

use crate::checkers;
use crate::fleet::{DeviceFleet, FleetError};
use crate::reasons::refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use warmpath_core::engine::profile::Profile;
use warmpath_core::engine::{Engine, EngineStats, Output};
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::report::{Cached, Recorder};
use warmpath_core::request::Work;
use warmpath_core::time::Instant;

/// What the devices did.
#[derive(Clone, Debug)]
pub struct DeviceOutcome {
    /// Devices count as workers from 0 on.
    pub recorder: Recorder,
    /// One for each device that was used.
    pub engines: Vec<EngineStats>,
}

/// The user of a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum User {
    Numbered(u32),
    OfSession(u64),
    OfRequest(RequestId),
}

#[derive(Debug)]
pub struct Devices {
    fleet: DeviceFleet,
    profile: Arc<Profile>,
    engines: Vec<Engine>,
    of_user: BTreeMap<User, u32>,
    /// One wake-up key for each device.
    wakes: BTreeSet<(Instant, u32)>,
    wake_of: Vec<Option<Instant>>,
    recorder: Recorder,
    outputs: Vec<Output>,
}

impl Devices {
    pub fn new(fleet: &DeviceFleet, rows: bool) -> Result<Self, FleetError> {
        fleet.profile.check()?;
        let mut recorder = Recorder::default();
        if rows {
            recorder.keep_rows();
        }
        Ok(Self {
            fleet: fleet.clone(),
            profile: Arc::new(fleet.profile.clone()),
            engines: Vec::new(),
            of_user: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wake_of: Vec::new(),
            recorder,
            outputs: Vec::new(),
        })
    }

    pub const fn take_all(&self) -> bool {
        self.fleet.stays.all()
    }

    pub fn take(&self, work: &Work) -> bool {
        self.fleet.stays.lets(&work.request)
    }

    pub fn ended(&self) -> u64 {
        self.recorder.ended()
    }

    pub fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|&(at, _)| at)
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next_wake().is_some_and(|at| at <= now)
    }

    /// Gives a request to its user's device. A request that the device refuses is over at once.
    pub fn send(&mut self, at: Instant, work: Work) -> Option<RequestId> {
        let request = &work.request;
        let (id, i) = (request.id, self.device_of(&work));
        self.recorder.sent(at, id, request.prompt.tokens(), work.output_tokens);
        self.recorder.described(at, id, request.session, request.tenant);
        self.recorder.set_tenant(id, request.tenant, work.known);
        self.recorder.placed(id, WorkerId(i));
        let submitted = self.engines[i as usize].submit(at, work);
        self.refresh_wake(i);
        let error = submitted.err()?;
        self.recorder.failed(at, id, refusal(error));
        Some(id)
    }

    fn device_of(&mut self, work: &Work) -> u32 {
        let user = match (work.user, self.fleet.users) {
            (Some(session), Some(users)) => {
                let turn = self.fleet.stays.turn(session);
                User::Numbered((turn % u64::from(users)) as u32)
            }
            (Some(session), None) => User::OfSession(session.0),
            (None, _) => User::OfRequest(work.request.id),
        };
        let next = self.engines.len() as u32;
        let i = *self.of_user.entry(user).or_insert(next);
        if i == next {
            self.engines.push(Engine::new(WorkerId(i), 1, Arc::clone(&self.profile)));
            self.wake_of.push(None);
        }
        i
    }

    /// Does what is due on one device, and says which requests ended when.
    pub fn step(&mut self, now: Instant) -> Vec<(Instant, RequestId)> {
        let Some(&(_, i)) = self.wakes.first() else { return Vec::new() };
        let (engine, worker) = (&mut self.engines[i as usize], WorkerId(i));
        engine.step(now, &mut self.outputs);
        checkers::after_step(engine);
        let block_size = engine.profile().block_size;
        let mut ended = Vec::new();
        for output in self.outputs.drain(..) {
            match output {
                Output::FirstToken { id, at } => self.recorder.first_token(at, id),
                Output::Finished { id, at, cached_tokens, hit, .. } => {
                    let by_tier = hit.map(|blocks| blocks * block_size);
                    let found = Cached { tokens: cached_tokens, by_tier };
                    self.recorder.finished(at, id, worker, found);
                    ended.push((at, id));
                }
                // No router follows a device's cache, and a device has neither pool nor peers.
                Output::Admitted { .. }
                | Output::Kv { .. }
                | Output::Fetch { .. }
                | Output::Put { .. }
                | Output::FetchServed { .. }
                | Output::Prefilled { .. }
                | Output::Pull { .. }
                | Output::KvSent { .. } => {}
            }
        }
        self.refresh_wake(i);
        ended
    }

    fn refresh_wake(&mut self, i: u32) {
        let next = self.engines[i as usize].next_wake();
        let old = core::mem::replace(&mut self.wake_of[i as usize], next);
        if old != next {
            if let Some(at) = old {
                self.wakes.remove(&(at, i));
            }
            self.wakes.extend(next.map(|at| (at, i)));
        }
    }

    /// At the end of a run. Checks that all is at rest.
    pub fn into_outcome(self) -> DeviceOutcome {
        self.engines.iter().for_each(Engine::check_at_rest);
        assert_eq!(self.recorder.in_flight(), 0, "requests never ended");
        let engines = self.engines.iter().map(Engine::stats).collect();
        DeviceOutcome { recorder: self.recorder, engines }
    }
}
