//! A call as a message of vLLM's gRPC.

use crate::call::Call;
use crate::payload::{HeldPrompt, RequestBody};
use std::time::Instant;
use tonic::Request;
use warmpath_proto::clock::now;
use warmpath_proto::generate::DEFAULT_NEW_TOKENS;
use warmpath_proto::hints::{self, PullHint};
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::scope::ScopeHint;
use warmpath_proto::traces::TraceContext;
use warmpath_proto::transfer;
use warmpath_proto::vllm::{GenerateRequest, KvHintsEnvelope};

/// The whole request: the worker computes the answer.
///
/// Of the request itself, only what each attempt sets anew is changed.
pub fn generate(call: Call<'_>) -> Request<Bytes> {
    let RequestBody::Vllm(body) = call.body;
    let fields = &mut body.fields;
    call.id.clone_into(&mut fields.request_id);
    let kv = fields.kv.get_or_insert_default();
    call.salt.clone_into(&mut kv.cache_salt);
    kv.kv_transfer_params = call.held.map(|HeldPrompt::Vllm(params)| params);
    fields.kv_hints = hints(call.pull.as_ref(), call.scope, call.id);
    if call.ids {
        fields.response.get_or_insert_default().output_token_ids = true;
    }
    let message = match call.answered {
        0 => raw::upstream(fields, &body.message, call.prompt),
        answered => raw::upstream(&resumed(fields, answered), &Bytes::new(), call.prompt),
    };
    with_metadata(message, call.deadline, call.trace)
}

/// The fields of a request for the rest of an answer, of which the client has `answered` tokens.
fn resumed(fields: &GenerateRequest, answered: u32) -> GenerateRequest {
    let mut fields = fields.clone();
    let stopping = fields.stopping.get_or_insert_default();
    let most = match stopping.max_new_tokens {
        0 => DEFAULT_NEW_TOKENS,
        most => most,
    };
    stopping.max_new_tokens = most - answered;
    stopping.min_new_tokens = stopping.min_new_tokens.saturating_sub(answered);
    if let Some(response) = &mut fields.response {
        (response.prompt_token_ids, response.prompt_logprobs) = (false, false);
        response.prompt_candidates = None;
    }
    fields
}

/// The first half of a request that two workers share: a request for one token. The worker computes
/// the prompt, and its answer says where it holds the KV.
pub fn prefill(call: &Call<'_>) -> Request<Bytes> {
    let RequestBody::Vllm(body) = &*call.body;
    let mut fields = body.fields.clone();
    call.id.clone_into(&mut fields.request_id);
    let kv = fields.kv.get_or_insert_default();
    call.salt.clone_into(&mut kv.cache_salt);
    kv.kv_transfer_params = Some(transfer::compute());
    fields.kv_hints = hints(call.pull.as_ref(), call.scope, call.id);
    let stopping = fields.stopping.get_or_insert_default();
    (stopping.max_new_tokens, stopping.min_new_tokens) = (1, 0);
    fields.response = None;
    let message = raw::upstream(&fields, &body.message, call.prompt);
    with_metadata(message, call.deadline, call.trace)
}

/// What the worker is told besides the request: where to fetch blocks from, and which blocks are
/// public. A client's own hints are dropped: they would name addresses and scopes. None: there is
/// nothing to say.
fn hints(pull: Option<&PullHint>, scope: &ScopeHint, id: &str) -> Option<KvHintsEnvelope> {
    let pull = pull.map(PullHint::to_action);
    let scope = (!scope.is_plain()).then(|| scope.to_action());
    let actions: Vec<_> = pull.into_iter().chain(scope).collect();
    (!actions.is_empty()).then(|| hints::to_wire(id, actions))
}

fn with_metadata(
    message: Bytes,
    deadline: Option<Instant>,
    trace: Option<TraceContext>,
) -> Request<Bytes> {
    let mut request = Request::new(message);
    if let Some(trace) = trace {
        trace.add_to(request.metadata_mut());
    }
    if let Some(deadline) = deadline {
        request.set_timeout(deadline.saturating_duration_since(now()));
    }
    request
}
