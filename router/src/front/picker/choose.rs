//! Which worker a request goes to.

use super::endpoint::endpoint;
use super::words::Head;
use crate::fleet::worker::{Standing, WorkerLink};
use crate::front::grpc::{incoming, of_error, place};
use crate::metrics;
use crate::relay::{self, Picked};
use crate::state::RouterState;
use crate::tenants::Tenant;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::codegen::http::HeaderName;
use warmpath_openai::ask::Ask;
use warmpath_openai::problem::Problem;
use warmpath_openai::request::{Body, Kind};
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
    /// The port of the workers' HTTP.
    pub port: u16,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Choice {
    pub endpoint: String,
    /// The booking of a request that asks for an answer. None: any worker could serve it, or the rule's choice was
    /// not in the subset.
    pub picked: Option<Picked>,
    /// What replaces the body, if anything does.
    pub body: Option<Vec<u8>>,
    /// Its tenant's place. It ends with the answer.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Picker {
    /// Chooses for a whole request. `subset`: the endpoints that may be chosen.
    pub async fn choose(
        &self,
        head: &Head,
        body: &[u8],
        subset: Option<&[String]>,
        received: Instant,
    ) -> Result<Choice, Problem> {
        let kind = match head.path.as_str() {
            "/v1/completions" => Kind::Completion,
            "/v1/chat/completions" => Kind::Chat,
            _ => return self.any(None, subset).await,
        };
        let chosen = self.by_rule(kind, head, body, subset, received).await;
        chosen.map_err(|problem| self.counted(problem))
    }

    async fn by_rule(
        &self,
        kind: Kind,
        head: &Head,
        body: &[u8],
        subset: Option<&[String]>,
        received: Instant,
    ) -> Result<Choice, Problem> {
        let state = &self.state;
        let terms = state.open().map_err(|error| Problem::of(&of_error(&error)))?;
        let tenant = self.tenant(head)?;
        let place = place(state, &tenant).map_err(|status| Problem::of(&status))?;
        let mut ask = Ask::new(Body::read(body)?, kind, &self.tokenizer).await?;
        let mut request = std::mem::take(&mut ask.request);
        let session = self.sessions.iter().find_map(|name| head.headers.get(name)?.to_str().ok());
        let session = session.map(str::to_owned).or(ask.cache_key.take());
        request.session_id = session.filter(|session| !session.is_empty());
        let incoming = incoming(request, Bytes::new(), &terms.model, tenant, received);
        let mut incoming = incoming.map_err(|status| Problem::of(&status))?;
        incoming.trace = TraceContext::of_headers(&head.headers);
        let prompt = incoming.prompt.len();
        let picked = relay::pick(state, &terms, incoming).await;
        let picked = picked.map_err(|error| Problem::of(&of_error(&error)))?;
        tracing::debug!(worker = picked.link.name, prompt, "picked");
        let salted = salted(body, &picked.salt)?;
        let Some(at) = endpoint(&picked.link.url, self.port).await else {
            return Err(Problem::of(&Status::unavailable("the worker's name has no address")));
        };
        if subset.is_none_or(|subset| subset.contains(&at)) {
            let (picked, body) = (Some(picked), Some(salted));
            return Ok(Choice { endpoint: at, picked, body, place: Some(place) });
        }
        // The rule knows of no subset. Its choice is taken back.
        drop(picked);
        let choice = self.any(Some(place), subset).await?;
        Ok(Choice { body: Some(salted), ..choice })
    }

    /// The worker with the fewest requests that may be chosen.
    async fn any(
        &self,
        place: Option<OwnedSemaphorePermit>,
        subset: Option<&[String]>,
    ) -> Result<Choice, Problem> {
        let state = &self.state;
        let mut links = state.roster.links();
        links.retain(|link| link.standing() == Standing::Joined);
        let active = |link: &Arc<WorkerLink>| {
            state.router.fleet(|fleet| {
                let worker = fleet.worker(link.id).filter(|worker| worker.takes_requests());
                worker.map(|worker| (worker.active(), link.id))
            })
        };
        let mut by_load: Vec<_> =
            links.iter().filter_map(|link| Some((active(link)?, link))).collect();
        by_load.sort_unstable_by_key(|&(load, _)| load);
        for (_, link) in by_load {
            let Some(endpoint) = endpoint(&link.url, self.port).await else { continue };
            if subset.is_none_or(|subset| subset.contains(&endpoint)) {
                return Ok(Choice { endpoint, picked: None, body: None, place });
            }
        }
        let why = match subset {
            None => "no worker takes requests".to_owned(),
            Some(subset) => format!("none of the {} endpoints of the subset", subset.len()),
        };
        Err(Problem::of(&Status::unavailable(why)))
    }

    fn tenant(&self, head: &Head) -> Result<Arc<Tenant>, Problem> {
        let given = head.headers.get_all("authorization").iter().map(|value| value.to_str().ok());
        let tenant = self.state.tenants.authorized(given).map_err(Status::unauthenticated);
        tenant.map_err(|status| Problem::of(&status))
    }

    fn counted(&self, problem: Problem) -> Problem {
        let code = match problem.status {
            429 => "ResourceExhausted",
            401 => "Unauthenticated",
            503 => "Unavailable",
            400..500 => "InvalidArgument",
            _ => "Internal",
        };
        metrics::refused(&self.state.router.policy(), code.to_owned());
        problem
    }
}

/// The body with the salt that keeps tenants apart in the worker's cache. A client's own salt is a part of it.
fn salted(body: &[u8], salt: &str) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: serde_json::Error| Problem::new(400, error.to_string());
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(unreadable)?;
    fields.insert("cache_salt".to_owned(), salt.into());
    serde_json::to_vec(&fields).map_err(unreadable)
}
