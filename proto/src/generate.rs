//! What of a `GenerateRequest` a simulated engine honours. Router and worker check alike, so that a
//! request is refused in the same words wherever it is refused. No field is dropped in silence:
//!
//! | field | |
//! |---|---|
//! | `request_id`, `model`, `session_id` | honoured |
//! | `token_ids` | honoured: at least one, each below the vocabulary's size |
//! | `stopping.max_new_tokens`, `stopping.min_new_tokens` | honoured: the answer is always of the largest length |
//! | `kv.cache_salt` | honoured: blocks are shared only where it is equal |
//! | `response.output_token_ids`, `response.prompt_token_ids` | honoured |
//! | `kv_hints` | a worker weighs a pull that its router names ([`crate::hints`]), and names public blocks as its router says ([`crate::scope`]); a router gives its own and drops a client's, which would name addresses and scopes |
//! | `kv.kv_transfer_params` | honoured by a worker that hands over ([`crate::transfer`]); a router gives its own and refuses a client's, which would name addresses |
//! | `priority` | accepted; policies may see it, no queue obeys it |
//! | `temperature`, `sampling`, penalties, `decoding.logit_bias` | without effect: the tokens are made up |
//! | `watermarking`, `response.skip_special_tokens`, `stopping.ignore_eos` | without effect: there is no text and no end token |
//! | everything else | refused with INVALID_ARGUMENT that names the field |

use crate::hints::{self, PullHint};
use crate::scope::ScopeHint;
use crate::transfer::{self, Transfer};
use crate::vllm::{GenerateRequest, decoding_parameters::StructuredOutput, generate_request};
use tonic::Status;
use warmpath_core::block::ScopePlan;
use warmpath_core::tokens::VOCABULARY;

/// What `max_new_tokens` 0 means.
pub const DEFAULT_NEW_TOKENS: u32 = 20;
/// The longest prompt and answer together, in tokens: what fits one message.
pub const MAX_MODEL_LEN: u32 = 1 << 22;

const UNSUPPORTED: &str = "not supported by a simulated engine";

/// A request that will be served.
#[derive(Clone, PartialEq, Debug)]
pub struct Accepted {
    /// Empty: the client did not name it.
    pub request_id: String,
    pub prompt: Vec<u32>,
    /// At least 1.
    pub max_new_tokens: u32,
    pub min_new_tokens: u32,
    pub session_id: Option<String>,
    pub cache_salt: String,
    pub priority: i32,
    pub want_output_ids: bool,
    pub want_prompt_ids: bool,
    /// Whence blocks might be fetched. A router must not heed it.
    pub pull: Option<PullHint>,
    /// What of the prompt is public, and whose it is. A router must not heed it.
    pub scope: ScopeHint,
    /// What of it is to be done here, where two workers share it. A router must refuse it.
    pub transfer: Option<Transfer>,
}

impl Accepted {
    /// Prompt and answer together, in tokens.
    pub fn total_tokens(&self) -> u32 {
        self.prompt.len() as u32 + self.max_new_tokens
    }
}

/// Accepts a request for `model` and takes the prompt out of it, or says which field is in the way.
pub fn accept(request: &mut GenerateRequest, model: &str) -> Result<Accepted, Status> {
    if !request.model.is_empty() && request.model != model {
        let asked = &request.model;
        return Err(Status::not_found(format!("model: '{asked}' is not served, '{model}' is")));
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
    if let Some((i, id)) = prompt.iter().enumerate().find(|&(_, &id)| id >= VOCABULARY) {
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
    })
}

/// What only a router may ask of a worker.
pub fn refuse_transfer(accepted: &Accepted) -> Result<(), Status> {
    match accepted.transfer {
        None => Ok(()),
        Some(_) => Err(invalid("kv.kv_transfer_params", "not a client's to give")),
    }
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {why}"))
}

/// The first field that asks for what a simulated engine does not do.
fn unsupported(request: &GenerateRequest) -> Option<&'static str> {
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
    // -1 says in words that there is no budget.
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

/// Within what a worker shares blocks: the salt it was sent, and its model.
pub fn scope(salt: &str, model: &str, block_size: u32) -> ScopePlan {
    ScopePlan::new(salt, model, "", block_size)
}

/// A session's number in the core, from the name the client gave it.
pub fn session_number(tenant: &str, session_id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("warmpath v1 session");
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(session_id.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
