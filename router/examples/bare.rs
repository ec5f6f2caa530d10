//! A proxy that passes bytes on and does nothing else, with the codec, the transport and the listener of the router.
//! What the router's hop costs beyond this is its own. Its allocator is the C library's, unlike the router's. It takes
//! the router's flags, of which only `--worker` counts, so that one benchmark measures both:
//!
//! ```text
//! cargo build --release -p warmpath-router --example bare --bin router
//! cargo bench -p warmpath-router --bench hop -- target/release/examples/bare target/release/router
//! ```

use std::pin::Pin;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use warmpath_proto::listening::{self, Listening};
use warmpath_proto::raw::Bytes;
use warmpath_proto::raw::inference_client::InferenceClient;
use warmpath_proto::raw::inference_server::{Inference, InferenceServer};
use warmpath_proto::transport::{MAX_GENERATE_BYTES, channel};

struct Bare(InferenceClient<Channel>);

#[tonic::async_trait]
impl Inference for Bare {
    type GenerateStreamStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

    async fn generate(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.0.clone().generate(request.into_inner()).await
    }

    async fn generate_stream(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Self::GenerateStreamStream>, Status> {
        let answer = self.0.clone().generate_stream(request.into_inner()).await?;
        Ok(Response::new(Box::pin(answer.into_inner())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip_while(|arg| arg != "--worker").skip(1);
    let worker = args.next().ok_or("--worker: expected a URL")?;
    let client = InferenceClient::new(channel(&worker)?)
        .max_encoding_message_size(MAX_GENERATE_BYTES)
        .max_decoding_message_size(MAX_GENERATE_BYTES);
    let service = InferenceServer::new(Bare(client)).max_decoding_message_size(MAX_GENERATE_BYTES);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    // The benchmark looks for this.
    eprintln!("listening address={} ", listener.local_addr()?);
    let routes = Routes::default().add_service(service);
    listening::serve(listener, Listening::fleet(routes, None), std::future::pending()).await;
    Ok(())
}
