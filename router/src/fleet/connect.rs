//! Which protocols a worker or a pool at a URL speaks. This is the one place that decides it: a
//! worker with another engine contract, or another feed, is made here. An error says what is wrong
//! with the URL.

use crate::fleet::pool::PoolLink;
use crate::fleet::worker::WorkerLink;
use crate::source::watch::{PoolWatch, WorkerWatch};
use crate::upstream::Upstream;
use crate::upstream::grpc::Connections;
use warmpath_core::id::{PoolId, WorkerId};
use warmpath_proto::transport;

/// A worker with this many connections for requests. Nothing connects before the first use.
pub fn worker(id: WorkerId, url: &str, connections: usize) -> Result<WorkerLink, String> {
    let failed = |error: tonic::transport::Error| error.to_string();
    let control = transport::channel(url).map_err(failed)?;
    let source = WorkerWatch::new(id, control.clone());
    let connections = Connections::new(url, connections, control).map_err(failed)?;
    Ok(WorkerLink::new(id, url, Upstream::Grpc(connections), Box::new(source)))
}

/// A pool. Nothing connects before it is followed.
pub fn pool(id: PoolId, url: &str) -> Result<PoolLink, String> {
    let channel = transport::channel(url).map_err(|error| error.to_string())?;
    let source = Box::new(PoolWatch::new(id, channel));
    Ok(PoolLink { id, url: url.to_owned(), name: id.to_string(), source })
}
