//! A run of one seed: the real router and the real workers, each on a host of a simulated network.

use crate::clients;
use crate::common::faulty::{Passing, Trouble};
use crate::common::profile;
use crate::faults::Fates;
use crate::lossy::{self, Spoiling};
use crate::network::{BEHIND, Network, PORT};
use crate::plan::Plan;
use crate::settled;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;
use turmoil::Sim;
use warmpath_core::engine::profile::StepTime;
use warmpath_core::rng::Rng;
use warmpath_proto::listening;
use warmpath_proto::transport::{self, Dialling};
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{DrainWorkerRequest, UndrainWorkerRequest};
use warmpath_router::config::ReliabilityConfig;
use warmpath_router::{RouterConfig, RouterServer};
use warmpath_worker_sim::{Place, WorkerConfig};

/// When questions and faults begin: by then all workers have joined.
pub const START: Duration = Duration::from_secs(1);
/// No run takes longer, or a request hangs.
pub const LIMIT: Duration = Duration::from_secs(250);
/// The date.
const EPOCH_S: u64 = 1_800_000_000;
/// Hosts run side by side for so long, and then hear of each other. Half of it doubles the work.
const TICK: Duration = Duration::from_millis(2);

/// What all hosts of one run know.
pub struct Shared {
    pub plan: Plan,
    pub network: Network,
    pub router: RefCell<Option<RouterServer>>,
    /// Questions without an end so far.
    pub open: RefCell<BTreeSet<usize>>,
    pub counts: RefCell<Counts>,
    pub violations: RefCell<Vec<String>>,
    /// All faults have ended.
    pub healed: watch::Sender<bool>,
    /// Feeds may be spoilt.
    pub spoiling: Arc<AtomicBool>,
    pub spoilt: Arc<AtomicU64>,
}

/// What became of the questions.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub whole: u64,
    /// Their clients went away.
    pub left: u64,
    /// Their deadlines passed.
    pub late: u64,
    /// By status.
    pub failed: BTreeMap<String, u64>,
    pub tried_again: u64,
    pub resumed: u64,
    pub resyncs: u64,
    /// Batches of feeds.
    pub spoilt: u64,
    /// By name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Of the run, in virtual milliseconds.
    pub ms: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.whole += other.whole;
        self.left += other.left;
        self.late += other.late;
        self.tried_again += other.tried_again;
        self.resumed += other.resumed;
        self.resyncs += other.resyncs;
        self.spoilt += other.spoilt;
        self.ms += other.ms;
        for (code, n) in &other.failed {
            *self.failed.entry(code.clone()).or_default() += n;
        }
        for (kind, n) in &other.faults {
            *self.faults.entry(kind).or_default() += n;
        }
    }
}

impl Shared {
    pub fn violation(&self, what: &str) {
        self.network.line(&format!("VIOLATION: {what}"));
        self.violations.borrow_mut().push(what.to_owned());
    }

    pub fn channel(&self, host: &str) -> Channel {
        let how = Dialling { tls: None, dialler: self.network.dialler() };
        transport::channel_with(&url(host), &how).expect("a URL")
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub counts: Counts,
    pub violations: Vec<String>,
    pub digest: String,
    pub text: String,
}

fn url(host: &str) -> String {
    format!("http://{host}:{PORT}")
}

pub fn name(worker: usize) -> String {
    format!("w{worker}")
}

/// A worker's host, from outside.
pub struct WorkerHost {
    /// How much slower its next life is.
    pub slow: Rc<Cell<f64>>,
    pub stop: watch::Sender<u32>,
    /// Of its calls, in its next life too.
    pub trouble: Rc<Cell<Trouble>>,
    pub front: Rc<RefCell<Option<Passing>>>,
}

/// What the wall clocks of the processes show.
#[derive(Clone, Copy, Debug)]
pub enum Clocks {
    /// The right time.
    Right,
    /// They are set back or forth by an hour while processes are down.
    Set,
    /// Each goes wrong by up to 5 %, for an hour before the run and in the run.
    Drift,
}

/// What a run may have otherwise than it should be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub reliability: ReliabilityConfig,
    pub clocks: Clocks,
    /// The router is never told the digest of a worker's blocks.
    pub without_digests: bool,
}

impl Default for Setting {
    fn default() -> Self {
        let reliability = ReliabilityConfig::default();
        Self { reliability, clocks: Clocks::Right, without_digests: false }
    }
}

/// A process's number of one life by its wall clock, in nanoseconds.
fn life(plan: &Plan, setting: Setting, process: u64, life: u64) -> u64 {
    let second = 1_000_000_000;
    let hour = 3_600 * second;
    let in_the_run = turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64);
    let shown = match setting.clocks {
        Clocks::Right => hour,
        Clocks::Set => hour * Rng::named(plan.seed, &[3, process, life]).below(3),
        Clocks::Drift => {
            let percent = 95 + Rng::named(plan.seed, &[3, process]).below(11);
            (hour + in_the_run) / 100 * percent
        }
    };
    (EPOCH_S + life) * second + shown
}

/// Runs a plan to its end.
pub fn run(plan: Plan, setting: Setting) -> Outcome {
    let panics = crate::panics();
    let mut sim = turmoil::Builder::new()
        .rng_seed(plan.seed)
        .epoch(UNIX_EPOCH + Duration::from_secs(EPOCH_S))
        .simulation_duration(LIMIT * 2)
        .min_message_latency(Duration::from_millis(plan.latency.0))
        .max_message_latency(Duration::from_millis(plan.latency.1))
        .tcp_capacity(4_096)
        .tick_duration(TICK)
        .build();
    let shared = Rc::new(Shared {
        network: Network::new(plan.room.len()),
        plan,
        router: RefCell::default(),
        open: RefCell::default(),
        counts: RefCell::default(),
        violations: RefCell::default(),
        healed: watch::Sender::new(false),
        spoiling: Arc::new(AtomicBool::new(true)),
        spoilt: Arc::default(),
    });
    let workers: Vec<_> =
        (0..shared.plan.room.len()).map(|i| worker_host(&mut sim, &shared, setting, i)).collect();
    let operator = router_host(&mut sim, &shared, setting);
    let clients = Rc::clone(&shared);
    sim.client("clients", async move {
        all_questions(&clients).await;
        Ok(())
    });
    let mut fates = Fates { workers, operator, shared: Rc::clone(&shared) };
    fates.play(&mut sim);
    shared.counts.borrow_mut().spoilt = shared.spoilt.load(Ordering::Relaxed);
    shared.counts.borrow_mut().ms = sim.elapsed().as_millis() as u64;
    let digest = shared.network.trace.lock().unwrap().digest();
    drop(sim);
    if crate::panics() > panics {
        shared.violation("a task panicked");
    }
    let trace = shared.network.trace.lock().unwrap();
    Outcome {
        counts: shared.counts.borrow().clone(),
        violations: shared.violations.borrow().clone(),
        digest,
        text: trace.text.clone(),
    }
}

fn worker_host(sim: &mut Sim<'_>, shared: &Rc<Shared>, setting: Setting, i: usize) -> WorkerHost {
    let (slow, stop) = (Rc::new(Cell::new(1.0)), watch::Sender::new(0));
    let (slower, stops, lives) = (Rc::clone(&slow), stop.clone(), Cell::new(0));
    let trouble = Rc::new(Cell::new(Trouble::None));
    let front = Rc::<RefCell<Option<Passing>>>::default();
    let (troubled, in_front) = (Rc::clone(&trouble), Rc::clone(&front));
    let plan = &shared.plan;
    let (network, room, seats) = (shared.network.clone(), plan.room[i], plan.seats);
    let (has_front, drift) = (plan.has_front(i), plan.drift[i]);
    let of = Rc::clone(shared);
    let spoiling = plan.spoilt[i].map(|one_in| Spoiling {
        one_in,
        rng: Arc::new(Mutex::new(Rng::named(plan.seed, &[2, i as u64]))),
        active: Arc::clone(&shared.spoiling),
        spoilt: Arc::clone(&shared.spoilt),
    });
    sim.host(name(i), move || {
        lives.set(lives.get() + 1);
        let mut profile = profile();
        profile.hbm_tokens = Some(room);
        profile.max_num_seqs = seats;
        if let StepTime::Linear(step) = &mut profile.step {
            step.base_ns *= slower.get() * drift;
            step.weights_ns *= slower.get() * drift;
            step.ns_per_token *= slower.get() * drift;
        }
        let mut config = WorkerConfig::new(profile);
        config.name = name(i);
        config.drain_timeout_ms = 10_000;
        let drifts = |ms: &mut u64| *ms = (*ms as f64 * drift).round() as u64;
        drifts(&mut config.heartbeat_ms);
        drifts(&mut config.report_interval_ms);
        drifts(&mut config.digest_interval_ms);
        if setting.without_digests {
            config.digest_interval_ms = 3_600_000;
        }
        let around = warmpath_worker_sim::Surroundings {
            epoch: life(&of.plan, setting, i as u64, lives.get()),
            dialler: network.dialler(),
            place: Place::Task,
            lateness: Default::default(),
        };
        let (network, mut stopped) = (network.clone(), stops.subscribe());
        let passing = has_front.then(|| lossy::in_front(&network, spoiling.clone()));
        if let Some(passing) = &passing {
            passing.set(troubled.get());
        }
        in_front.replace(passing.clone());
        async move {
            let listener = match passing {
                None => network.listen(PORT, Some(i)).await?,
                Some(passing) => {
                    let public = network.listen(PORT, Some(i)).await?;
                    let never = std::future::pending();
                    tokio::spawn(listening::serve(public, passing.listening(), never));
                    network.listen(BEHIND, None).await?
                }
            };
            let stopped = async move {
                let _ = stopped.changed().await;
            };
            Ok(warmpath_worker_sim::serve_in(listener, config, stopped, around).await?)
        }
    });
    WorkerHost { slow, stop, trouble, front }
}

/// Where the operator's wishes are sent: to drain a worker or no longer.
pub type Operator = Rc<RefCell<Option<mpsc::UnboundedSender<(usize, bool)>>>>;

fn router_host(sim: &mut Sim<'_>, shared: &Rc<Shared>, setting: Setting) -> Operator {
    let operator = Operator::default();
    let (shared, wishes, lives) = (Rc::clone(shared), Rc::clone(&operator), Cell::new(0));
    sim.host("router", move || {
        lives.set(lives.get() + 1);
        let (shared, lives) = (Rc::clone(&shared), lives.get());
        let (sender, wished) = mpsc::unbounded_channel();
        wishes.replace(Some(sender));
        async move {
            let plan = &shared.plan;
            let urls = (0..plan.room.len()).map(|i| url(&name(i))).collect();
            let config = RouterConfig {
                seed: plan.seed,
                reliability: setting.reliability,
                ..RouterConfig::new(urls, plan.policy)
            };
            let dialler = shared.network.dialler();
            let instance = life(plan, setting, 100, lives);
            let around = warmpath_router::Surroundings { dialler, instance };
            let router = RouterServer::new_in(config, around)?;
            *shared.router.borrow_mut() = Some(router.clone());
            tokio::task::spawn_local(operate(router.clone(), wished));
            let listener = shared.network.listen(PORT, Some(shared.network.clients())).await?;
            Ok(router.serve(listener, std::future::pending()).await?)
        }
    });
    operator
}

async fn operate(router: RouterServer, mut wishes: mpsc::UnboundedReceiver<(usize, bool)>) {
    let admin = router.admin();
    while let Some((worker, drained)) = wishes.recv().await {
        let number = worker as u32;
        // The worker may be unknown or leaving; then there is nothing to do.
        let _ = match drained {
            true => admin.drain_worker(Request::new(DrainWorkerRequest { number })).await.is_ok(),
            false => {
                admin.undrain_worker(Request::new(UndrainWorkerRequest { number })).await.is_ok()
            }
        };
    }
}

async fn all_questions(shared: &Rc<Shared>) {
    tokio::time::sleep(START.saturating_sub(turmoil::elapsed())).await;
    let joined =
        shared.router.borrow().as_ref().map(|router| router.status().borrow().joined.len());
    if joined != Some(shared.plan.room.len()) {
        shared.violation(&format!("{joined:?} workers have joined"));
    }
    let (channel, begun) = (shared.channel("router"), tokio::time::Instant::now());
    let mut asked = JoinSet::new();
    for i in 0..shared.plan.questions.len() {
        asked.spawn_local(clients::ask(Rc::clone(shared), channel.clone(), i, begun));
    }
    while asked.join_next().await.is_some() {}
    shared.spoiling.store(false, Ordering::Relaxed);
    let mut healed = shared.healed.subscribe();
    let _ = healed.wait_for(|&healed| healed).await;
    settled::check(shared).await;
}
