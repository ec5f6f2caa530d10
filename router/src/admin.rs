//! The operator's service. What it changes goes through the heart like everything else, so that it
//! stands in the record; what it only reads changes nothing.

use crate::link::{Link, Standing};
use crate::relay;
use crate::roster::AddError;
use crate::shared::Shared;
use crate::subscribe;
use crate::tenants::Tenant;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status};
use warmpath_core::block::TokenBlocks;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_core::routing::fleet::WorkerState;
use warmpath_core::routing::input::{Input, RejectReason};
use warmpath_core::routing::policy::{PolicyConfig, PolicyError};
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_server::RouterAdmin;
use warmpath_proto::v1::{
    AddWorkerRequest, AddWorkerResponse, DrainWorkerRequest, DrainWorkerResponse, ExplainRequest,
    ExplainResponse, GetPolicyRequest, GetPolicyResponse, ListWorkersRequest, ListWorkersResponse,
    RemoveWorkerRequest, RemoveWorkerResponse, SetPolicyRequest, SetPolicyResponse,
    UndrainWorkerRequest, UndrainWorkerResponse, Worker, WorkerStanding,
};
use warmpath_proto::{admin, convert, generate, status};

/// How often a removal looks whether the worker's requests have ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// The longest that a removal may wait, so that an instant can hold it.
const LONGEST_WAIT_MS: u64 = 24 * 3_600 * 1_000;

/// A router's control surface.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Shared>);

impl Admin {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let last = shared.config.explain_last;
        shared.heart.keep_explanations(last);
        shared.dispatched.keep(last);
        Self(Arc::clone(shared))
    }

    fn link(&self, number: u32) -> Result<Arc<Link>, Status> {
        let id = WorkerId(number);
        let unknown = || Status::not_found(format!("number: {id} is no worker of this router"));
        self.0.roster.get(id).ok_or_else(unknown)
    }

    fn set_drained(&self, number: u32, drained: bool) -> Result<Worker, Status> {
        let link = self.link(number)?;
        let leaving = || link.leaving.load(Ordering::Acquire);
        let refused = || Status::failed_precondition(format!("{} is being removed", link.name));
        if leaving() {
            return Err(refused());
        }
        self.0.heart.tell(match drained {
            true => Input::Drained(link.id),
            false => Input::Undrained(link.id),
        });
        // A removal that began meanwhile has the last word.
        if leaving() {
            self.0.heart.tell(Input::Drained(link.id));
            return Err(refused());
        }
        tracing::info!(worker = link.name, url = link.url, drained, "by the operator");
        Ok(self.describe(&link))
    }

    fn describe(&self, link: &Link) -> Worker {
        let now = self.0.heart.clock().now();
        self.0.heart.fleet(|fleet| {
            let mut worker = Worker {
                number: link.id.0,
                url: link.url.clone(),
                drained: fleet.is_drained(link.id),
                ..Default::default()
            };
            if let Some(state) = fleet.worker(link.id) {
                worker.epoch = Some(state.info.epoch);
                worker.model = self.0.terms.get().map_or_else(String::new, |t| t.model.clone());
                worker.block_size = state.info.block_size;
                worker.total_blocks = state.info.total_blocks;
                worker.active_requests = state.active();
                worker.backlog_s = state.backlog(now).as_secs_f64();
                worker.load = state.load().map(|(_, load)| convert::load_to_wire(load));
                worker.why = why_draining(link, state);
                worker.set_standing(match state.takes_requests() {
                    true => WorkerStanding::Joined,
                    false => WorkerStanding::Draining,
                });
                return worker;
            }
            let (standing, why) = match link.standing() {
                Standing::Refused(why) => (WorkerStanding::Refused, why),
                Standing::Away(why) => (WorkerStanding::Lost, why),
                // It is on its way into the fleet or out of it.
                Standing::Joined => (WorkerStanding::Lost, String::new()),
            };
            worker.set_standing(standing);
            worker.why = why;
            worker
        })
    }

    /// None: the operator names no tenant.
    fn tenant(&self, name: &str) -> Result<Option<&Arc<Tenant>>, Status> {
        let unknown = || Status::not_found(format!("tenant: '{name}' is no tenant of this router"));
        match name {
            "" => Ok(None),
            name => self.0.tenants.named(name).ok_or_else(unknown).map(Some),
        }
    }

    /// Two tenants may call their requests alike; then one must be named.
    fn explain_past(&self, name: &str, tenant: &str) -> Result<ExplainResponse, Status> {
        let last = self.0.config.explain_last;
        let unknown = || {
            let why = format!("request_id: '{name}' is not among the last {last} decisions");
            Status::not_found(why)
        };
        let mut of_name = self.0.dispatched.find(name);
        if let Some(tenant) = self.tenant(tenant)? {
            of_name.retain(|id, _| *id == tenant.id);
        }
        if of_name.len() > 1 {
            let tenants = self.0.tenants.names(of_name.keys().copied());
            return Err(Status::invalid_argument(format!(
                "tenant: missing, expected one of: {tenants}; each has a request of that name"
            )));
        }
        let id = of_name.into_values().next().ok_or_else(unknown)?;
        let explanation = self.0.heart.explanation(id).ok_or_else(unknown)?;
        Ok(admin::explanation_to_wire(name, &explanation))
    }

    fn explain_other(&self, bytes: &[u8], tenant: &str) -> Result<ExplainResponse, Status> {
        let shared = &self.0;
        let missing =
            || Status::invalid_argument("tenant: missing, expected one: there are several");
        let tenant = self.tenant(tenant)?.or(shared.tenants.only()).ok_or_else(missing)?;
        let mut request = admin::request_from_wire(bytes)?;
        let none = RejectReason::NoEligibleWorker { joined: 0, draining: 0 };
        let terms = shared.terms.get().ok_or_else(|| status::from_reject(none))?;
        let accepted = generate::accept(&mut request, &terms.model)?;
        // The number it would have if it came now: lots are drawn by it.
        let id = RequestId(shared.next_id.load(Ordering::Relaxed));
        // Of a scope of its own it would find nothing, as it will when it comes.
        let named = relay::name(shared, terms, tenant, &accepted, "explained");
        let request = relay::describe(shared, id, tenant, named.prompt, &accepted, None);
        let lookup = |prompt: &TokenBlocks, out: &mut _| shared.index().overlap(prompt, out);
        let explanation = shared.heart.explain(&request, &lookup).map_err(status::from_reject)?;
        Ok(admin::explanation_to_wire(&accepted.request_id, &explanation))
    }
}

fn why_draining(link: &Link, state: &WorkerState) -> String {
    let reasons = [
        (link.leaving.load(Ordering::Acquire), "being removed"),
        (state.draining, "by itself"),
        (state.drained, "by the operator"),
    ];
    let reasons: Vec<_> = reasons.iter().filter(|(is, _)| *is).map(|(_, why)| *why).collect();
    reasons.join(", ")
}

/// Drains, waits, forgets. How many requests were not done by `until`.
async fn remove(shared: Arc<Shared>, link: Arc<Link>, until: Instant) -> u32 {
    shared.heart.tell(Input::Drained(link.id));
    while shared.busy_with(link.id) > 0 && Instant::now() < until {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    let left = shared.busy_with(link.id);
    shared.roster.remove(link.id).await;
    subscribe::strike_out(&shared, &link);
    left
}

#[tonic::async_trait]
impl RouterAdmin for Admin {
    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let workers = self.0.roster.links().iter().map(|link| self.describe(link)).collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn add_worker(
        &self,
        request: Request<AddWorkerRequest>,
    ) -> Result<Response<AddWorkerResponse>, Status> {
        let url = request.into_inner().url;
        let id = self.0.roster.add(&self.0, &url).map_err(|error| match error {
            AddError::Url(_) => Status::invalid_argument(error.to_string()),
            AddError::Known { .. } => Status::already_exists(error.to_string()),
            AddError::Full => Status::resource_exhausted(error.to_string()),
        })?;
        tracing::info!(worker = %id, url, "added by the operator");
        Ok(Response::new(AddWorkerResponse { number: id.0 }))
    }

    /// Goes on when the caller goes away: half removed would be neither here nor there.
    async fn remove_worker(
        &self,
        request: Request<RemoveWorkerRequest>,
    ) -> Result<Response<RemoveWorkerResponse>, Status> {
        let RemoveWorkerRequest { number, timeout_ms } = request.into_inner();
        let link = self.link(number)?;
        if link.leaving.swap(true, Ordering::AcqRel) {
            return Err(Status::failed_precondition(format!("{} is being removed", link.name)));
        }
        let wait = timeout_ms.unwrap_or(self.0.config.drain_timeout_ms).min(LONGEST_WAIT_MS);
        let until = Instant::now() + Duration::from_millis(wait);
        let removed = tokio::spawn(remove(Arc::clone(&self.0), link, until)).await;
        let left = removed.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(RemoveWorkerResponse { left }))
    }

    async fn drain_worker(
        &self,
        request: Request<DrainWorkerRequest>,
    ) -> Result<Response<DrainWorkerResponse>, Status> {
        let worker = Some(self.set_drained(request.into_inner().number, true)?);
        Ok(Response::new(DrainWorkerResponse { worker }))
    }

    async fn undrain_worker(
        &self,
        request: Request<UndrainWorkerRequest>,
    ) -> Result<Response<UndrainWorkerResponse>, Status> {
        let worker = Some(self.set_drained(request.into_inner().number, false)?);
        Ok(Response::new(UndrainWorkerResponse { worker }))
    }

    async fn get_policy(
        &self,
        _: Request<GetPolicyRequest>,
    ) -> Result<Response<GetPolicyResponse>, Status> {
        let policy = self.0.heart.policy();
        Ok(Response::new(GetPolicyResponse {
            policy: policy.name().to_owned(),
            rule: policy.rule().to_owned(),
            known: PolicyConfig::ALL.iter().map(|policy| policy.name().to_owned()).collect(),
        }))
    }

    async fn set_policy(
        &self,
        request: Request<SetPolicyRequest>,
    ) -> Result<Response<SetPolicyResponse>, Status> {
        let name = request.into_inner().policy;
        let policy = name
            .parse()
            .map_err(|error: PolicyError| Status::invalid_argument(format!("policy: {error}")))?;
        let before = self.0.heart.policy();
        self.0.heart.tell(Input::SetPolicy(policy));
        tracing::info!(%policy, %before, "policy set by the operator");
        Ok(Response::new(SetPolicyResponse { before: before.name().to_owned() }))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let ExplainRequest { about, tenant } = request.into_inner();
        let explained = match about {
            Some(About::RequestId(name)) => self.explain_past(&name, &tenant)?,
            Some(About::GenerateRequest(bytes)) => self.explain_other(&bytes, &tenant)?,
            None => {
                let why = "about: missing, expected request_id or generate_request";
                return Err(Status::invalid_argument(why));
            }
        };
        Ok(Response::new(explained))
    }
}
