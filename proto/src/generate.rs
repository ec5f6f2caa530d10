//! The fields of a `GenerateRequest` that a simulated engine supports. Router and worker use the same
//! check, so they reject a request with the same message. Each field is supported, ignored or rejected
//! as listed here:
//!
//! | field | |
//! |---|---|
//! | `request_id`, `model`, `session_id` | supported: at most 1024 bytes each |
//! | `token_ids` | supported: at least one id, each below the vocabulary's size |
//! | `stopping.max_new_tokens`, `stopping.min_new_tokens` | supported: an answer always has the largest length |
//! | `kv.cache_salt` | supported: only requests with an equal salt share blocks |
//! | `response.output_token_ids`, `response.prompt_token_ids` | supported |
//! | `kv_hints` | a worker uses the fetch hint ([`crate::hints`]) and the scope ([`crate::scope`]) of its router; a router drops a client's hints, which could contain addresses and scopes, and sends its own |
//! | `kv.kv_transfer_params` | a worker uses the KV transfer of its router ([`crate::transfer`]); a router rejects a client's, which could contain addresses, and sends its own |
//! | `priority` | accepted: policies may read it, no queue uses it |
//! | `temperature`, `sampling`, penalties, `decoding.logit_bias` | ignored: the tokens are generated from a hash |
//! | `watermarking`, `response.skip_special_tokens`, `stopping.ignore_eos` | ignored: there is no text and no end token |
//! | all others | rejected with INVALID_ARGUMENT and the name of the field |

use crate::hints::{self, PullHint};
use crate::scope::ScopeHint;
use crate::trace_context::TraceContext;
use crate::transfer::{self, Transfer};
use crate::vllm::{GenerateRequest, decoding_parameters::StructuredOutput, generate_request};
use tonic::Status;
use warmpath_core::block::ScopePlan;
use warmpath_core::tokens::VOCABULARY;

/// The answer's length if `max_new_tokens` is 0.
pub const DEFAULT_NEW_TOKENS: u32 = 20;
/// The most tokens of prompt and answer together, so that a request fits into one message.
pub const MAX_MODEL_LEN: u32 = 1 << 22;

/// The most bytes of a request id, a session id or a model's name. Ids return in response metadata and
/// in errors; default gRPC clients drop a call whose metadata has more than 8 KiB.
pub const MAX_NAME_BYTES: usize = 1_024;

const UNSUPPORTED: &str = "not supported by a simulated engine";

/// A request that passed the check.
#[derive(Clone, PartialEq, Debug)]
pub struct Accepted {
    /// The client's id. Empty: the client sent none.
    pub request_id: String,
    /// The token ids of the prompt.
    pub prompt: Vec<u32>,
    /// The most answer tokens, at least 1.
    pub max_new_tokens: u32,
    /// The least answer tokens.
    pub min_new_tokens: u32,
    /// The client's session.
    pub session_id: Option<String>,
    /// The salt of the block hashes.
    pub cache_salt: String,
    /// The priority as the client sent it.
    pub priority: i32,
    /// Whether the answer contains its token ids.
    pub want_output_ids: bool,
    /// Whether the answer contains the prompt's token ids.
    pub want_prompt_ids: bool,
    /// Where blocks may be fetched. A router must ignore it.
    pub pull: Option<PullHint>,
    /// The public part of the prompt, and the tenant. A router must ignore it.
    pub scope: ScopeHint,
    /// The part of the request for this worker, if two workers share it. A router must reject it.
    pub transfer: Option<Transfer>,
    /// The trace that it belongs to. A message does not say it: the front that reads the call's metadata does.
    pub trace: Option<TraceContext>,
}

impl Accepted {
    /// The most tokens of prompt and answer together.
    pub fn total_tokens(&self) -> u32 {
        self.prompt.len() as u32 + self.max_new_tokens
    }
}

/// Checks a request for `model`, and takes the prompt out of it. The error has the field, its value and
/// what was expected: NOT_FOUND for another model, else INVALID_ARGUMENT.
pub fn accept(request: &mut GenerateRequest, model: &str) -> Result<Accepted, Status> {
    check_lengths(request)?;
    if !request.model.is_empty() && request.model != model {
        let asked = &request.model;
        return Err(Status::not_found(format!("model: '{asked}', expected '{model}'")));
    }
    if let Some(field) = unsupported(request) {
        return Err(Status::invalid_argument(format!("{field}: {UNSUPPORTED}")));
    }
    let prompt = match request.prompt.take() {
        Some(generate_request::Prompt::TokenIds(tokens)) => tokens.ids,
        _ => return Err(invalid("prompt", "missing, expected token_ids")),
    };
    if prompt.is_empty() {
        return Err(invalid("token_ids", "0 ids, expected at least 1"));
    }
    let largest = prompt.iter().fold(0, |largest, &id| id.max(largest));
    if largest >= VOCABULARY
        && let Some((i, id)) = prompt.iter().enumerate().find(|&(_, &id)| id >= VOCABULARY)
    {
        return Err(invalid("token_ids", format!("id {i} is {id}, expected below {VOCABULARY}")));
    }
    let stopping = request.stopping.as_ref();
    let max_new_tokens = match stopping.map_or(0, |stopping| stopping.max_new_tokens) {
        0 => DEFAULT_NEW_TOKENS,
        some => some,
    };
    let min_new_tokens = stopping.map_or(0, |stopping| stopping.min_new_tokens);
    if min_new_tokens > max_new_tokens {
        let why = format!("{min_new_tokens}, expected at most max_new_tokens = {max_new_tokens}");
        return Err(invalid("stopping.min_new_tokens", why));
    }
    let total = prompt.len() as u64 + u64::from(max_new_tokens);
    if total > u64::from(MAX_MODEL_LEN) {
        let why = format!(
            "{max_new_tokens} after a prompt of {} makes {total}, expected at most {MAX_MODEL_LEN}",
            prompt.len()
        );
        return Err(invalid("stopping.max_new_tokens", why));
    }
    let params = request.kv.as_ref().and_then(|kv| kv.kv_transfer_params.as_ref());
    let transfer = params.map(transfer::of).transpose();
    let transfer = transfer.map_err(|why| invalid("kv.kv_transfer_params", why))?;
    let response = request.response.as_ref();
    Ok(Accepted {
        request_id: request.request_id.clone(),
        prompt,
        max_new_tokens,
        min_new_tokens,
        session_id: request.session_id.clone(),
        cache_salt: request.kv.as_ref().map_or_else(String::new, |kv| kv.cache_salt.clone()),
        priority: request.priority,
        want_output_ids: response.is_some_and(|response| response.output_token_ids),
        want_prompt_ids: response.is_some_and(|response| response.prompt_token_ids),
        pull: request.kv_hints.as_ref().and_then(hints::from_wire),
        scope: request.kv_hints.as_ref().and_then(ScopeHint::from_wire).unwrap_or_default(),
        transfer,
        trace: None,
    })
}

/// The texts that are echoed must fit into the metadata of an answer.
fn check_lengths(request: &GenerateRequest) -> Result<(), Status> {
    let session = request.session_id.as_deref().unwrap_or_default();
    let texts =
        [("request_id", &*request.request_id), ("model", &*request.model), ("session_id", session)];
    match texts.into_iter().find(|(_, text)| text.len() > MAX_NAME_BYTES) {
        None => Ok(()),
        Some((field, text)) => {
            let why = format!("{} bytes, expected at most {MAX_NAME_BYTES}", text.len());
            Err(invalid(field, why))
        }
    }
}

/// Rejects a request with fields for the KV transfer: only a router may send them to a worker.
pub fn refuse_transfer(accepted: &Accepted) -> Result<(), Status> {
    match accepted.transfer {
        None => Ok(()),
        Some(_) => Err(invalid("kv.kv_transfer_params", "set by a client, expected none")),
    }
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {why}"))
}

/// The first field that a simulated engine does not support.
pub fn unsupported(request: &GenerateRequest) -> Option<&'static str> {
    let checks = [
        (matches!(request.prompt, Some(generate_request::Prompt::Text(_))), "text"),
        (request.truncate_prompt_tokens > 0, "truncate_prompt_tokens"),
        (!request.media.is_empty(), "media"),
        (!request.lora_name.is_empty(), "lora_name"),
        (request.engine_reasoning_gate.is_some(), "engine_reasoning_gate"),
        (request.sampling.as_ref().is_some_and(|s| s.num_sequences > 1), "sampling.num_sequences"),
    ];
    let found = checks.into_iter().find_map(|(set, field)| set.then_some(field));
    found
        .or_else(|| unsupported_decoding(request))
        .or_else(|| unsupported_stopping(request))
        .or_else(|| unsupported_response(request))
        .or_else(|| unsupported_kv(request))
}

fn unsupported_decoding(request: &GenerateRequest) -> Option<&'static str> {
    let decoding = request.decoding.as_ref()?;
    if let Some(output) = &decoding.structured_output {
        return Some(match output {
            StructuredOutput::Json(_) => "decoding.json",
            StructuredOutput::Regex(_) => "decoding.regex",
            StructuredOutput::Choice(_) => "decoding.choice",
            StructuredOutput::Grammar(_) => "decoding.grammar",
            StructuredOutput::JsonObject(_) => "decoding.json_object",
            StructuredOutput::StructuralTag(_) => "decoding.structural_tag",
        });
    }
    let checks = [
        (!decoding.allowed_token_ids.is_empty(), "decoding.allowed_token_ids"),
        (!decoding.bad_words_token_ids.is_empty(), "decoding.bad_words_token_ids"),
    ];
    checks.into_iter().find_map(|(set, field)| set.then_some(field))
}

fn unsupported_stopping(request: &GenerateRequest) -> Option<&'static str> {
    let stopping = request.stopping.as_ref()?;
    // -1 means no budget.
    let budget = stopping.thinking_token_budget.is_some_and(|budget| budget != -1);
    let checks = [
        (!stopping.stop_token_ids.is_empty(), "stopping.stop_token_ids"),
        (!stopping.stop_strings.is_empty(), "stopping.stop_strings"),
        (stopping.include_stop_strings, "stopping.include_stop_strings"),
        (budget, "stopping.thinking_token_budget"),
    ];
    checks.into_iter().find_map(|(set, field)| set.then_some(field))
}

fn unsupported_response(request: &GenerateRequest) -> Option<&'static str> {
    let response = request.response.as_ref()?;
    let checks = [
        (response.prompt_logprobs, "response.prompt_logprobs"),
        (response.prompt_candidates.is_some(), "response.prompt_candidates"),
        (response.output_text == Some(true), "response.output_text"),
        (response.output_logprobs, "response.output_logprobs"),
        (response.output_candidates.is_some(), "response.output_candidates"),
    ];
    checks.into_iter().find_map(|(set, field)| set.then_some(field))
}

fn unsupported_kv(request: &GenerateRequest) -> Option<&'static str> {
    let kv = request.kv.as_ref()?;
    let checks = [
        (kv.bypass_prefix_cache, "kv.bypass_prefix_cache"),
        (kv.ec_transfer_params.is_some(), "kv.ec_transfer_params"),
    ];
    checks.into_iter().find_map(|(set, field)| set.then_some(field))
}

/// The sharing scope of requests with this salt on a worker.
pub fn scope(salt: &str, model: &str, block_size: u32) -> ScopePlan {
    ScopePlan::new(salt, model, "", block_size)
}

/// A session's number in the core: a hash of the tenant and the client's session id.
pub fn session_number(tenant: &str, session_id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("warmpath v1 session");
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(session_id.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
