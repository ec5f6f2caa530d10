//! The generate call of every request that the load generator sends.

use warmpath_proto::vllm::generate_request::Prompt;
use warmpath_proto::vllm::{GenerateRequest, ResponseOptions, StoppingCriteria, TokenIds};

/// A prompt of token ids with an answer of exactly `output_tokens` tokens, as ids without text.
pub fn exactly(ids: Vec<u32>, output_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids })),
        stopping: Some(StoppingCriteria {
            max_new_tokens: output_tokens,
            min_new_tokens: output_tokens,
            ignore_eos: true,
            ..StoppingCriteria::default()
        }),
        response: Some(ResponseOptions {
            output_text: Some(false),
            output_token_ids: true,
            ..ResponseOptions::default()
        }),
        ..GenerateRequest::default()
    }
}
