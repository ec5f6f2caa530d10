//! Why a request was sent where it was, or where it would be sent.

use crate::front::grpc::{incoming, of_error};
use crate::relay::naming;
use crate::state::RouterState;
use crate::tenants::Tenant;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::Status;
use warmpath_core::id::{RequestId, WorkerId};
use warmpath_proto::clock::now;
use warmpath_proto::raw::Bytes;
use warmpath_proto::v1::ExplainResponse;
use warmpath_proto::{admin, status};

/// A past decision, by its client's name for the request. Two tenants may use the same name; then
/// `tenant` must name the tenant.
pub fn past(state: &RouterState, name: &str, tenant: &str) -> Result<ExplainResponse, Status> {
    let last = state.config.explain_last;
    let unknown = || {
        let why = format!("request_id: '{name}' is not among the last {last} decisions");
        Status::not_found(why)
    };
    let mut with_name = state.decided.find(name);
    if let Some(tenant) = tenant_named(state, tenant)? {
        with_name.retain(|id, _| *id == tenant.id);
    }
    if with_name.len() > 1 {
        let tenants = state.tenants.names(with_name.keys().copied());
        return Err(Status::invalid_argument(format!(
            "tenant: missing, expected one of: {tenants}; each has a request of that name"
        )));
    }
    let id = with_name.into_values().next().ok_or_else(unknown)?;
    let explanation = state.router.explanation(id).ok_or_else(unknown)?;
    Ok(with_names(state, admin::explanation_to_wire(name, &explanation)))
}

/// What would be decided now about a request that is not sent. `message`: an encoded
/// `GenerateRequest`.
pub fn other(
    state: &RouterState,
    message: Vec<u8>,
    tenant: &str,
) -> Result<ExplainResponse, Status> {
    let missing =
        || Status::invalid_argument("tenant: missing, expected a name: there are several");
    let tenant = tenant_named(state, tenant)?.or(state.tenants.only()).ok_or_else(missing)?;
    let fields = admin::request_from_wire(&message)?;
    let terms = state.terms().map_err(|error| of_error(&error))?;
    let message = Bytes::from(message);
    let incoming = incoming(fields, message, &terms.model, Arc::clone(tenant), now())?;
    // The number it would get if it came now. Policies that choose at random use it.
    let id = RequestId(state.next_id.load(Ordering::Relaxed));
    // In the scope `none` no other request has this name, so the prompt hits nothing, as in a real
    // call.
    let named = naming::name(state, &terms, &incoming, "explained");
    let request = naming::describe(state, id, &incoming, named.prompt);
    let explanation = state.router.explain(&request).map_err(status::from_reject)?;
    Ok(with_names(state, admin::explanation_to_wire(&incoming.name, &explanation)))
}

/// Adds the names that the workers gave themselves.
fn with_names(state: &RouterState, mut answer: ExplainResponse) -> ExplainResponse {
    for candidate in &mut answer.candidates {
        if let Some(link) = state.roster.get(WorkerId(candidate.number)) {
            candidate.name = link.given();
        }
    }
    for left_out in &mut answer.left_out {
        if let Some(link) = state.roster.get(WorkerId(left_out.number)) {
            left_out.name = link.given();
        }
    }
    answer
}

/// None: the operator names no tenant.
fn tenant_named<'a>(state: &'a RouterState, name: &str) -> Result<Option<&'a Arc<Tenant>>, Status> {
    let unknown = || Status::not_found(format!("tenant: '{name}' is no tenant of this router"));
    match name {
        "" => Ok(None),
        name => state.tenants.named(name).ok_or_else(unknown).map(Some),
    }
}
