//! Which worker a request goes to.

use super::endpoint::Endpoints;
use super::paths::Wanted;
use super::words::Head;
use crate::front::grpc::{incoming, of_error, place, tenant_of};
use crate::metrics;
use crate::relay::{self, Picked};
use crate::state::RouterState;
use crate::tenants::Tenant;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::codegen::http::HeaderName;
use warmpath_core::id::WorkerId;
use warmpath_openai::ask::Ask;
use warmpath_openai::problem::Problem;
use warmpath_openai::request::{Body, Kind};
use warmpath_openai::served::session;
use warmpath_openai::tokenizer::Tokenizer;
use warmpath_proto::raw::Bytes;
use warmpath_proto::traces::TraceContext;

/// What all exchanges share.
#[derive(Debug)]
pub struct Picker {
    pub state: Arc<RouterState>,
    pub tokenizer: Arc<Tokenizer>,
    /// Headers that name a session.
    pub sessions: Vec<HeaderName>,
    pub endpoints: Endpoints,
    /// The log has it that Envoy does not stream answers through the router.
    pub told_of_mode: AtomicBool,
}

/// A request that may go on. Its body has not come yet.
#[derive(Debug)]
pub enum Admitted {
    /// The rule chooses its worker.
    ByRule(Kind, Arc<Tenant>, OwnedSemaphorePermit),
    /// Any worker can serve it. A probe has no place.
    Any(Option<OwnedSemaphorePermit>),
}

/// Where a request goes.
#[derive(Debug)]
pub struct Choice {
    pub endpoint: Arc<str>,
    /// The worker there.
    pub worker: WorkerId,
    /// What is known of a request that asks for an answer. It is booked unless the rule's choice was not in the subset.
    pub picked: Option<Picked>,
    /// What replaces the body, if anything does.
    pub body: Option<Vec<u8>>,
    /// Its tenant's place. It ends with the answer.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Picker {
    /// Finds whose a request is, then room, as other fronts do: what is refused costs little.
    pub fn admit(&self, head: &Head) -> Result<Admitted, Problem> {
        self.admitted(head).map_err(|status| Problem::of(&status))
    }

    fn admitted(&self, head: &Head) -> Result<Admitted, Status> {
        let (state, wanted) = (&self.state, Wanted::of(&head.path));
        let open = || state.open().map(drop).map_err(|error| of_error(&error));
        if wanted == Wanted::Health {
            open()?;
            return Ok(Admitted::Any(None));
        }
        let tenant = tenant_of(&state.tenants, &head.headers)?;
        if wanted == Wanted::Other && state.tenants.without_tokens().is_none() {
            let path: String = head.path.chars().take(100).collect();
            return Err(Status::not_found(format!("no such path: {path}")));
        }
        let place = place(state, &tenant)?;
        open()?;
        Ok(match wanted {
            Wanted::Answer(kind) => Admitted::ByRule(kind, tenant, place),
            Wanted::Health | Wanted::Harmless | Wanted::Other => Admitted::Any(Some(place)),
        })
    }

    /// A request gets no worker. Probes are not counted.
    pub fn refused(&self, head: &Head, problem: &Problem) {
        if Wanted::of(&head.path) != Wanted::Health {
            metrics::refused(&self.state.router.policy(), format!("{:?}", problem.grpc_code()));
        }
    }

    /// Chooses for a whole request. `subset`: the endpoints that may be chosen.
    pub async fn choose(
        &self,
        admitted: Admitted,
        (head, body): (&Head, &[u8]),
        subset: Option<&[String]>,
        received: Instant,
    ) -> Result<Choice, Problem> {
        match admitted {
            Admitted::ByRule(kind, tenant, place) => {
                let mut ask = Ask::new(Body::read(body)?, kind, &self.tokenizer).await?;
                self.by_rule(&mut ask, (tenant, place), (head, body), subset, received).await
            }
            Admitted::Any(place) => {
                self.state.open().map_err(|error| Problem::of(&of_error(&error)))?;
                self.any(place, subset).await
            }
        }
    }

    async fn by_rule(
        &self,
        ask: &mut Ask,
        (tenant, place): (Arc<Tenant>, OwnedSemaphorePermit),
        (head, body): (&Head, &[u8]),
        subset: Option<&[String]>,
        received: Instant,
    ) -> Result<Choice, Problem> {
        let state = &self.state;
        let terms = state.open().map_err(|error| Problem::of(&of_error(&error)))?;
        let mut request = std::mem::take(&mut ask.request);
        let session = session(&head.headers, &self.sessions)?.map(str::to_owned);
        request.session_id = session.or(ask.cache_key.take()).filter(|id| !id.is_empty());
        let incoming = incoming(request, Bytes::new(), &terms.model, tenant, received);
        let mut incoming = incoming.map_err(|status| Problem::of(&status))?;
        incoming.trace = TraceContext::of_headers(&head.headers);
        let prompt = incoming.prompt.len();
        let picked = relay::pick(state, &terms, incoming).await;
        let mut picked = picked.map_err(|error| Problem::of(&of_error(&error)))?;
        tracing::debug!(worker = picked.link.name, prompt, "picked");
        let salted = Some(salted(body, &picked.salt)?);
        let Some(endpoint) = self.endpoints.of(&picked.link).await else {
            return Err(Problem::of(&Status::unavailable("the worker's name has no address")));
        };
        if is_in(subset, &endpoint) {
            let (worker, place) = (picked.link.id, Some(place));
            return Ok(Choice { endpoint, worker, picked: Some(picked), body: salted, place });
        }
        // The rule knows of no subset. Its choice is taken back.
        picked.elsewhere("its worker is not in the gateway's subset");
        let choice = self.any(Some(place), subset).await?;
        Ok(Choice { picked: Some(picked), body: salted, ..choice })
    }

    /// The worker with the fewest requests that may be chosen.
    async fn any(
        &self,
        place: Option<OwnedSemaphorePermit>,
        subset: Option<&[String]>,
    ) -> Result<Choice, Problem> {
        let state = &self.state;
        let mut by_load: Vec<_> = state.router.fleet(|fleet| {
            let open = fleet.workers().filter(|(_, worker)| worker.takes_requests());
            open.map(|(id, worker)| (worker.active(), id)).collect()
        });
        by_load.sort_unstable();
        let known = self.endpoints.known();
        for (_, worker) in by_load {
            let endpoint = match known.get(&worker) {
                Some(endpoint) => Arc::clone(endpoint),
                None => {
                    let Some(link) = state.roster.get(worker) else { continue };
                    let Some(endpoint) = self.endpoints.of(&link).await else { continue };
                    endpoint
                }
            };
            if is_in(subset, &endpoint) {
                return Ok(Choice { endpoint, worker, picked: None, body: None, place });
            }
        }
        let why = match subset {
            None => "no worker takes requests".to_owned(),
            Some(subset) => format!("none of the {} endpoints of the subset", subset.len()),
        };
        Err(Problem::of(&Status::unavailable(why)))
    }
}

fn is_in(subset: Option<&[String]>, endpoint: &str) -> bool {
    subset.is_none_or(|subset| subset.iter().any(|one| one == endpoint))
}

/// The body with the salt that keeps tenants apart in the worker's cache. A client's own salt is a part of it.
fn salted(body: &[u8], salt: &str) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: serde_json::Error| Problem::new(400, error.to_string());
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(unreadable)?;
    fields.insert("cache_salt".to_owned(), salt.into());
    serde_json::to_vec(&fields).map_err(unreadable)
}
