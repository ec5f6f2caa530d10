//! vLLM's control calls, as far as a server without weights can answer them. Router and worker
//! implement [`Controlled`]; all other calls are UNIMPLEMENTED.

use crate::status::not_simulated;
use crate::vllm::{self, control_server::Control};
use std::sync::Arc;
use tonic::{Extensions, Request, Response, Status};

/// Response metadata of `GetServerInfo`, and a header of `/v1/models`: the speed of model time, which only simulated engines have. A
/// client that plays a workload must use the same speed.
pub const SPEEDUP: &str = "x-warmpath-speedup";

/// The server behind the control calls.
#[tonic::async_trait]
pub trait Controlled: Send + Sync + 'static {
    /// The answer to `GetServerInfo`.
    fn server_info(&self) -> vllm::ServerInfo;

    /// The answer to `GetKvEventSources`. Empty where only `warmpath.v1.WorkerState` has the KV events.
    fn kv_event_sources(&self) -> Vec<vllm::KvEventSource> {
        Vec::new()
    }

    /// Model seconds a wall second.
    fn speedup(&self) -> f64;

    /// The name of the served model. The error is UNAVAILABLE before a model is served.
    fn model(&self) -> Result<String, Status>;

    /// Ends the caller's requests with these ids. Unknown ids are no error.
    async fn abort(&self, caller: &Extensions, request_ids: &[String]) -> Result<(), Status>;
}

/// The control service of a server.
#[derive(Debug)]
pub struct ControlService<T>(pub Arc<T>);

macro_rules! control {
    ($($call:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl<T: Controlled> Control for ControlService<T> {
            async fn get_server_info(
                &self,
                _: Request<vllm::GetServerInfoRequest>,
            ) -> Result<Response<vllm::ServerInfo>, Status> {
                let mut response = Response::new(self.0.server_info());
                if let Ok(speedup) = self.0.speedup().to_string().parse() {
                    response.metadata_mut().insert(SPEEDUP, speedup);
                }
                Ok(response)
            }

            async fn get_model_info(
                &self,
                _: Request<vllm::GetModelInfoRequest>,
            ) -> Result<Response<vllm::ModelInfo>, Status> {
                let model = self.0.model()?;
                Ok(Response::new(vllm::ModelInfo {
                    model_id: model.clone(),
                    served_model_name: model,
                    supports_token_ids_input: true,
                    ..Default::default()
                }))
            }

            async fn abort(
                &self,
                request: Request<vllm::AbortRequest>,
            ) -> Result<Response<vllm::AbortResponse>, Status> {
                let (_, caller, request) = request.into_parts();
                self.0.abort(&caller, &request.request_ids).await?;
                Ok(Response::new(vllm::AbortResponse {}))
            }

            async fn get_kv_event_sources(
                &self,
                _: Request<vllm::GetKvEventSourcesRequest>,
            ) -> Result<Response<vllm::GetKvEventSourcesResponse>, Status> {
                let sources = self.0.kv_event_sources();
                Ok(Response::new(vllm::GetKvEventSourcesResponse { sources }))
            }

            $(async fn $call(
                &self,
                _: Request<vllm::$request>,
            ) -> Result<Response<vllm::$response>, Status> {
                Err(not_simulated(stringify!($call)))
            })*
        }
    };
}

control! {
    shutdown(ShutdownRequest) -> ShutdownResponse;
    load_lora(LoadLoraRequest) -> LoadLoraResponse;
    unload_lora(UnloadLoraRequest) -> UnloadLoraResponse;
    list_loras(ListLorasRequest) -> ListLorasResponse;
    pause_generation(PauseGenerationRequest) -> PauseGenerationResponse;
    resume_generation(ResumeGenerationRequest) -> ResumeGenerationResponse;
    is_paused(IsPausedRequest) -> IsPausedResponse;
    sleep(SleepRequest) -> SleepResponse;
    wake_up(WakeUpRequest) -> WakeUpResponse;
    is_sleeping(IsSleepingRequest) -> IsSleepingResponse;
    init_weight_transfer_engine(InitWeightTransferEngineRequest) -> InitWeightTransferEngineResponse;
    start_weight_update(StartWeightUpdateRequest) -> StartWeightUpdateResponse;
    start_draft_weight_update(StartDraftWeightUpdateRequest) -> StartDraftWeightUpdateResponse;
    update_weights(UpdateWeightsRequest) -> UpdateWeightsResponse;
    finish_weight_update(FinishWeightUpdateRequest) -> FinishWeightUpdateResponse;
    update_weight_version(UpdateWeightVersionRequest) -> UpdateWeightVersionResponse;
    get_weight_version(GetWeightVersionRequest) -> GetWeightVersionResponse;
}
