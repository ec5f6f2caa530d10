//! One request on its way: checked and hashed, decided under the heart's lock, passed on with a
//! salt and an id of our own, its answer streamed back byte for byte.

use crate::flight::Flight;
use crate::hints;
use crate::link::Link;
use crate::metrics::{self, Stage};
use crate::prefill;
use crate::shared::{Shared, Terms};
use crate::tenants::Tenant;
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
use warmpath_core::id::{RequestId, SessionId};
use warmpath_core::request::Request;
use warmpath_core::routing::input::RejectReason;
use warmpath_core::sharing::SharingScope;
use warmpath_proto::generate::{self, Accepted};
use warmpath_proto::raw::{self, Bytes, Peek};
use warmpath_proto::scope::{Circle, ScopeHint};
use warmpath_proto::{status, transport};

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
            let held = tokio::select! {
                held = first => held,
                () = until(deadline) => return Err(flight.past_deadline(0)),
            };
            let computed = held.is_some();
            request.kv.get_or_insert_default().kv_transfer_params = held;
            // Whence to fetch was for the worker that computed the prompt; names are the same to both.
            request.kv_hints = hints::of_scope(&scope, &flight.upstream_id);
            flight.hand_over(decode, computed)?
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

    let response = tokio::select! {
        response = client.generate_stream(upstream) => response,
        why = link.lost() => return Err(flight.lost(&why)),
        () = until(deadline) => return Err(flight.past_deadline(0)),
    };
    let upstream = response.map_err(|cause| flight.failed(&cause))?.into_inner();
    flight.reached_worker();
    let deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
    let block_size = terms.block_size;
    let relay = Relay { upstream, deadline, flight, tokens: 0, ended: false, block_size };
    Ok(Started { relay, link, router_ns: (issued - begun).as_nanos() as u64 })
}

/// Returns when the client gives up, if it ever does.
async fn until(deadline: Option<WallInstant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
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
    let secret = shared.config.secret();
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
        self.flight.name()
    }

    const fn is_finished(&self) -> bool {
        self.flight.is_over()
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
