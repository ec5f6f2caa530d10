//! The listener for Envoy.

use super::choose::Picker;
use super::endpoint::Endpoints;
use super::exchange::run;
use crate::ext_proc_config::ExtProcConfig;
use crate::front::grpc::{FrontError, Health};
use crate::front::http::loaded;
use crate::state::RouterState;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use warmpath_proto::ext_proc::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use warmpath_proto::ext_proc::{ProcessingRequest, ProcessingResponse};
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::probes::{self, Listener};
use warmpath_proto::sockets::Listener as Sockets;

/// Messages to Envoy that may wait: enough for a body in chunks.
const WAITING: usize = 64;
/// Envoy's messages have at most some 64 KiB of a body; headers come on top.
const MESSAGE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
struct Service(Arc<Picker>);

#[tonic::async_trait]
impl ExternalProcessor for Service {
    type ProcessStream =
        Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send + 'static>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(Arc::clone(&self.0), request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Serves Envoy until `shutdown`.
pub async fn serve(
    state: &Arc<RouterState>,
    config: ExtProcConfig,
    listener: impl Into<Sockets>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), FrontError> {
    let (tokenizer, sessions) = loaded(&state.config.http)?;
    let picker = Arc::new(Picker {
        state: Arc::clone(state),
        tokenizer: Arc::new(tokenizer),
        sessions,
        endpoints: Endpoints::new(config.port),
        told_of_mode: AtomicBool::new(false),
    });
    let (reporter, routes) = probes::routes(Listener::Picker)?;
    let health = Health::new(reporter, Listener::Picker).follow(state.status.subscribe());
    let service = ExternalProcessorServer::new(Service(Arc::clone(&picker)))
        .max_decoding_message_size(MESSAGE_BYTES);
    let listening = Listening::fleet(routes.add_service(service).prepare(), None);
    let serving = listening::serve(listener, listening, shutdown);
    tokio::select! {
        biased;
        () = serving => {}
        // These end with the router's status only.
        () = health => {}
        () = picker.endpoints.follow(state) => {}
    }
    Ok(())
}
