//! How many generate calls of one tenant may be under way: one tenant cannot take the router from others.

use super::status::refused;
use crate::state::RouterState;
use crate::tenants::Tenant;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use warmpath_proto::raw::Bytes;
use warmpath_proto::status::with_pushback;

/// When a client may send a call again that found no place.
const AGAIN: Duration = Duration::from_secs(1);

/// A service whose calls have a tenant, with so many places for each.
#[derive(Clone, Debug)]
pub struct Placed<S> {
    service: S,
    state: Arc<RouterState>,
}

/// A service that refuses a tenant's calls while it has too many.
pub fn placed<S>(state: &Arc<RouterState>, service: S) -> Placed<S> {
    Placed { service, state: Arc::clone(state) }
}

/// A place for a call of this tenant.
pub fn place(state: &RouterState, tenant: &Tenant) -> Result<OwnedSemaphorePermit, Status> {
    let place = state.places.take(tenant);
    place.map_err(|why| with_pushback(Status::resource_exhausted(why), AGAIN))
}

type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send + 'static>>;

impl<S> Service<http::Request<Body>> for Placed<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let tenant = request.extensions().get::<Arc<Tenant>>();
        let none = || Err(Status::unauthenticated("the call has no tenant"));
        match tenant.map_or_else(none, |tenant| place(&self.state, tenant)) {
            Ok(place) => {
                let answer = self.service.call(request);
                Box::pin(async move {
                    Ok(answer.await?.map(|body| Body::new(Held { body, _place: place })))
                })
            }
            Err(status) => {
                let status = refused(&self.state, status);
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

impl<S: NamedService> NamedService for Placed<S> {
    const NAME: &'static str = S::NAME;
}

/// An answer that has a place until it ends.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
