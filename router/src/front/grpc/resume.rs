//! Which answers may be resumed on another worker: those whose next token depends on the tokens before
//! it alone, so that the prompt and the answer so far are all that the next worker needs.

use warmpath_proto::vllm::{
    DecodingParameters, GenerateRequest, RandomSampling, ResponseOptions, StoppingCriteria,
};

/// Whether an answer to this request can go on from the token ids that have come.
pub fn is_sound(request: &GenerateRequest) -> bool {
    request.media.is_empty()
        && request.engine_reasoning_gate.is_none()
        && request.sampling.as_ref().is_none_or(sampling)
        && request.decoding.as_ref().is_none_or(decoding)
        && request.stopping.as_ref().is_none_or(stopping)
        && request.response.as_ref().is_none_or(response)
}

/// A seed's sequence begins anew with each call. Of several answers none has the tokens of another.
const fn sampling(sampling: &RandomSampling) -> bool {
    sampling.seed.is_none() && sampling.num_sequences <= 1
}

/// Penalties count the tokens of the answer apart from those of the prompt. A grammar and a banned
/// sequence have a state, which begins anew.
fn decoding(decoding: &DecodingParameters) -> bool {
    decoding.structured_output.is_none()
        && decoding.bad_words_token_ids.is_empty()
        && [decoding.presence_penalty, decoding.frequency_penalty, decoding.repetition_penalty]
            .iter()
            .all(|penalty| *penalty == 0.0)
}

/// A stop string may begin before the cut and end after it. A budget counts from the start.
fn stopping(stopping: &StoppingCriteria) -> bool {
    stopping.stop_strings.is_empty() && stopping.thinking_token_budget.is_none()
}

/// Text may be cut within a character. Where the client does not say, the worker's answer shows whether
/// there is text.
fn response(response: &ResponseOptions) -> bool {
    response.output_text != Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_state_beside_its_tokens_is_not_resumed() {
        let plain = GenerateRequest { temperature: Some(1.0), ..Default::default() };
        assert!(is_sound(&plain));
        let ids = ResponseOptions { output_token_ids: true, ..Default::default() };
        assert!(is_sound(&GenerateRequest { response: Some(ids), ..plain.clone() }));
        let seeded = RandomSampling { seed: Some(1), ..Default::default() };
        let several = RandomSampling { num_sequences: 2, ..Default::default() };
        for sampling in [seeded, several] {
            assert!(!is_sound(&GenerateRequest { sampling: Some(sampling), ..plain.clone() }));
        }
        let penalty = DecodingParameters { presence_penalty: 0.1, ..Default::default() };
        assert!(!is_sound(&GenerateRequest { decoding: Some(penalty), ..plain.clone() }));
        let stop = StoppingCriteria { stop_strings: vec!["x".into()], ..Default::default() };
        assert!(!is_sound(&GenerateRequest { stopping: Some(stop), ..plain.clone() }));
        let text = ResponseOptions { output_text: Some(true), ..Default::default() };
        assert!(!is_sound(&GenerateRequest { response: Some(text), ..plain }));
    }
}
