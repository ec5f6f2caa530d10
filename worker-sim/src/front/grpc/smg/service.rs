//! The calls of `vllm.grpc.engine.VllmEngine`.

use super::answer::AnswerStream;
use super::ask::as_vllms;
use super::events::subscribe;
use super::load::scheduler_load;
use crate::front::grpc::status::of_refusal;
use crate::submit::submit;
use crate::worker::WorkerState;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use warmpath_core::tokens::VOCABULARY;
use warmpath_proto::clock::{now, since};
use warmpath_proto::engine::common::{
    FlushCacheRequest, FlushCacheResponse, GetTokenizerChunk, GetTokenizerRequest, KvEventBatch,
    ProfileResponse, StartProfileRequest, StopProfileRequest, SubscribeKvEventsRequest,
};
use warmpath_proto::engine::vllm_engine_server::VllmEngine;
use warmpath_proto::engine::{
    AbortRequest, AbortResponse, EmbedRequest, EmbedResponse, GenerateRequest, GetLoadsRequest,
    GetLoadsResponse, GetModelInfoRequest, GetModelInfoResponse, GetServerInfoRequest,
    GetServerInfoResponse, HealthCheckRequest, HealthCheckResponse,
};
use warmpath_proto::generate::{self, MAX_MODEL_LEN};
use warmpath_proto::status::not_simulated;
use warmpath_proto::traces::TraceContext;

/// The longest time that a flush waits for the engine to be idle.
const MOST_FLUSH_S: f32 = 60.0;

/// A worker, as SMG sees it.
#[derive(Clone, Debug)]
pub struct EngineService {
    worker: Arc<WorkerState>,
    started: Instant,
}

impl EngineService {
    pub fn new(worker: &Arc<WorkerState>) -> Self {
        Self { worker: Arc::clone(worker), started: now() }
    }

    fn max_model_len(&self) -> u32 {
        let room = self.worker.config.profile.hbm_tokens.unwrap_or(u64::MAX);
        room.min(u64::from(MAX_MODEL_LEN)) as u32
    }
}

#[tonic::async_trait]
impl VllmEngine for EngineService {
    type GenerateStream = AnswerStream;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<AnswerStream>, Status> {
        let worker = &self.worker;
        worker.refuse_if_draining().map_err(of_refusal)?;
        let trace = TraceContext::of_metadata(request.metadata());
        let request = request.into_inner();
        let in_parts = request.stream;
        let mut request = as_vllms(request)?;
        let mut accepted = generate::accept(&mut request, &worker.config.model)?;
        accepted.trace = trace;
        let prompt_tokens = accepted.prompt.len() as u32;
        let answer = submit(worker, accepted).await.map_err(of_refusal)?;
        Ok(Response::new(AnswerStream::new(answer, prompt_tokens, in_parts)))
    }

    async fn health_check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let refused = self.worker.refuse_if_draining().err();
        let message = refused.as_ref().map_or_else(|| "ok".to_owned(), ToString::to_string);
        Ok(Response::new(HealthCheckResponse { healthy: refused.is_none(), message }))
    }

    async fn abort(
        &self,
        request: Request<AbortRequest>,
    ) -> Result<Response<AbortResponse>, Status> {
        self.worker.abort(&request.into_inner().request_ids).map_err(of_refusal)?;
        Ok(Response::new(AbortResponse {}))
    }

    async fn get_model_info(
        &self,
        _: Request<GetModelInfoRequest>,
    ) -> Result<Response<GetModelInfoResponse>, Status> {
        let config = &self.worker.config;
        let model = config.model.clone();
        // SMG loads it from there. The built-in tokenizer is no file, so then it needs one of its own.
        let folder = config.http.tokenizer.as_ref().map(|folder| folder.display().to_string());
        let longest = self.max_model_len();
        Ok(Response::new(GetModelInfoResponse {
            model_path: model.clone(),
            is_generation: true,
            max_context_length: longest,
            vocab_size: VOCABULARY,
            served_model_name: model.clone(),
            tokenizer_path: folder.unwrap_or(model),
            model_type: "simulated".to_owned(),
            max_req_input_len: longest as i32,
        }))
    }

    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let report = self.worker.load().await.map_err(of_refusal)?;
        let profile = &self.worker.config.profile;
        Ok(Response::new(GetServerInfoResponse {
            active_requests: report.running + report.waiting,
            is_paused: false,
            uptime_seconds: since(self.started).as_secs_f64(),
            // What SMG knows an engine of this contract by.
            server_type: "vllm-grpc".to_owned(),
            data_parallel_size: 1,
            kv_cache_dtype: "auto".to_owned(),
            block_size: profile.block_size as i32,
            max_num_seqs: profile.max_num_seqs as i32,
        }))
    }

    async fn get_loads(
        &self,
        request: Request<GetLoadsRequest>,
    ) -> Result<Response<GetLoadsResponse>, Status> {
        if let Some(rank) = request.into_inner().dp_rank.filter(|&rank| rank != 0) {
            let why = format!("dp_rank: {rank}, expected 0, the only rank");
            return Err(Status::invalid_argument(why));
        }
        let report = self.worker.load().await.map_err(of_refusal)?;
        Ok(Response::new(GetLoadsResponse {
            timestamp: String::new(),
            version: concat!("warmpath-worker-sim ", env!("CARGO_PKG_VERSION")).to_owned(),
            dp_rank_count: 1,
            loads: vec![scheduler_load(&self.worker.config, &report)],
        }))
    }

    async fn flush_cache(
        &self,
        request: Request<FlushCacheRequest>,
    ) -> Result<Response<FlushCacheResponse>, Status> {
        let wait_s = request.into_inner().timeout_s;
        if !(0.0..=MOST_FLUSH_S).contains(&wait_s) {
            let why = format!("timeout_s: {wait_s}, expected 0 to {MOST_FLUSH_S}");
            return Err(Status::invalid_argument(why));
        }
        let until = now() + Duration::from_secs_f32(wait_s);
        loop {
            let report = self.worker.load().await.map_err(of_refusal)?;
            let requests = report.running + report.waiting;
            if requests == 0 {
                break;
            }
            if now() >= until {
                let message = format!("{requests} requests are under way");
                return Ok(Response::new(FlushCacheResponse { success: false, message }));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let done = self.worker.reset(false).await.map_err(of_refusal)?;
        let message = format!("{} copies of blocks were dropped", done.dropped);
        Ok(Response::new(FlushCacheResponse { success: true, message }))
    }

    type SubscribeKvEventsStream = ReceiverStream<Result<KvEventBatch, Status>>;

    /// Every subscriber is told what is held now, whatever it had before.
    async fn subscribe_kv_events(
        &self,
        request: Request<SubscribeKvEventsRequest>,
    ) -> Result<Response<Self::SubscribeKvEventsStream>, Status> {
        let Some(events) = &self.worker.kv_events else {
            let why =
                "subscribe_kv_events: this worker publishes no KV events, expected --kv-events";
            return Err(Status::unimplemented(why));
        };
        let early = request.into_inner().load_records_before_first_batch;
        Ok(Response::new(subscribe(&self.worker, events, early)))
    }

    async fn embed(&self, _: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        Err(not_simulated("embed"))
    }

    async fn start_profile(
        &self,
        _: Request<StartProfileRequest>,
    ) -> Result<Response<ProfileResponse>, Status> {
        Err(not_simulated("start_profile"))
    }

    async fn stop_profile(
        &self,
        _: Request<StopProfileRequest>,
    ) -> Result<Response<ProfileResponse>, Status> {
        Err(not_simulated("stop_profile"))
    }

    type GetTokenizerStream = ReceiverStream<Result<GetTokenizerChunk, Status>>;

    async fn get_tokenizer(
        &self,
        _: Request<GetTokenizerRequest>,
    ) -> Result<Response<Self::GetTokenizerStream>, Status> {
        Err(not_simulated("get_tokenizer"))
    }
}
