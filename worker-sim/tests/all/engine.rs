//! SMG's contract with an engine, `vllm.grpc.engine.VllmEngine`, against a client of it.

use crate::common::*;
use std::collections::BTreeMap;
use tonic::transport::Channel;
use tonic::{Code, Status};
use warmpath_core::tokens::TokenStream;
use warmpath_proto::engine::common::{
    FlushCacheRequest, GetTokenizerRequest, KvEventBatch, StartProfileRequest, StopProfileRequest,
    SubscribeKvEventsRequest, kv_cache_event::Data,
};
use warmpath_proto::engine::generate_request::Input;
use warmpath_proto::engine::generate_response::Response;
use warmpath_proto::engine::vllm_engine_client::VllmEngineClient;
use warmpath_proto::engine::{
    AbortRequest, ChoiceConstraint, EmbedRequest, GenerateComplete, GenerateRequest,
    GenerateStreamChunk, GetLoadsRequest, GetModelInfoRequest, GetServerInfoRequest,
    HealthCheckRequest, KvTransferParams, MediaRefs, MultimodalInputs, SamplingParams,
    TokenizedInput, sampling_params::Constraint,
};
use warmpath_worker_sim::{KvEventsConfig, WorkerConfig};

type Client = VllmEngineClient<Channel>;

fn client(worker: &Worker) -> Client {
    VllmEngineClient::new(worker.channel.clone())
}

/// Prompt ids, the same for the same seed.
fn ids(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|place| seed * 10_000 + place).collect()
}

fn asked(prompt: Vec<u32>, max_tokens: u32, stream: bool) -> GenerateRequest {
    let tokenized = TokenizedInput { original_text: String::new(), input_ids: prompt };
    let sampling = SamplingParams { max_tokens: Some(max_tokens), ..Default::default() };
    GenerateRequest {
        input: Some(Input::Tokenized(tokenized)),
        sampling_params: Some(sampling),
        stream,
        ..Default::default()
    }
}

/// The chunks of an answer, and its end.
async fn answer(
    client: &Client,
    request: GenerateRequest,
) -> Result<(Vec<GenerateStreamChunk>, GenerateComplete), Status> {
    within(async {
        let mut stream = client.clone().generate(request).await?.into_inner();
        let mut chunks = Vec::new();
        loop {
            match stream.message().await?.expect("an end").response.expect("a response") {
                Response::Chunk(chunk) => chunks.push(chunk),
                Response::Complete(complete) => {
                    assert!(stream.message().await?.is_none(), "nothing after the end");
                    return Ok((chunks, complete));
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_parts_or_whole_and_say_what_was_cached() {
    let worker = Worker::start(config(50.0)).await;
    let client = client(&worker);
    let prompt = ids(1, 100);
    let mut stream = TokenStream::default();
    stream.extend(&prompt);
    let expected: Vec<u32> = (0..40).map(|_| stream.generate()).collect();

    let (chunks, end) = answer(&client, asked(prompt.clone(), 40, true)).await.unwrap();
    let tokens: Vec<u32> = chunks.iter().flat_map(|chunk| chunk.token_ids.clone()).collect();
    assert_eq!(tokens, expected);
    for chunk in &chunks {
        assert_eq!((chunk.prompt_tokens, chunk.index), (100, 0));
        assert_eq!(chunk.completion_tokens as usize, chunk.token_ids.len(), "its own tokens");
    }
    assert_eq!(end.finish_reason, "length");
    assert_eq!((end.prompt_tokens, end.cached_tokens), (100, 0));
    assert_eq!(Some(&end.output_ids), chunks.last().map(|chunk| &chunk.token_ids));

    let (chunks, end) = answer(&client, asked(prompt, 40, false)).await.unwrap();
    assert!(chunks.is_empty(), "{chunks:?}");
    assert_eq!(end.output_ids, expected);
    // The last block of 16 is not whole.
    assert_eq!((end.completion_tokens, end.cached_tokens), (40, 96));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_honoured_is_refused_by_its_name() {
    let worker = Worker::start(config(50.0)).await;
    let client = client(&worker);
    let with = |change: fn(&mut GenerateRequest)| {
        let mut request = asked(ids(1, 20), 2, true);
        change(&mut request);
        request
    };
    let sampled = |change: fn(&mut SamplingParams)| {
        let mut request = asked(ids(1, 20), 2, true);
        change(request.sampling_params.as_mut().unwrap());
        request
    };
    let cases = [
        ("text", with(|r| r.input = Some(Input::Text("hello".into())))),
        ("input", with(|r| r.input = None)),
        ("token_ids", with(|r| r.input = Some(Input::Tokenized(TokenizedInput::default())))),
        ("mm_inputs", with(|r| r.mm_inputs = Some(MultimodalInputs {}))),
        ("media_refs", with(|r| r.media_refs = Some(MediaRefs {}))),
        ("kv_transfer_params", with(|r| r.kv_transfer_params = Some(KvTransferParams {}))),
        ("kv_transfer_params_json", with(|r| r.kv_transfer_params_json = Some("{}".into()))),
        ("data_parallel_rank", with(|r| r.data_parallel_rank = Some(1))),
        ("sampling_params.max_tokens", sampled(|s| s.max_tokens = Some(0))),
        ("sampling_params.n", sampled(|s| s.n = 2)),
        ("sampling_params.stop", sampled(|s| s.stop = vec!["x".into()])),
        ("sampling_params.stop_token_ids", sampled(|s| s.stop_token_ids = vec![2])),
        (
            "sampling_params.include_stop_str_in_output",
            sampled(|s| s.include_stop_str_in_output = true),
        ),
        ("sampling_params.logprobs", sampled(|s| s.logprobs = Some(1))),
        ("sampling_params.prompt_logprobs", sampled(|s| s.prompt_logprobs = Some(1))),
        ("sampling_params.truncate_prompt_tokens", sampled(|s| s.truncate_prompt_tokens = Some(9))),
        (
            "sampling_params.constraint",
            sampled(|s| s.constraint = Some(Constraint::Choice(ChoiceConstraint {}))),
        ),
    ];
    for (field, request) in cases {
        let error = answer(&client, request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{field}: {error}");
        assert!(error.message().starts_with(&format!("{field}: ")), "{field}: {error}");
    }
    let fine = with(|r| r.data_parallel_rank = Some(0));
    answer(&client, fine).await.expect("the only rank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_says_who_it_is_and_what_it_does_not_do() {
    let config = config(1.0);
    let longest = config.profile.max_num_seqs;
    let worker = Worker::start(WorkerConfig { model: "m".to_owned(), ..config }).await;
    let mut client = client(&worker);
    let health = within(client.health_check(HealthCheckRequest {})).await.unwrap().into_inner();
    assert!(health.healthy, "{health:?}");
    let model = within(client.get_model_info(GetModelInfoRequest {})).await.unwrap().into_inner();
    assert_eq!((model.served_model_name.as_str(), model.is_generation), ("m", true));
    assert!(model.max_context_length > 0 && model.vocab_size > 0, "{model:?}");
    let server = within(client.get_server_info(GetServerInfoRequest {})).await;
    let server = server.unwrap().into_inner();
    assert_eq!((server.server_type.as_str(), server.block_size), ("vllm-grpc", BLOCK as i32));
    assert_eq!((server.active_requests, server.max_num_seqs), (0, longest as i32));

    // A long answer is under way.
    let request = GenerateRequest { request_id: "long".into(), ..asked(ids(1, 50), 5_000, true) };
    let mut stream = within(client.generate(request)).await.unwrap().into_inner();
    within(stream.message()).await.unwrap().expect("a first part");
    let loads = within(client.get_loads(GetLoadsRequest::default())).await.unwrap().into_inner();
    let [load] = loads.loads.as_slice() else { panic!("{loads:?}") };
    assert_eq!((load.num_running_reqs, load.num_waiting_reqs), (1, 0));
    assert!(load.num_used_tokens >= 50, "{load:?}");
    let flush = FlushCacheRequest { timeout_s: 0.0 };
    let busy = within(client.flush_cache(flush)).await.unwrap().into_inner();
    assert!(!busy.success && busy.message.contains("1 requests"), "{busy:?}");
    let names = AbortRequest { request_ids: vec!["long".to_owned(), "unknown".to_owned()] };
    within(client.abort(names)).await.unwrap();
    let mut last = None;
    while let Some(message) = within(stream.message()).await.unwrap() {
        last = message.response;
    }
    let Some(Response::Complete(end)) = last else { panic!("{last:?}") };
    assert_eq!(end.finish_reason, "abort");
    let flushed = within(client.flush_cache(FlushCacheRequest { timeout_s: 5.0 })).await;
    assert!(flushed.unwrap().into_inner().success);
    let (_, again) = answer(&client, asked(ids(1, 50), 1, false)).await.unwrap();
    assert_eq!(again.cached_tokens, 0, "the cache was emptied");

    let rank = GetLoadsRequest { dp_rank: Some(3), ..Default::default() };
    assert_eq!(within(client.get_loads(rank)).await.unwrap_err().code(), Code::InvalidArgument);
    let events = SubscribeKvEventsRequest::default();
    let errors = [
        ("embed", within(client.embed(EmbedRequest {})).await.unwrap_err()),
        ("start_profile", within(client.start_profile(StartProfileRequest {})).await.unwrap_err()),
        ("stop_profile", within(client.stop_profile(StopProfileRequest {})).await.unwrap_err()),
        ("get_tokenizer", within(client.get_tokenizer(GetTokenizerRequest {})).await.unwrap_err()),
        ("subscribe_kv_events", within(client.subscribe_kv_events(events)).await.unwrap_err()),
    ];
    for (call, error) in errors {
        assert_eq!(error.code(), Code::Unimplemented, "{call}: {error}");
        assert!(error.message().starts_with(&format!("{call}: ")), "{error}");
    }
}

/// What a subscriber knows: the blocks by their names, each with its tokens.
#[derive(Default)]
struct Known {
    blocks: BTreeMap<i64, Vec<u32>>,
    last: u64,
    loads: u64,
}

impl Known {
    fn hear(&mut self, batch: KvEventBatch) {
        if let Some(load) = batch.load {
            assert!(load.load_only && batch.events.is_empty());
            assert!(batch.sequence_number == 0 || batch.sequence_number == self.last);
            self.loads += 1;
            return;
        }
        let follows = self.last == 0 || batch.sequence_number == self.last + 1;
        assert!(follows, "{} after {}", batch.sequence_number, self.last);
        self.last = batch.sequence_number;
        for event in batch.events {
            match event.data.expect("data") {
                Data::Stored(stored) => {
                    let parent = stored.parent_block_hash;
                    assert!(parent.is_none_or(|parent| self.blocks.contains_key(&parent)));
                    for block in stored.blocks {
                        assert_eq!(block.block_size, BLOCK as i32);
                        self.blocks.insert(block.block_hash, block.token_ids);
                    }
                }
                Data::Removed(removed) => {
                    for hash in removed.block_hashes {
                        self.blocks.remove(&hash).expect("a known block");
                    }
                }
                Data::Cleared(_) => self.blocks.clear(),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_know_what_the_worker_holds_whenever_they_come() {
    let kv_events = Some(KvEventsConfig::new("tcp://127.0.0.1:0"));
    let worker = Worker::start(WorkerConfig { kv_events, ..config(50.0) }).await;
    let mut client = client(&worker);
    let early =
        SubscribeKvEventsRequest { load_records_before_first_batch: true, ..Default::default() };
    let mut first = within(client.subscribe_kv_events(early)).await.unwrap().into_inner();
    let mut known = Known::default();
    let prompt = ids(3, 4 * BLOCK);
    answer(&client, asked(prompt.clone(), 2, false)).await.unwrap();
    within(async {
        while known.blocks.len() < 4 || known.loads == 0 {
            known.hear(first.message().await.unwrap().expect("the stream goes on"));
        }
    })
    .await;
    let mut tokens: Vec<u32> = known.blocks.values().flatten().copied().collect();
    tokens.sort_unstable();
    assert_eq!(tokens, prompt);

    // Another one comes later, and hears of the same blocks.
    let late = SubscribeKvEventsRequest::default();
    let mut second = within(client.subscribe_kv_events(late)).await.unwrap().into_inner();
    let mut other = Known::default();
    let batch = within(second.message()).await.unwrap().expect("what is held");
    let part = batch.snapshot.expect("a part of what is held");
    assert_eq!((part.index, part.count, part.blocks, part.unknown_before), (0, 1, 4, 0));
    other.hear(batch);
    assert_eq!((&other.blocks, other.last), (&known.blocks, known.last));

    // Both hear that the cache was emptied.
    within(client.flush_cache(FlushCacheRequest { timeout_s: 5.0 })).await.unwrap();
    for (stream, known) in [(&mut first, &mut known), (&mut second, &mut other)] {
        within(async {
            while !known.blocks.is_empty() {
                known.hear(stream.message().await.unwrap().expect("the stream goes on"));
            }
        })
        .await;
    }
}
