//! A generate request as the body of `POST /v1/completions`.

use serde::Serialize;
use std::collections::BTreeMap;
use warmpath_proto::generate::{DEFAULT_NEW_TOKENS, unsupported};
use warmpath_proto::vllm::GenerateRequest;

/// What an engine is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// All fields but the prompt.
    pub request: &'a GenerateRequest,
    /// The model as the engine calls it.
    pub model: &'a str,
    /// Token ids. The last `answered` of them are a part of the answer.
    pub prompt: &'a [u32],
    pub answered: u32,
    /// Replaces the request's. Empty: none.
    pub salt: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a [u32],
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_special_tokens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_salt: Option<&'a str>,
    stream: bool,
    stream_options: StreamOptions,
    return_token_ids: bool,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl Completion<'_> {
    /// The body, as JSON. The error names a field that has no word here.
    pub fn json(&self) -> Result<Vec<u8>, String> {
        let Self { request, model, prompt, answered, salt } = *self;
        let no_word =
            |field| format!("{field}: OpenAI's HTTP towards the engine has no field for it");
        if let Some(field) = unsupported(request) {
            return Err(no_word(field));
        }
        if request.watermarking == Some(false) {
            return Err(no_word("watermarking"));
        }
        if request.kv.as_ref().is_some_and(|kv| kv.kv_transfer_params.is_some()) {
            return Err(no_word("kv.kv_transfer_params"));
        }
        let sampling = request.sampling.as_ref();
        let decoding = request.decoding.as_ref();
        let stopping = request.stopping.as_ref();
        // Where vLLM's gRPC has 0 for "none", it has 1.
        let not_0 = |penalty: &f32| *penalty != 0.0;
        let most = match stopping.map_or(0, |stopping| stopping.max_new_tokens) {
            0 => DEFAULT_NEW_TOKENS,
            most => most,
        };
        let least = stopping.map_or(0, |stopping| stopping.min_new_tokens);
        let body = Body {
            model,
            prompt,
            max_tokens: most.saturating_sub(answered),
            min_tokens: Some(least.saturating_sub(answered)).filter(|&least| least > 0),
            temperature: request.temperature,
            // Of 0 and -1, which are both "all", older versions know the second one only.
            top_k: sampling.and_then(|s| s.top_k).map(|k| if k == 0 { -1 } else { i64::from(k) }),
            top_p: sampling.and_then(|sampling| sampling.top_p),
            min_p: sampling.and_then(|sampling| sampling.min_p),
            seed: sampling.and_then(|sampling| sampling.seed),
            presence_penalty: decoding.map(|d| d.presence_penalty).filter(not_0),
            frequency_penalty: decoding.map(|d| d.frequency_penalty).filter(not_0),
            repetition_penalty: decoding.map(|d| d.repetition_penalty).filter(not_0),
            logit_bias: decoding
                .iter()
                .flat_map(|d| &d.logit_bias)
                .map(|(&k, &v)| (k, v))
                .collect(),
            ignore_eos: stopping.map(|stopping| stopping.ignore_eos).filter(|&ignore| ignore),
            skip_special_tokens: request.response.as_ref().and_then(|r| r.skip_special_tokens),
            priority: Some(request.priority).filter(|&priority| priority != 0),
            cache_salt: Some(salt).filter(|salt| !salt.is_empty()),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            return_token_ids: true,
        };
        // A number that is none, as an infinite temperature, is written as null.
        serde_json::to_vec(&body).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Ask;
    use crate::request::{self, Kind};
    use crate::tokenizer::Tokenizer;
    use serde_json::{Value, json};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use warmpath_proto::vllm::{DecodingParameters, StoppingCriteria};

    fn of(request: &GenerateRequest, prompt: &[u32], answered: u32) -> Result<Value, String> {
        let asked = Completion { request, model: "m", prompt, answered, salt: "s" };
        asked.json().map(|json| serde_json::from_slice(&json).unwrap())
    }

    /// What a client sends by OpenAI's HTTP reaches an engine that speaks it as it was.
    #[test]
    fn a_completion_comes_through_as_it_was_sent() {
        let sent = json!({
            "model": "m", "prompt": [1, 2, 3], "max_tokens": 9, "min_tokens": 4, "temperature": 0.5,
            "top_k": 7, "top_p": 0.25, "min_p": 0.125, "seed": -3, "presence_penalty": 0.5,
            "frequency_penalty": -0.5, "repetition_penalty": 1.5, "ignore_eos": true,
            "skip_special_tokens": false, "priority": -2, "cache_salt": "s", "stream": true,
            "stream_options": {"include_usage": true}, "return_token_ids": true,
        });
        let body = request::Body::read(sent.to_string().as_bytes()).unwrap();
        let tokenizer = Arc::<Tokenizer>::default();
        let asking = pin!(Ask::new(body, Kind::Completion, &tokenizer));
        let Poll::Ready(asked) = asking.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("ids are not tokenized")
        };
        assert_eq!(of(&asked.unwrap().request, &[1, 2, 3], 0).unwrap(), sent);
    }

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let sent = json!({
            "model": "m", "prompt": [5], "max_tokens": 20, "cache_salt": "s", "stream": true,
            "stream_options": {"include_usage": true}, "return_token_ids": true,
        });
        assert_eq!(of(&GenerateRequest::default(), &[5], 0).unwrap(), sent);
    }

    #[test]
    fn the_rest_of_an_answer_is_asked_for_with_fewer_tokens() {
        let stopping =
            StoppingCriteria { max_new_tokens: 10, min_new_tokens: 3, ..Default::default() };
        let request = GenerateRequest { stopping: Some(stopping), ..Default::default() };
        let rest = of(&request, &[5, 6, 7, 8, 9], 4).unwrap();
        assert_eq!((&rest["max_tokens"], &rest["min_tokens"]), (&json!(6), &Value::Null));
    }

    #[test]
    fn what_has_no_word_is_refused_by_name() {
        let request = GenerateRequest { watermarking: Some(false), ..Default::default() };
        let why = "watermarking: OpenAI's HTTP towards the engine has no field for it";
        assert_eq!(of(&request, &[1], 0), Err(why.to_owned()));
        let decoding = DecodingParameters { allowed_token_ids: vec![1], ..Default::default() };
        let request = GenerateRequest { decoding: Some(decoding), ..Default::default() };
        assert!(of(&request, &[1], 0).unwrap_err().starts_with("decoding.allowed_token_ids: "));
    }
}
