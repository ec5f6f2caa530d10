//! Each field of a request is supported, ignored or rejected as documented.

use tonic::{Code, Status};
use warmpath_core::tokens::VOCABULARY;
use warmpath_proto::generate::{self, Accepted, DEFAULT_NEW_TOKENS, MAX_MODEL_LEN};
use warmpath_proto::vllm::{
    CandidateTokens, DecodingParameters, EngineReasoningGate, GenerateRequest, KvCacheParameters,
    MediaItem, RandomSampling, ResponseOptions, StoppingCriteria, TokenIds,
    decoding_parameters::{StringChoices, StructuredOutput},
    generate_request::Prompt,
};

const BLOCK: usize = 16;

fn accept(request: &GenerateRequest, model: &str) -> Result<Accepted, Status> {
    generate::accept(&mut request.clone(), model)
}

fn request(tokens: usize) -> GenerateRequest {
    let ids = (0..tokens as u32).map(|i| i % VOCABULARY).collect();
    GenerateRequest { prompt: Some(Prompt::TokenIds(TokenIds { ids })), ..Default::default() }
}

fn decoding(change: impl FnOnce(&mut DecodingParameters)) -> GenerateRequest {
    let mut decoding = DecodingParameters::default();
    change(&mut decoding);
    GenerateRequest { decoding: Some(decoding), ..request(4) }
}

fn structured(output: StructuredOutput) -> GenerateRequest {
    decoding(|decoding| decoding.structured_output = Some(output))
}

fn stopping(change: impl FnOnce(&mut StoppingCriteria)) -> GenerateRequest {
    let mut stopping = StoppingCriteria::default();
    change(&mut stopping);
    GenerateRequest { stopping: Some(stopping), ..request(4) }
}

fn response(change: impl FnOnce(&mut ResponseOptions)) -> GenerateRequest {
    let mut response = ResponseOptions::default();
    change(&mut response);
    GenerateRequest { response: Some(response), ..request(4) }
}

fn kv(change: impl FnOnce(&mut KvCacheParameters)) -> GenerateRequest {
    let mut kv = KvCacheParameters::default();
    change(&mut kv);
    GenerateRequest { kv: Some(kv), ..request(4) }
}

fn sampling(num_sequences: u32) -> GenerateRequest {
    let sampling = RandomSampling { num_sequences, top_p: Some(0.5), ..Default::default() };
    GenerateRequest { sampling: Some(sampling), temperature: Some(0.7), ..request(4) }
}

#[test]
fn every_unsupported_field_is_rejected_by_name() {
    let text = |text: &str| text.to_owned();
    let ids = || TokenIds { ids: vec![1] };
    let cases = [
        ("prompt", GenerateRequest::default()),
        ("text", GenerateRequest { prompt: Some(Prompt::Text(text("hi"))), ..request(0) }),
        ("token_ids", request(0)),
        ("truncate_prompt_tokens", GenerateRequest { truncate_prompt_tokens: 9, ..request(4) }),
        ("media", GenerateRequest { media: vec![MediaItem::default()], ..request(4) }),
        ("lora_name", GenerateRequest { lora_name: text("l"), ..request(4) }),
        (
            "engine_reasoning_gate",
            GenerateRequest {
                engine_reasoning_gate: Some(EngineReasoningGate::default()),
                ..request(4)
            },
        ),
        ("sampling.num_sequences", sampling(2)),
        ("decoding.json", structured(StructuredOutput::Json(text("{}")))),
        ("decoding.regex", structured(StructuredOutput::Regex(text(".")))),
        ("decoding.choice", structured(StructuredOutput::Choice(StringChoices::default()))),
        ("decoding.grammar", structured(StructuredOutput::Grammar(text("g")))),
        ("decoding.json_object", structured(StructuredOutput::JsonObject(true))),
        ("decoding.structural_tag", structured(StructuredOutput::StructuralTag(text("t")))),
        ("decoding.allowed_token_ids", decoding(|d| d.allowed_token_ids = vec![1])),
        ("decoding.bad_words_token_ids", decoding(|d| d.bad_words_token_ids = vec![ids()])),
        ("stopping.stop_token_ids", stopping(|s| s.stop_token_ids = vec![1])),
        ("stopping.stop_strings", stopping(|s| s.stop_strings = vec![text("x")])),
        ("stopping.include_stop_strings", stopping(|s| s.include_stop_strings = true)),
        ("stopping.thinking_token_budget", stopping(|s| s.thinking_token_budget = Some(0))),
        ("stopping.min_new_tokens", stopping(|s| s.min_new_tokens = 21)),
        ("response.prompt_logprobs", response(|r| r.prompt_logprobs = true)),
        (
            "response.prompt_candidates",
            response(|r| r.prompt_candidates = Some(CandidateTokens::default())),
        ),
        ("response.output_text", response(|r| r.output_text = Some(true))),
        ("response.output_logprobs", response(|r| r.output_logprobs = true)),
        (
            "response.output_candidates",
            response(|r| r.output_candidates = Some(CandidateTokens::default())),
        ),
        ("kv.bypass_prefix_cache", kv(|kv| kv.bypass_prefix_cache = true)),
        ("kv.kv_transfer_params", kv(|kv| kv.kv_transfer_params = Some(Default::default()))),
        ("kv.ec_transfer_params", kv(|kv| kv.ec_transfer_params = Some(Default::default()))),
    ];
    for (field, request) in cases {
        let status = accept(&request, "m").expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        let named = status.message().split(':').next();
        assert_eq!(named, Some(field), "{}", status.message());
    }
}

#[test]
fn ignored_fields_are_accepted() {
    let ignored = [
        sampling(0),
        sampling(1),
        decoding(|d| (d.presence_penalty, d.repetition_penalty) = (0.5, 1.1)),
        decoding(|d| d.logit_bias = [(7, 1.0)].into()),
        stopping(|s| s.ignore_eos = true),
        stopping(|s| s.thinking_token_budget = Some(-1)),
        response(|r| (r.skip_special_tokens, r.output_text) = (Some(false), Some(false))),
        GenerateRequest { watermarking: Some(false), priority: 3, ..request(4) },
    ];
    for request in ignored {
        let accepted = accept(&request, "m").expect("an ignored field");
        assert_eq!((accepted.prompt.len(), accepted.max_new_tokens), (4, DEFAULT_NEW_TOKENS));
    }
}

#[test]
fn supported_fields_are_read() {
    let full = GenerateRequest {
        request_id: "r1".into(),
        model: "m".into(),
        session_id: Some("s".into()),
        priority: -2,
        stopping: Some(StoppingCriteria {
            max_new_tokens: 9,
            min_new_tokens: 9,
            ..Default::default()
        }),
        kv: Some(KvCacheParameters { cache_salt: "salt".into(), ..Default::default() }),
        response: Some(ResponseOptions {
            prompt_token_ids: true,
            output_token_ids: true,
            ..Default::default()
        }),
        ..request(3)
    };
    let expected = Accepted {
        request_id: "r1".into(),
        prompt: vec![0, 1, 2],
        max_new_tokens: 9,
        min_new_tokens: 9,
        session_id: Some("s".into()),
        cache_salt: "salt".into(),
        priority: -2,
        want_output_ids: true,
        want_prompt_ids: true,
        pull: None,
        scope: warmpath_proto::scope::ScopeHint::default(),
        transfer: None,
        trace: None,
    };
    assert_eq!(accept(&full, "m").unwrap(), expected);
    let other = accept(&full, "n").unwrap_err();
    assert_eq!(other.code(), Code::NotFound);
    assert_eq!(other.message(), "model: 'm', expected 'n'");
}

#[test]
fn prompts_of_all_sizes_up_to_the_largest_are_accepted() {
    for tokens in [1, BLOCK - 1, BLOCK, BLOCK + 1] {
        assert_eq!(accept(&request(tokens), "").unwrap().prompt.len(), tokens);
    }
    let most = MAX_MODEL_LEN as usize - DEFAULT_NEW_TOKENS as usize;
    assert_eq!(accept(&request(most), "").unwrap().total_tokens(), MAX_MODEL_LEN);
    let status = accept(&request(most + 1), "").unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("4194305, expected at most 4194304"), "{status}");
    let endless = stopping(|s| s.max_new_tokens = u32::MAX);
    assert_eq!(accept(&endless, "").unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn ids_outside_the_vocabulary_are_rejected() {
    let prompt = |id| GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids: vec![1, id] })),
        ..Default::default()
    };
    assert!(accept(&prompt(VOCABULARY - 1), "").is_ok());
    let status = accept(&prompt(VOCABULARY), "").unwrap_err();
    assert_eq!(status.message(), "token_ids: id 1 is 128256, expected below 128256");
}
