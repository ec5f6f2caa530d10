//! A request as it enters the router, the same for every front.

use crate::payload::RequestBody;
use crate::tenants::Tenant;
use std::sync::Arc;
use std::time::Instant;
use warmpath_proto::traces::TraceContext;

/// A request that a front has read and checked.
#[derive(Debug)]
pub struct Incoming {
    /// When the front got the request. The router's own time counts from here.
    pub received: Instant,
    /// The tenant that sent it.
    pub tenant: Arc<Tenant>,
    /// The client's name for the request. Empty: the client gave none.
    pub name: String,
    /// Token ids, at least one.
    pub prompt: Vec<u32>,
    /// The client's name for the session.
    pub session: Option<String>,
    /// The client's own salt. Blocks are shared only between requests with equal salts.
    pub cache_salt: String,
    /// The priority the client gave. Policies may read it; no queue obeys it.
    pub priority: i32,
    /// The most answer tokens that the client asked for, at least 1.
    pub max_new_tokens: u32,
    /// Whether an answer that broke off may go on on another worker, from its tokens so far.
    pub resumable: bool,
    /// When the client gives up.
    pub deadline: Option<Instant>,
    /// The trace that it belongs to, if its client says one.
    pub trace: Option<TraceContext>,
    /// The request to pass on.
    pub body: RequestBody,
}
