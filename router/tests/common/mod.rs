//! A fleet on loopback sockets: real servers, in this process.

#![allow(dead_code)] // Each test file uses its part of this.

pub mod certificates;
pub mod engine;
pub mod fake;
pub mod faulty;
pub mod http_engine;
pub mod sibling;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Streaming;
use tonic::transport::Channel;
use warmpath_core::engine::profile::{LinearStep, Profile, StepTime};
use warmpath_core::engine::store::eviction::EvictionRule;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::tokens::{Segment, TokenStream, materialize};
use warmpath_proto::transport;
use warmpath_proto::v1::watch_response::Message;
use warmpath_proto::v1::worker_state_client::WorkerStateClient;
use warmpath_proto::v1::{LoadReport, WatchRequest};
use warmpath_proto::vllm::inference_client::InferenceClient;
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, ResponseOptions, StoppingCriteria, TokenIds,
    generate_request::Prompt,
};
use warmpath_router::{Counts, FleetStatus, RouterConfig, RouterServer, ServeError};
use warmpath_worker_sim::{Http, Listeners, WorkerConfig};

pub const SPEEDUP: f64 = 20.0;
pub const BLOCK: u32 = 16;
/// No test takes longer, or it has failed.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A small worker: 10 ms a decode step, 50 µs a prompt token.
pub fn profile() -> Profile {
    Profile {
        name: "test".into(),
        validated: false,
        block_size: BLOCK,
        hbm_tokens: None,
        kv_bytes_per_token: 100_000,
        max_num_seqs: 256,
        max_num_batched_tokens: 2_048,
        step: StepTime::Linear(LinearStep {
            base_ns: 4e6,
            weights_ns: 6e6,
            ns_per_token: 5e4,
            ns_per_pair: 1.0,
            ns_per_context_token: 1.0,
            ns_per_seq: 1e3,
        }),
        eviction: EvictionRule::Lru,
        tiers: Vec::new(),
        pool: None,
        peers: None,
    }
}

pub fn worker_config() -> WorkerConfig {
    WorkerConfig { speedup: SPEEDUP, flush_ms: 5, ..WorkerConfig::new(profile()) }
}

/// A worker with a runtime of its own, so that it can be killed like a process.
pub struct TestWorker {
    pub address: SocketAddr,
    /// Where it speaks OpenAI's HTTP, if it does.
    pub http: Option<SocketAddr>,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    served: Option<JoinHandle<()>>,
}

impl TestWorker {
    pub fn start(config: WorkerConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), config)
    }

    pub fn start_at(address: SocketAddr, config: WorkerConfig) -> Self {
        Self::start_with(address, false, config)
    }

    /// With OpenAI's HTTP beside its gRPC.
    pub fn with_http(config: WorkerConfig) -> Self {
        Self::start_with("127.0.0.1:0".parse().unwrap(), true, config)
    }

    fn start_with(address: SocketAddr, http: bool, config: WorkerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let listener = listen(&runtime, address);
        let address = listener.local_addr().unwrap();
        let http = http.then(|| listen(&runtime, "127.0.0.1:0".parse().unwrap()));
        let http_at = http.as_ref().map(|listener| listener.local_addr().unwrap());
        let http = http.map(|listener| Http { listener, metrics: None });
        let served = runtime.spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|&stop| stop).await;
            };
            let listeners = Listeners { grpc: listener.into(), http };
            warmpath_worker_sim::serve(listeners, config, stopped).await.unwrap();
        });
        Self { address, http: http_at, runtime: Some(runtime), stop, served: Some(served) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn http_url(&self) -> String {
        format!("http://{}", self.http.expect("with HTTP"))
    }

    /// Where a worker with TLS is.
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// No goodbye: its sockets close, and that is all anyone hears.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn stopped(&mut self) {
        within(self.served.take().expect("stopped once")).await.unwrap();
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A killed worker's port is free a moment later.
fn listen(runtime: &Runtime, address: SocketAddr) -> TcpListener {
    let _entered = runtime.enter();
    let mut last = None;
    for _ in 0..200 {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true).unwrap();
                return TcpListener::from_std(listener).unwrap();
            }
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{address}: {last:?}");
}

pub struct TestRouter {
    pub server: RouterServer,
    pub url: String,
    stop: watch::Sender<bool>,
    served: Option<JoinHandle<Result<(), ServeError>>>,
}

impl TestRouter {
    pub async fn start(config: RouterConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = RouterServer::new(config).unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let serving = server.clone();
        let served = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|&stop| stop).await;
            };
            serving.serve(listener, stopped).await
        });
        Self { server, url, stop, served: Some(served) }
    }

    /// A router over these workers, all of which have joined.
    pub async fn over(workers: &[TestWorker], policy: PolicyConfig) -> Self {
        let router = Self::start(router_config(workers, policy)).await;
        router.wait(|status| status.joined.len() == workers.len()).await;
        router
    }

    pub async fn wait(&self, until: impl FnMut(&FleetStatus) -> bool) -> FleetStatus {
        let mut status = self.server.status();
        within(status.wait_for(until)).await.unwrap().clone()
    }

    pub async fn wait_counts(&self, until: impl Fn(&Counts) -> bool) -> Counts {
        within(async {
            loop {
                let counts = self.server.counts();
                if until(&counts) {
                    return counts;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    pub fn client(&self) -> Client {
        client(&self.url)
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn stopped(&mut self) {
        within(self.served.take().expect("stopped once")).await.unwrap().unwrap();
    }
}

pub fn router_config(workers: &[TestWorker], policy: PolicyConfig) -> RouterConfig {
    let urls = workers.iter().map(TestWorker::url).collect();
    RouterConfig { speedup: SPEEDUP, ..RouterConfig::new(urls, policy) }
}

pub type Client = InferenceClient<Channel>;

pub fn client(url: &str) -> Client {
    InferenceClient::new(transport::channel(url).unwrap())
}

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("in time")
}

pub fn prompt(seed: u64, tokens: u32) -> Vec<u32> {
    materialize(&[Segment::Text { seed, tokens }], tokens)
}

pub fn request(prompt: Vec<u32>, max_new_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: Some(Prompt::TokenIds(TokenIds { ids: prompt })),
        stopping: Some(StoppingCriteria { max_new_tokens, ..Default::default() }),
        response: Some(ResponseOptions { output_token_ids: true, ..Default::default() }),
        ..Default::default()
    }
}

/// What must come after a prompt.
pub fn answer(prompt: &[u32], tokens: u32) -> Vec<u32> {
    let mut stream = TokenStream::default();
    stream.extend(prompt);
    (0..tokens).map(|_| stream.generate()).collect()
}

#[derive(Debug, Default)]
pub struct Collected {
    pub tokens: Vec<u32>,
    pub messages: usize,
    pub prompt_tokens: u32,
    pub finish: FinishInfo,
}

/// Reads a stream to its end; everything a stream must keep to is held to it.
pub async fn collect(mut stream: Streaming<GenerateResponse>) -> Result<Collected, tonic::Status> {
    let mut all = Collected::default();
    let mut finish = None;
    while let Some(response) = stream.message().await? {
        assert!(finish.is_none(), "a response after the finish");
        assert_eq!(response.prompt_info.is_some(), all.messages == 0, "prompt info comes first");
        all.messages += 1;
        all.prompt_tokens += response.prompt_info.map_or(0, |info| info.num_prompt_tokens);
        let outputs = response.outputs.expect("outputs in every response");
        assert_eq!(outputs.num_tokens as usize, outputs.token_ids.len());
        all.tokens.extend(outputs.token_ids);
        finish = outputs.finish_info;
    }
    all.finish = finish.expect("a stream that ends well says so");
    assert_eq!(all.finish.num_output_tokens as usize, all.tokens.len());
    Ok(all)
}

/// Sends one request, and checks every token of its answer. Also gives the worker's name.
pub async fn ask(
    mut client: Client,
    request: GenerateRequest,
) -> Result<(Collected, String), tonic::Status> {
    let Some(Prompt::TokenIds(prompt)) = request.prompt.clone() else { panic!("token ids") };
    let tokens = request.stopping.as_ref().expect("a length").max_new_tokens;
    let response = within(client.generate_stream(request)).await?;
    let worker = response.metadata().get("x-warmpath-worker");
    let worker = worker.map(|name| name.to_str().unwrap().to_owned()).unwrap_or_default();
    let all = within(collect(response.into_inner())).await?;
    assert_eq!(all.prompt_tokens as usize, prompt.ids.len());
    assert_eq!(all.tokens, answer(&prompt.ids, tokens), "tokens were lost, doubled or moved");
    Ok((all, worker))
}

/// Waits until a worker's load report satisfies `until`.
pub async fn wait_load(worker: &TestWorker, until: impl Fn(&LoadReport) -> bool) {
    wait_load_at(&worker.url(), until).await;
}

async fn wait_load_at(url: &str, until: impl Fn(&LoadReport) -> bool) {
    let mut state = WorkerStateClient::new(transport::channel(url).unwrap());
    within(async {
        let mut feed = state.watch(WatchRequest {}).await.unwrap().into_inner();
        while let Some(response) = feed.message().await.unwrap() {
            if let Some(Message::Load(report)) = response.message
                && until(&report)
            {
                return;
            }
        }
        panic!("the feed ended");
    })
    .await;
}

pub async fn wait_idle(worker: &TestWorker) {
    wait_idle_at(&worker.url()).await;
}

pub async fn wait_idle_at(url: &str) {
    wait_load_at(url, |report| report.running == 0 && report.waiting == 0).await;
}
