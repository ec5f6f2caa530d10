//! A request of SMG's as vLLM's own, so that both are checked alike.

use tonic::Status;
use warmpath_proto::engine::{GenerateRequest, SamplingParams, generate_request::Input};
use warmpath_proto::vllm::{self, generate_request::Prompt};

/// What a simulated engine cannot honour is refused by the name of its field. All other fields, such as a temperature,
/// have no effect: the tokens are generated from a hash.
pub fn as_vllms(request: GenerateRequest) -> Result<vllm::GenerateRequest, Status> {
    if let Some(field) = unsupported(&request) {
        let why = "not supported by a simulated engine";
        return Err(Status::invalid_argument(format!("{field}: {why}")));
    }
    let GenerateRequest { request_id, input, sampling_params, data_parallel_rank, .. } = request;
    if let Some(rank) = data_parallel_rank.filter(|&rank| rank != 0) {
        let why = format!("data_parallel_rank: {rank}, expected 0, the only rank");
        return Err(Status::invalid_argument(why));
    }
    let Some(Input::Tokenized(tokenized)) = input else {
        return Err(Status::invalid_argument("input: missing, expected tokenized"));
    };
    let sampling = sampling_params.unwrap_or_default();
    if sampling.max_tokens == Some(0) {
        return Err(Status::invalid_argument("sampling_params.max_tokens: 0, expected at least 1"));
    }
    Ok(vllm::GenerateRequest {
        request_id,
        prompt: Some(Prompt::TokenIds(vllm::TokenIds { ids: tokenized.input_ids })),
        stopping: Some(vllm::StoppingCriteria {
            max_new_tokens: sampling.max_tokens.unwrap_or(0),
            min_new_tokens: sampling.min_tokens,
            ..Default::default()
        }),
        response: Some(vllm::ResponseOptions { output_token_ids: true, ..Default::default() }),
        ..Default::default()
    })
}

fn unsupported(request: &GenerateRequest) -> Option<&'static str> {
    let checks = [
        (matches!(request.input, Some(Input::Text(_))), "text"),
        (request.kv_transfer_params.is_some(), "kv_transfer_params"),
        (request.kv_transfer_params_json.is_some(), "kv_transfer_params_json"),
        (request.mm_inputs.is_some(), "mm_inputs"),
        (request.media_refs.is_some(), "media_refs"),
    ];
    let found = checks.into_iter().find_map(|(set, field)| set.then_some(field));
    found.or_else(|| unsupported_sampling(request.sampling_params.as_ref()?))
}

fn unsupported_sampling(sampling: &SamplingParams) -> Option<&'static str> {
    let truncates = sampling.truncate_prompt_tokens.is_some();
    let checks = [
        (!sampling.stop.is_empty(), "sampling_params.stop"),
        (!sampling.stop_token_ids.is_empty(), "sampling_params.stop_token_ids"),
        (sampling.include_stop_str_in_output, "sampling_params.include_stop_str_in_output"),
        (sampling.n > 1, "sampling_params.n"),
        (sampling.constraint.is_some(), "sampling_params.constraint"),
        (sampling.logprobs.is_some(), "sampling_params.logprobs"),
        (sampling.prompt_logprobs.is_some(), "sampling_params.prompt_logprobs"),
        (truncates, "sampling_params.truncate_prompt_tokens"),
    ];
    checks.into_iter().find_map(|(set, field)| set.then_some(field))
}
