//! `warmpath.v1.Siblings`: what this router tells its siblings, on a listener of its own.

use super::stream::Telling;
use crate::front::grpc::FrontError;
use crate::state::RouterState;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use warmpath_core::routing::siblings::HEARTBEAT_MS;
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::probes::{self, Listener};
use warmpath_proto::sockets::Listener as Sockets;
use warmpath_proto::v1::siblings_server::{Siblings, SiblingsServer};
use warmpath_proto::v1::{FollowRequest, SiblingHello};

#[derive(Clone, Debug)]
struct Service(Arc<RouterState>);

/// Serves siblings until `shutdown`.
pub async fn serve(
    state: Arc<RouterState>,
    listener: impl Into<Sockets>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), FrontError> {
    let tls = state.config.siblings.tls.as_ref().map(|files| files.load()).transpose();
    let tls = tls.map_err(FrontError::SiblingsTls)?;
    let (_, routes) = probes::routes(Listener::Siblings)?;
    let service = SiblingsServer::new(Service(Arc::clone(&state)));
    let listening = Listening::fleet(routes.add_service(service).prepare(), tls);
    tokio::select! {
        biased;
        () = listening::serve(listener, listening, shutdown) => {}
        never = beat(&state) => match never {},
    }
    Ok(())
}

/// Says each second that this router is there.
async fn beat(state: &RouterState) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS)).await;
        state.router.teller().beat();
    }
}

#[tonic::async_trait]
impl Siblings for Service {
    type FollowStream = Telling;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Telling>, Status> {
        let state = &self.0;
        let none = || Status::unavailable("no worker has joined yet");
        let terms = state.agreement.terms().ok_or_else(none)?;
        let naming = state.naming();
        let same_names = request.get_ref().naming == naming;
        let many = || Status::resource_exhausted("too many routers follow this one");
        let queue = state.router.teller().follow().ok_or_else(many)?;
        let hello = SiblingHello {
            epoch: state.instance,
            model: terms.model.clone(),
            block_size: terms.block_size,
            speedup: state.config.speedup,
            naming,
        };
        let telling = Telling::new(Arc::clone(state), terms, hello, same_names, queue);
        Ok(Response::new(telling))
    }
}
