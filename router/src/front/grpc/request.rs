//! A generate request, from vLLM's terms into the router's.

use super::resume;
use crate::incoming::Incoming;
use crate::payload::{RequestBody, VllmRequest};
use crate::tenants::Tenant;
use std::sync::Arc;
use std::time::Instant;
use tonic::Status;
use warmpath_proto::generate;
use warmpath_proto::raw::Bytes;
use warmpath_proto::vllm::GenerateRequest;

/// Checks a request for `model`. `fields` are those of `message`. The result has no deadline and no trace: these
/// are not in the message. An error names the field.
pub fn incoming(
    mut fields: GenerateRequest,
    message: Bytes,
    model: &str,
    tenant: Arc<Tenant>,
    received: Instant,
) -> Result<Incoming, Status> {
    let accepted = generate::accept(&mut fields, model)?;
    generate::refuse_transfer(&accepted)?;
    let (resumable, wants_ids) = (resume::is_sound(&fields), accepted.want_output_ids);
    Ok(Incoming {
        received,
        tenant,
        name: accepted.request_id,
        prompt: accepted.prompt,
        session: accepted.session_id,
        cache_salt: accepted.cache_salt,
        priority: accepted.priority,
        max_new_tokens: accepted.max_new_tokens,
        resumable,
        deadline: None,
        trace: None,
        body: RequestBody::Vllm(VllmRequest { fields, message, wants_ids }),
    })
}
