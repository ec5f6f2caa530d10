//! One request on its way: checked and hashed, decided under the heart's lock, passed on with a
//! salt and an id of our own, its answer streamed back byte for byte.
//!
//! However a request ends, its [`Flight`] is dropped and leaves nothing behind: no table entry, no
//! booking, and no work on the worker that nobody waits for.

use crate::hints;
use crate::link::Link;
use crate::metrics::{self, Outcome, Stage};
use crate::prefill;
use crate::shared::{Place, Shared, Terms};
use crate::tenants::Tenant;
use dashmap::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant as WallInstant;
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};
use warmpath_core::block::{TokenBlocks, hash_blocks};
use warmpath_core::id::{RequestId, SessionId, TenantId, WorkerId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::{Action, Decision, Input, RejectReason};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::sharing::SharingScope;
use warmpath_proto::generate::{self, Accepted};
use warmpath_proto::raw::{self, Bytes, Finish, Peek};
use warmpath_proto::scope::{Circle, ScopeHint};
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::{status, tiers, transfer, transport};

/// A request that was passed on, and what it took.
#[derive(Debug)]
pub struct Started {
    pub relay: Relay,
    pub link: Arc<Link>,
    /// Wall nanoseconds from the request's bytes to those that go upstream.
    pub router_ns: u64,
}

/// Takes a request to the worker that the policy names. Returns when the worker has accepted it.
pub async fn start(
    shared: &Arc<Shared>,
    tenant: &Arc<Tenant>,
    metadata: &MetadataMap,
    message: Bytes,
) -> Result<Started, Status> {
    let begun = WallInstant::now();
    let result = start_at(begun, shared, tenant, metadata, message).await;
    if let Err(status) = &result {
        metrics::refused(shared.heart.policy(), status.code());
    }
    result
}

async fn start_at(
    begun: WallInstant,
    shared: &Arc<Shared>,
    tenant: &Arc<Tenant>,
    metadata: &MetadataMap,
    message: Bytes,
) -> Result<Started, Status> {
    if shared.draining.load(Ordering::Acquire) {
        return Err(Status::unavailable("the router is draining"));
    }
    let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
    let terms = shared.terms.get().ok_or_else(|| status::from_reject(none))?;
    let mut request = raw::request(&message)?;
    let accepted = generate::accept(&mut request, &terms.model)?;
    generate::refuse_transfer(&accepted)?;
    let deadline = transport::deadline(metadata, begun);
    let mut flight = Flight::register(shared, tenant, &accepted)?;

    let Named { salt, scope, prompt } = name(shared, terms, tenant, &accepted, &flight.upstream_id);
    let hashed = WallInstant::now();
    let (link, decision) = flight.dispatch(prompt, &accepted, deadline)?;
    let decided = WallInstant::now();

    request.request_id.clone_from(&flight.upstream_id);
    request.kv.get_or_insert_default().cache_salt = salt;
    // A client's own name addresses that a worker would connect to.
    request.kv_hints = hints::of(shared, &decision, &scope, &flight.upstream_id);
    let begun_elsewhere = WallInstant::now();
    let link = match decision.decode {
        None => link,
        Some(decode) => {
            let first = request.clone();
            let first = prefill::run(&link, first, &message, &accepted.prompt, deadline);
            let held = match deadline {
                Some(at) => tokio::time::timeout_at(at.into(), first).await.ok(),
                None => Some(first.await),
            };
            let Some(held) = held else { return Err(flight.past_deadline(0)) };
            request.kv.get_or_insert_default().kv_transfer_params = held;
            // Whence to fetch was for the worker that computed the prompt; names are the same to both.
            request.kv_hints = hints::of_scope(&scope, &flight.upstream_id);
            flight.hand_over(decode)?
        }
    };
    let elsewhere = begun_elsewhere.elapsed();
    let message = raw::upstream(request, &message, &accepted.prompt);
    let mut upstream = tonic::Request::new(message);
    if let Some(deadline) = deadline {
        upstream.set_timeout(deadline.saturating_duration_since(WallInstant::now()));
    }
    let mut client = link.inference();
    // As if it had been sent on at once: what the first of two workers took is not the router's.
    let issued = WallInstant::now() - elsewhere;
    metrics::overhead(Stage::Hash, hashed - begun);
    metrics::overhead(Stage::Decide, decided - hashed);
    metrics::overhead(Stage::Total, issued - begun);

    let call = client.generate_stream(upstream);
    let response = match deadline {
        Some(at) => match tokio::time::timeout_at(at.into(), call).await {
            Ok(response) => response,
            Err(_) => return Err(flight.past_deadline(0)),
        },
        None => call.await,
    };
    let upstream = response.map_err(|cause| flight.failed(&cause))?.into_inner();
    flight.reached_worker();
    let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
    let block_size = terms.block_size;
    let relay = Relay { upstream, deadline, flight, tokens: 0, ended: false, block_size };
    Ok(Started { relay, link, router_ns: (issued - begun).as_nanos() as u64 })
}

/// A prompt's blocks by name, and what a worker must be told to name them alike.
#[derive(Debug)]
pub struct Named {
    pub salt: String,
    pub scope: ScopeHint,
    pub prompt: TokenBlocks,
}

/// Names a tenant's prompt. `upstream_id`: nobody else's, also where the client's is.
pub fn name(
    shared: &Shared,
    terms: &Terms,
    tenant: &Tenant,
    accepted: &Accepted,
    upstream_id: &str,
) -> Named {
    let secret = shared.config.secret.as_deref().unwrap_or_default();
    let own = Circle::Tenant(&tenant.name);
    let circle = match (shared.config.sharing, &accepted.session_id, &tenant.group) {
        (SharingScope::Session, Some(session), _) => {
            Circle::Session { tenant: &tenant.name, session }
        }
        (SharingScope::None, ..) | (SharingScope::Session, None, _) => Circle::Request(upstream_id),
        (SharingScope::Group, _, Some(group)) => Circle::Group(group),
        (SharingScope::Tenant, ..) | (SharingScope::Group, _, None) => own,
        (SharingScope::All, ..) => Circle::All,
    };
    let salt = circle.salt(secret, &accepted.cache_salt);
    let mut scope = ScopeHint { tenant: tenant.id.0, ..ScopeHint::default() };
    scope.public_blocks = shared.public.blocks(&accepted.prompt, terms.block_size);
    if scope.public_blocks > 0 {
        scope.public_salt = Circle::Public.salt(secret, "");
    }
    let plan = scope.plan(&salt, &terms.model, terms.block_size);
    let prompt = TokenBlocks::whole(hash_blocks(&plan, &accepted.prompt));
    Named { salt, scope, prompt }
}

/// What the heart is told of a request.
pub fn describe(
    shared: &Shared,
    id: RequestId,
    tenant: &Tenant,
    prompt: TokenBlocks,
    accepted: &Accepted,
    deadline: Option<WallInstant>,
) -> Request {
    let number = |name: &String| generate::session_number(&tenant.name, name);
    Request {
        id,
        session: accepted.session_id.as_ref().map(number).map(SessionId),
        tenant: tenant.id,
        prompt,
        priority: accepted.priority,
        deadline: deadline.map(|at| shared.heart.clock().at(at)),
    }
}

/// A request's footprint in this router. Dropping it wipes it out.
#[derive(Debug)]
struct Flight {
    shared: Arc<Shared>,
    id: RequestId,
    tenant: Arc<Tenant>,
    /// Its key in the table.
    key: (TenantId, String),
    upstream_id: String,
    /// From the dispatch until the end is known.
    link: Option<Arc<Link>>,
    /// Who may still hold the prompt for that one.
    holds: Option<Arc<Link>>,
    /// By which it was sent there.
    policy: PolicyConfig,
}

impl Flight {
    fn register(
        shared: &Arc<Shared>,
        tenant: &Arc<Tenant>,
        accepted: &Accepted,
    ) -> Result<Self, Status> {
        let id = RequestId(shared.next_id.fetch_add(1, Ordering::Relaxed));
        let upstream_id = format!("warmpath-{:x}-{}", shared.instance, id.0);
        let name = match accepted.request_id.as_str() {
            "" => upstream_id.clone(),
            named => named.to_owned(),
        };
        let place = Place { link: None, upstream_id: upstream_id.clone(), aborted: false };
        let key = (tenant.id, name);
        match shared.in_flight.entry(key.clone()) {
            Entry::Occupied(_) => {
                let name = &key.1;
                let why = format!("request_id: '{name}' is in use already");
                return Err(Status::already_exists(why));
            }
            Entry::Vacant(entry) => entry.insert(place),
        };
        let policy = shared.heart.policy();
        let (shared, tenant) = (Arc::clone(shared), Arc::clone(tenant));
        let (link, holds) = (None, None);
        Ok(Self { shared, id, tenant, key, upstream_id, link, holds, policy })
    }

    fn dispatch(
        &mut self,
        prompt: TokenBlocks,
        accepted: &Accepted,
        deadline: Option<WallInstant>,
    ) -> Result<(Arc<Link>, Decision), Status> {
        let Shared { heart, roster, .. } = &*self.shared;
        let request = describe(&self.shared, self.id, &self.tenant, prompt, accepted, deadline);
        let lookup = |prompt: &TokenBlocks, out: &mut _| self.shared.index().overlap(prompt, out);
        let actions = heart.apply(Input::Arrived(request), &lookup);
        let action = actions.into_iter().next().expect("an arrival is decided at once");
        let decision = match action {
            Action::Dispatch { decision, .. } => decision,
            Action::Reject { reason, .. } => return Err(status::from_reject(reason)),
        };
        self.policy = heart.policy();
        self.shared.dispatched.push(&self.key.1, self.id);
        let Some(link) = roster.get(decision.worker) else {
            // Removed since, by an operator who waits for nobody.
            heart.tell(Input::Cancelled(self.id));
            let why = format!("{} was removed from the fleet", decision.worker);
            return Err(Status::unavailable(why));
        };
        if let Some(overlap) = decision.overlap {
            metrics::overlap(&link.name, overlap.iter().sum());
        }
        if let Some(pull) = decision.pull {
            metrics::pull(&link.name, pull);
        }
        if let Some(mut place) = self.shared.in_flight.get_mut(&self.key) {
            place.link = Some(Arc::clone(&link));
        }
        self.link = Some(Arc::clone(&link));
        Ok((link, decision))
    }

    /// The first of two workers is done, whatever came of it: the second is next.
    fn hand_over(&mut self, decode: WorkerId) -> Result<Arc<Link>, Status> {
        let shared = Arc::clone(&self.shared);
        shared.heart.tell(Input::PrefillDone(self.id));
        let Some(link) = shared.roster.get(decode) else {
            // Removed since, by an operator who waits for nobody.
            self.give_up(Outcome::WorkerFailed);
            return Err(Status::unavailable(format!("{decode} was removed from the fleet")));
        };
        if let Some(mut place) = shared.in_flight.get_mut(&self.key) {
            place.link = Some(Arc::clone(&link));
        }
        self.holds = self.link.replace(Arc::clone(&link));
        Ok(link)
    }

    fn first_token(&mut self) {
        self.shared.heart.tell(Input::FirstToken(self.id));
    }

    /// The worker's call failed: nobody is left there to abort.
    fn failed(&mut self, cause: &Status) -> Status {
        let Some(link) = self.end(Outcome::WorkerFailed) else {
            return Status::internal("a request failed twice");
        };
        self.shared.heart.tell(Input::Cancelled(self.id));
        let status = status::from_worker(&format!("{} ({})", link.name, link.url), cause);
        tracing::warn!(worker = link.name, request = self.key.1, %status, "request failed");
        status
    }

    fn past_deadline(&mut self, tokens: u32) -> Status {
        self.give_up(Outcome::DeadlineExceeded);
        Status::deadline_exceeded(format!("the deadline passed after {tokens} answer tokens"))
    }

    fn finished(&mut self, finish: Finish, block_size: u32) {
        if finish.finish_reason() == FinishReason::Aborted {
            self.end(Outcome::Aborted);
            self.shared.heart.tell(Input::Cancelled(self.id));
            return;
        }
        let cached_tokens = finish.num_cached_tokens.unwrap_or(0);
        let params = finish.kv_transfer_params.as_ref();
        if params.and_then(transfer::moved_of).is_some() {
            // It was let go when it had left. Otherwise the end, below, says that nobody comes for it.
            self.holds = None;
        }
        let found = params.and_then(tiers::from_wire);
        let by_origin = found.map(|found| found.by_origin);
        if let Some(link) = self.end(Outcome::Finished) {
            metrics::hit(&link.name, cached_tokens / block_size);
            if let Some(tokens) = by_origin {
                metrics::pulled(&link.name, &tokens.map(|tokens| tokens / block_size));
            }
        }
        self.shared.heart.tell(Input::Finished { id: self.id, cached_tokens, by_origin });
    }

    /// Nobody waits any more: the worker is told, and the booking dissolved.
    fn give_up(&mut self, outcome: Outcome) {
        let Some(link) = self.end(outcome) else { return };
        self.shared.heart.tell(Input::Cancelled(self.id));
        self.abort(link);
    }

    fn abort(&self, link: Arc<Link>) {
        let request_ids = vec![self.upstream_id.clone()];
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { link.abort(request_ids).await });
        }
    }

    /// The worker knows the request from here on, so what its client asked for before can be done.
    fn reached_worker(&self) {
        let aborted = self.shared.in_flight.get(&self.key).is_some_and(|place| place.aborted);
        if let Some(link) = self.link.as_ref().filter(|_| aborted) {
            self.abort(Arc::clone(link));
        }
    }

    /// The first to learn of the end gets the link, and with it the duty to tell the heart.
    fn end(&mut self, outcome: Outcome) -> Option<Arc<Link>> {
        let link = self.link.take()?;
        if let Some(holds) = self.holds.take() {
            self.abort(holds);
        }
        metrics::ended(&link.name, self.policy, outcome);
        Some(link)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.give_up(Outcome::ClientGone);
        self.shared.in_flight.remove(&self.key);
    }
}

/// The stream of one answer. Its deadline holds over the whole stream.
#[derive(Debug)]
pub struct Relay {
    upstream: Streaming<Bytes>,
    deadline: Option<Pin<Box<Sleep>>>,
    flight: Flight,
    tokens: u32,
    ended: bool,
    block_size: u32,
}

impl Relay {
    /// What the message says of the answer. What can't be read is as bad as a broken stream.
    fn observe(&mut self, message: &Bytes) -> Result<(), Status> {
        let unreadable = |error| Status::internal(format!("a message of its answer: {error}"));
        let peek = Peek::of(message).map_err(unreadable)?;
        if self.tokens == 0 && peek.num_tokens() > 0 {
            self.flight.first_token();
        }
        self.tokens = self.tokens.saturating_add(peek.num_tokens());
        if let Some(finish) = peek.finish() {
            self.flight.finished(finish, self.block_size);
        }
        Ok(())
    }

    /// The request's name in this router.
    pub fn name(&self) -> &str {
        &self.flight.key.1
    }

    const fn is_finished(&self) -> bool {
        self.flight.link.is_none()
    }
}

impl Stream for Relay {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if !this.is_finished()
            && let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            this.ended = true;
            return Poll::Ready(Some(Err(this.flight.past_deadline(this.tokens))));
        }
        let failure = match Pin::new(&mut this.upstream).poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(message))) => match this.observe(&message) {
                Ok(()) => return Poll::Ready(Some(Ok(message))),
                Err(cause) => Some(cause),
            },
            Poll::Ready(Some(Err(cause))) => Some(cause),
            Poll::Ready(None) => None,
        };
        this.ended = true;
        if this.is_finished() {
            return Poll::Ready(None);
        }
        let cut = || Status::unavailable(format!("the stream ended after {} tokens", this.tokens));
        let cause = failure.unwrap_or_else(cut);
        Poll::Ready(Some(Err(this.flight.failed(&cause))))
    }
}
