//! The tenant of a call, from its metadata or headers: `authorization: Bearer TOKEN`.

use super::status::refused;
use crate::state::RouterState;
use crate::tenants::{Tenant, Tenants};
use std::sync::Arc;
use tonic::codegen::http::HeaderMap;
use tonic::service::interceptor::InterceptedService;
use tonic::{Extensions, Request, Status};

/// A service whose calls have a tenant. A call without one is refused before its message is read.
pub fn identified<S>(
    state: &Arc<RouterState>,
    service: S,
) -> InterceptedService<S, impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + use<S>>
{
    let state = Arc::clone(state);
    InterceptedService::new(service, move |mut request: Request<()>| {
        match tenant_of(&state.tenants, request.metadata().as_ref()) {
            Ok(tenant) => {
                request.extensions_mut().insert(tenant);
                Ok(request)
            }
            Err(status) => Err(refused(&state, status)),
        }
    })
}

/// The tenant that [`identified`] found.
pub fn sender(extensions: &Extensions) -> Result<&Arc<Tenant>, Status> {
    extensions.get().ok_or_else(|| Status::unauthenticated("the call has no tenant"))
}

/// The tenant of a call or of an HTTP request with these headers.
pub fn tenant_of(tenants: &Tenants, headers: &HeaderMap) -> Result<Arc<Tenant>, Status> {
    let given = headers.get_all("authorization").iter().map(|value| value.to_str().ok());
    tenants.authorized(given).map_err(Status::unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::tenants::TenantConfig;

    #[test]
    fn only_a_bearer_token_names_a_tenant() {
        let tenant = |(name, token): (&str, &str)| TenantConfig {
            name: name.to_owned(),
            token: Secret::new(token),
            group: None,
        };
        let all = [("a", "token-of-tenant-a"), ("b", "token-of-tenant-b")].map(tenant);
        let tenants = Tenants::new(&all, "default", "secret");
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", value.parse().unwrap());
            }
            tenant_of(&tenants, &headers).map(|tenant| tenant.id.0).map_err(|status| status.code())
        };
        assert_eq!(with(&["Bearer token-of-tenant-a"]), Ok(0));
        assert_eq!(with(&["bearer token-of-tenant-b"]), Ok(1));
        let refused: [&[&str]; 8] = [
            &[],
            &["token-of-tenant-a"],
            &["Basic token-of-tenant-a"],
            &["Bearer token-of-tenant-"],
            &["Bearer token-of-tenant-ab"],
            &["Bearer  token-of-tenant-a"],
            &["Bearer "],
            &["Bearer token-of-tenant-a", "Bearer token-of-tenant-b"],
        ];
        for values in refused {
            assert_eq!(with(values), Err(tonic::Code::Unauthenticated), "{values:?}");
        }
        let alone = Tenants::new(&[], "default", "");
        assert_eq!(tenant_of(&alone, &HeaderMap::new()).unwrap().name, "default");
    }
}
