//! The operator's calls, on a listener of their own.

use super::{describe, explain};
use crate::fleet::roster::AddError;
use crate::fleet::worker::{Standing, WorkerLink};
use crate::following;
use crate::front::grpc::FrontError;
use crate::state::RouterState;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::{Request, Response, Status};
use warmpath_core::id::WorkerId;
use warmpath_core::routing::input::Input;
use warmpath_core::routing::policy::{PolicyConfig, PolicyError};
use warmpath_proto::clock::now;
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::probes::{self, Listener};
use warmpath_proto::sockets::Listener as Sockets;
use warmpath_proto::transport::MAX_GENERATE_BYTES;
use warmpath_proto::v1::explain_request::About;
use warmpath_proto::v1::router_admin_server::{RouterAdmin, RouterAdminServer};
use warmpath_proto::v1::{
    AddWorkerRequest, AddWorkerResponse, DrainWorkerRequest, DrainWorkerResponse, ExplainRequest,
    ExplainResponse, GetPolicyRequest, GetPolicyResponse, ListEventsRequest, ListEventsResponse,
    ListShadowsRequest, ListShadowsResponse, ListSiblingsRequest, ListSiblingsResponse,
    ListWorkersRequest, ListWorkersResponse, RemoveWorkerRequest, RemoveWorkerResponse,
    SetPolicyRequest, SetPolicyResponse, UndrainWorkerRequest, UndrainWorkerResponse, Worker,
};

/// The longest wait of a removal. An `Instant` can hold it.
const LONGEST_WAIT_MS: u64 = 24 * 3_600 * 1_000;

/// The operator's calls for one router.
#[derive(Clone, Debug)]
pub struct Admin(Arc<RouterState>);

/// Serves the operator's calls until `shutdown`.
pub async fn serve(
    admin: Admin,
    listener: impl Into<Sockets>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), FrontError> {
    let tls = admin.0.config.admin_tls.as_ref().map(|files| files.load()).transpose();
    let tls = tls.map_err(FrontError::AdminTls)?;
    let admin = RouterAdminServer::new(admin).max_decoding_message_size(MAX_GENERATE_BYTES);
    let (_, routes) = probes::routes(Listener::Admin)?;
    let listening = Listening::fleet(routes.add_service(admin).prepare(), tls);
    listening::serve(listener, listening, shutdown).await;
    Ok(())
}

impl Admin {
    /// From now on decisions are kept, so that they can be explained.
    pub(crate) fn new(state: &Arc<RouterState>) -> Self {
        let last = state.config.explain_last;
        state.router.keep_explanations(last);
        state.decided.keep(last);
        Self(Arc::clone(state))
    }

    fn link(&self, number: u32) -> Result<Arc<WorkerLink>, Status> {
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
        if let Standing::Same(why) = link.standing() {
            let why = format!("{} is {why}; ask for that one", link.name);
            return Err(Status::failed_precondition(why));
        }
        self.0.router.tell(match drained {
            true => Input::Drained(link.id),
            false => Input::Undrained(link.id),
        });
        // A removal may have begun meanwhile. It wins: the worker stays drained.
        if leaving() {
            self.0.router.tell(Input::Drained(link.id));
            return Err(refused());
        }
        tracing::info!(worker = link.title(), url = link.url, drained, "by the operator");
        let what = if drained { "drained" } else { "undrained" };
        self.0.events.worker(what, &link, "by the operator");
        Ok(describe::worker(&self.0, &link))
    }
}

#[tonic::async_trait]
impl RouterAdmin for Admin {
    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let links = self.0.roster.links();
        let workers = links.iter().map(|link| describe::worker(&self.0, link)).collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn add_worker(
        &self,
        request: Request<AddWorkerRequest>,
    ) -> Result<Response<AddWorkerResponse>, Status> {
        let url = request.into_inner().url;
        let id = following::add_worker(&self.0, &url).map_err(|error| match error {
            AddError::Url(_) => Status::invalid_argument(error.to_string()),
            AddError::Known { .. } => Status::already_exists(error.to_string()),
            AddError::Full => Status::resource_exhausted(error.to_string()),
        })?;
        tracing::info!(worker = %id, url, "added by the operator");
        if let Some(link) = self.0.roster.get(id) {
            self.0.events.worker("added", &link, &url);
        }
        Ok(Response::new(AddWorkerResponse { number: id.0 }))
    }

    /// Goes on if the caller goes away: a removal is done whole or not at all.
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
        let until = now() + Duration::from_millis(wait);
        let state = Arc::clone(&self.0);
        let removing = async move { following::remove_worker(&state, &link, until).await };
        let removed = tokio::spawn(removing).await;
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
        let policy = self.0.router.policy();
        Ok(Response::new(GetPolicyResponse {
            policy: policy.label.to_string(),
            rule: policy.config.rule().to_owned(),
            known: PolicyConfig::ALL.iter().map(|policy| policy.name().to_owned()).collect(),
        }))
    }

    async fn set_policy(
        &self,
        request: Request<SetPolicyRequest>,
    ) -> Result<Response<SetPolicyResponse>, Status> {
        let spelling = request.into_inner().policy;
        let invalid = |error: PolicyError| Status::invalid_argument(error.to_string());
        let policy: PolicyConfig = spelling.parse().map_err(invalid)?;
        let before = self.0.router.policy();
        self.0.router.tell(Input::SetPolicy(policy));
        tracing::info!(%policy, before = &*before.label, "policy set by the operator");
        self.0.events.fleet("policy", &format!("{policy}, {} before", before.label));
        Ok(Response::new(SetPolicyResponse { before: before.label.to_string() }))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let events = self.0.events.after(request.into_inner().after);
        Ok(Response::new(ListEventsResponse { events }))
    }

    async fn list_siblings(
        &self,
        _: Request<ListSiblingsRequest>,
    ) -> Result<Response<ListSiblingsResponse>, Status> {
        Ok(Response::new(describe::siblings(&self.0)))
    }

    async fn list_shadows(
        &self,
        _: Request<ListShadowsRequest>,
    ) -> Result<Response<ListShadowsResponse>, Status> {
        Ok(Response::new(describe::shadows(&self.0)))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let ExplainRequest { about, tenant } = request.into_inner();
        let explained = match about {
            Some(About::RequestId(name)) => explain::past(&self.0, &name, &tenant)?,
            Some(About::GenerateRequest(message)) => explain::other(&self.0, message, &tenant)?,
            None => {
                let why = "about: missing, expected request_id or generate_request";
                return Err(Status::invalid_argument(why));
            }
        };
        Ok(Response::new(explained))
    }
}
