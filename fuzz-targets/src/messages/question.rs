//! A request, as a client or a router sends it.

use prost::Message;
use tonic::Code;
use warmpath_core::block::hash_blocks;
use warmpath_proto::generate::{self, MAX_MODEL_LEN, MAX_NAME_BYTES};
use warmpath_proto::hints::{self, Holder, PullHint};
use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::scope::ScopeHint;
use warmpath_proto::transfer;
use warmpath_proto::vllm::{
    GenerateRequest, KvCacheParameters, ResponseOptions, StoppingCriteria, TokenIds,
    generate_request::Prompt,
};

const MODEL: &str = "m";

/// The request that goes on to a worker is the request that came, with the small fields anew. What the
/// router accepts keeps the limits that it states.
pub fn run(message: &Bytes) {
    let mut request = match raw::request(message) {
        Ok(request) => request,
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument);
            return;
        }
    };
    let whole = request.clone();
    match generate::accept(&mut request, MODEL) {
        Err(status) => {
            let code = status.code();
            assert!(matches!(code, Code::InvalidArgument | Code::NotFound), "{status}");
        }
        Ok(accepted) => {
            assert!(!accepted.prompt.is_empty() && accepted.max_new_tokens > 0);
            assert!(accepted.total_tokens() <= MAX_MODEL_LEN);
            assert!(accepted.min_new_tokens <= accepted.max_new_tokens);
            assert!(accepted.request_id.len() <= MAX_NAME_BYTES);
            let scope = accepted.scope.plan(&accepted.cache_salt, MODEL, 16);
            let chain = hash_blocks(&scope, &accepted.prompt);
            assert_eq!(chain.blocks() as usize, accepted.prompt.len() / 16);
            if let Some(transfer::Transfer::Answer(remote)) = &accepted.transfer {
                remote.url(false);
                remote.cached_tokens();
            }
            let session = accepted.session_id.unwrap_or_default();
            generate::session_number("tenant", &session);
        }
    }
    let mut small = whole.clone();
    if let Some(Prompt::TokenIds(TokenIds { ids })) = small.prompt.take() {
        small.request_id = "ours".to_owned();
        let upstream = raw::upstream(&small, message, &ids);
        let read = GenerateRequest::decode(upstream).expect("what was written");
        let expected = GenerateRequest { request_id: "ours".to_owned(), ..whole };
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    }
}

pub fn request() -> GenerateRequest {
    let pull = PullHint { holder: Holder::Peer, from: "http://h:1".to_owned(), blocks: 9 };
    let scope = ScopeHint { public_salt: "ab".to_owned(), public_blocks: 1, tenant: 3 };
    GenerateRequest {
        request_id: "r-1".to_owned(),
        model: MODEL.to_owned(),
        session_id: Some("s".to_owned()),
        prompt: Some(Prompt::TokenIds(TokenIds { ids: (0..40).collect() })),
        stopping: Some(StoppingCriteria {
            max_new_tokens: 5,
            min_new_tokens: 2,
            ..Default::default()
        }),
        kv: Some(KvCacheParameters {
            cache_salt: "salt".to_owned(),
            kv_transfer_params: Some(transfer::compute()),
            ..Default::default()
        }),
        kv_hints: Some(hints::to_wire("r-1", vec![pull.to_action(), scope.to_action()])),
        response: Some(ResponseOptions { output_token_ids: true, ..Default::default() }),
        priority: -1,
        ..Default::default()
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = GenerateRequest { prompt: Some(Prompt::Text("é".to_owned())), ..request() };
    let whole = request().encode_to_vec();
    // A prompt in two pieces.
    let ids = Prompt::TokenIds(TokenIds { ids: vec![7, 8] });
    let more = GenerateRequest { prompt: Some(ids), ..Default::default() }.encode_to_vec();
    vec![[&whole[..], &more].concat(), whole, text.encode_to_vec()]
}
