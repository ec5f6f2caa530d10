//! What a request leaves in this router while it is under way.
//!
//! However it ends, its [`Flight`] is dropped and leaves nothing behind: no table entry, no booking, and
//! no work on the worker that nobody waits for.

use crate::link::Link;
use crate::metrics::{self, Outcome};
use crate::relay;
use crate::shared::{Place, Shared};
use crate::tenants::Tenant;
use dashmap::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant as WallInstant;
use tonic::Status;
use warmpath_core::block::TokenBlocks;
use warmpath_core::id::{RequestId, TenantId, WorkerId};
use warmpath_core::routing::input::{Action, Decision, Input};
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::generate::Accepted;
use warmpath_proto::raw::Finish;
use warmpath_proto::vllm::finish_info::FinishReason;
use warmpath_proto::{status, tiers, transfer};

/// A request's footprint in this router. Dropping it wipes it out.
#[derive(Debug)]
pub struct Flight {
    shared: Arc<Shared>,
    id: RequestId,
    tenant: Arc<Tenant>,
    /// Its key in the table.
    key: (TenantId, String),
    pub upstream_id: String,
    /// From the dispatch until the end is known.
    link: Option<Arc<Link>>,
    /// Who may still hold the prompt for that one.
    holds: Option<Arc<Link>>,
    /// Who computed the prompt, where that is not who answers.
    computed: Option<Arc<Link>>,
    /// By which it was sent there.
    policy: PolicyConfig,
}

impl Flight {
    pub fn register(
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
        let (link, holds, computed) = (None, None, None);
        Ok(Self { shared, id, tenant, key, upstream_id, link, holds, computed, policy })
    }

    pub fn dispatch(
        &mut self,
        prompt: TokenBlocks,
        accepted: &Accepted,
        deadline: Option<WallInstant>,
    ) -> Result<(Arc<Link>, Decision), Status> {
        let Shared { heart, roster, .. } = &*self.shared;
        let request =
            relay::describe(&self.shared, self.id, &self.tenant, prompt, accepted, deadline);
        let lookup = |prompt: &TokenBlocks, out: &mut _| self.shared.index().overlap(prompt, out);
        let actions = heart.apply(Input::Arrived(request), &lookup);
        let action = actions.into_iter().next().expect("an arrival is decided at once");
        let decision = match action {
            Action::Dispatch { decision, .. } => decision,
            Action::Reject { reason, .. } => return Err(status::from_reject(reason)),
            Action::Hold { .. } => {
                heart.tell(Input::Cancelled(self.id));
                return Err(Status::unavailable(
                    "the policy holds the request, this router does not wait",
                ));
            }
        };
        self.policy = heart.policy();
        self.shared.dispatched.push(&self.key, self.id);
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

    /// The first of two workers is done, whatever came of it: the second is next. `computed`: that the
    /// first one has the prompt.
    pub fn hand_over(&mut self, decode: WorkerId, computed: bool) -> Result<Arc<Link>, Status> {
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
        self.computed = self.holds.clone().filter(|_| computed);
        Ok(link)
    }

    pub fn first_token(&mut self) {
        self.shared.heart.tell(Input::FirstToken(self.id));
    }

    /// The worker's call failed: nobody is left there to abort.
    pub fn failed(&mut self, cause: &Status) -> Status {
        let Some(link) = self.end(Outcome::WorkerFailed) else {
            return Status::internal("a request failed twice");
        };
        self.shared.heart.tell(Input::Cancelled(self.id));
        self.failure(&link, cause)
    }

    fn failure(&self, link: &Link, cause: &Status) -> Status {
        let status = status::from_worker(&format!("{} ({})", link.name, link.url), cause);
        tracing::warn!(worker = link.name, request = self.key.1, %status, "request failed");
        status
    }

    /// The worker left the fleet before it took the request.
    pub fn lost(&mut self, why: &str) -> Status {
        let Some(link) = self.link.clone() else {
            return Status::internal("a request failed twice");
        };
        self.give_up(Outcome::WorkerFailed);
        let why = format!("lost before it took the request: {why}");
        self.failure(&link, &Status::unavailable(why))
    }

    pub fn past_deadline(&mut self, tokens: u32) -> Status {
        self.give_up(Outcome::DeadlineExceeded);
        Status::deadline_exceeded(format!("the deadline passed after {tokens} answer tokens"))
    }

    pub fn finished(&mut self, finish: Finish, block_size: u32) {
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
            // What was found was found where the prompt was computed, as was believed of it.
            let found_by = &self.computed.as_ref().unwrap_or(&link).name;
            metrics::hit(found_by, cached_tokens / block_size);
            if let Some(tokens) = by_origin {
                metrics::pulled(found_by, &tokens.map(|tokens| tokens / block_size));
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
    pub fn reached_worker(&self) {
        let aborted = self.shared.in_flight.get(&self.key).is_some_and(|place| place.aborted);
        if let Some(link) = self.link.as_ref().filter(|_| aborted) {
            self.abort(Arc::clone(link));
        }
    }

    /// By its client's word, or by ours.
    pub fn name(&self) -> &str {
        &self.key.1
    }

    /// Its end is known.
    pub const fn is_over(&self) -> bool {
        self.link.is_none()
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
