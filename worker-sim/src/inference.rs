//! vLLM's generate calls. A request is checked and hashed here, on the server's threads; the engine
//! thread only batches.
//!
//! The answer's token ids follow from all tokens before them, so they are made when they are sent.

use crate::config::WorkerConfig;
use crate::driver::{Command, End, How, Progress};
use crate::handover::{Address, Puller};
use crate::remote::Remote;
use prost_types::Struct;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{oneshot, watch};
use tokio_stream::{Stream, wrappers::WatchStream};
use tonic::{Request, Response, Status};
use warmpath_core::block::{TokenBlocks, hash_blocks};
use warmpath_core::engine::SubmitError;
use warmpath_core::engine::store::Hit;
use warmpath_core::id::{RequestId, TenantId};
use warmpath_core::request::{self, Known, TokenSource, Work};
use warmpath_core::tokens::TokenStream;
use warmpath_proto::generate::{self, Accepted};
use warmpath_proto::pool::Agreement;
use warmpath_proto::transfer::{self, Transfer};
use warmpath_proto::vllm::{
    FinishInfo, GenerateRequest, GenerateResponse, PromptInfo, SequenceOutput,
    finish_info::FinishReason, inference_server::Inference,
};
use warmpath_proto::{status, tiers};

/// What the services of one worker share.
#[derive(Debug)]
pub struct Shared {
    pub config: WorkerConfig,
    pub epoch: u64,
    pub commands: Sender<Command>,
    remote: Arc<Remote>,
    puller: Arc<Puller>,
    /// Where those find it that it hands over to.
    pub address: Address,
    /// What peers that ask for blocks must mean by them.
    pub agreement: Agreement,
    pub draining: AtomicBool,
    next_id: AtomicU64,
    /// The clients' names of requests under way.
    names: Mutex<HashMap<String, RequestId>>,
}

impl Shared {
    pub fn new(
        config: WorkerConfig,
        epoch: u64,
        commands: Sender<Command>,
        (remote, puller): (Arc<Remote>, Arc<Puller>),
        address: Address,
    ) -> Self {
        Self {
            agreement: config.agreement(),
            config,
            epoch,
            commands,
            remote,
            puller,
            address,
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            names: Mutex::default(),
        }
    }

    /// What each origin had of a prompt.
    fn by_origin(&self, hit: &Hit) -> Struct {
        let profile = &self.config.profile;
        tiers::to_wire(profile, &hit.map(|blocks| blocks * profile.block_size))
    }

    pub fn send(&self, command: Command) -> Result<(), Status> {
        self.commands.send(command).map_err(|_| stopped())
    }

    pub fn id_of(&self, name: &str) -> Option<RequestId> {
        self.names().get(name).copied()
    }

    /// New work is refused from here on.
    pub fn refuse_if_draining(&self) -> Result<(), Status> {
        if self.draining.load(Ordering::Acquire) {
            let name = &self.config.name;
            return Err(Status::unavailable(format!("worker '{name}' is draining")));
        }
        Ok(())
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<String, RequestId>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, name: &str) -> Result<RequestId, Status> {
        let id = RequestId(self.next_id.fetch_add(1, Ordering::Relaxed));
        if !name.is_empty() {
            let mut names = self.names();
            if names.contains_key(name) {
                let why = format!("request_id: '{name}' is in use already");
                return Err(Status::already_exists(why));
            }
            names.insert(name.to_owned(), id);
        }
        Ok(id)
    }
}

fn stopped() -> Status {
    Status::unavailable("the engine has stopped")
}

#[derive(Clone, Debug)]
pub struct InferenceService {
    pub shared: Arc<Shared>,
}

impl InferenceService {
    async fn start(&self, mut request: GenerateRequest) -> Result<Answer, Status> {
        let shared = &self.shared;
        shared.refuse_if_draining()?;
        let accepted = generate::accept(&mut request, &shared.config.model)?;
        let block_size = shared.config.profile.block_size;
        let needed = u64::from(accepted.total_tokens()).div_ceil(u64::from(block_size));
        if let Some(capacity) = shared.config.profile.hbm_blocks()
            && needed > capacity
        {
            return Err(status::from_submit(SubmitError::TooLarge { needed, capacity }));
        }
        self.check_transfer(&accepted)?;
        let id = shared.name(&accepted.request_id)?;
        let name = accepted.request_id.clone();
        let guard = Guard { shared: Arc::clone(shared), id, name, submitted: false };
        let mut stream = TokenStream::default();
        stream.extend(&accepted.prompt);
        let work = self.work(id, &accepted, stream);
        let how = self.how(id, &work, &accepted).await;
        let (progress, receiver) = watch::channel(Progress::default());
        let (reply, submitted) = oneshot::channel();
        let mut answer = Answer::new(accepted, stream, receiver, guard);
        shared.send(Command::Submit { work: Box::new(work), how, progress, reply })?;
        answer.guard.submitted = true;
        match submitted.await {
            Ok(Ok(())) => Ok(answer),
            Ok(Err(error)) => {
                answer.guard.submitted = false;
                Err(status::from_submit(error))
            }
            Err(_) => Err(stopped()),
        }
    }

    fn check_transfer(&self, accepted: &Accepted) -> Result<(), Status> {
        let refuse = |why: &str| Err(Status::invalid_argument(why));
        match &accepted.transfer {
            Some(_) if self.shared.config.handover.is_none() => {
                refuse("kv.kv_transfer_params: this worker has no [handover]")
            }
            Some(Transfer::Compute) if accepted.request_id.is_empty() => {
                refuse("request_id: missing, expected the name to hold the prompt under")
            }
            _ => Ok(()),
        }
    }

    async fn how(&self, id: RequestId, work: &Work, accepted: &Accepted) -> How {
        let shared = &self.shared;
        let offers = shared.remote.offers(&work.request.prompt, accepted.pull.as_ref());
        match &accepted.transfer {
            None => How::Alone(offers.await),
            Some(Transfer::Compute) => How::Compute(accepted.request_id.clone(), offers.await),
            Some(Transfer::Answer(remote)) => {
                shared.puller.expect(id, remote.clone());
                How::Answer
            }
        }
    }

    fn work(&self, id: RequestId, accepted: &Accepted, mut stream: TokenStream) -> Work {
        let config = &self.shared.config;
        let size = config.profile.block_size;
        let scope = accepted.scope.plan(&accepted.cache_salt, &config.model, size);
        let mut tokens = Vec::with_capacity(accepted.total_tokens() as usize);
        tokens.extend_from_slice(&accepted.prompt);
        tokens.extend((0..accepted.max_new_tokens).map(|_| stream.generate()));
        let sequence = TokenBlocks::whole(hash_blocks(&scope, &tokens));
        let prompt = TokenBlocks::new(Arc::clone(sequence.chain()), accepted.prompt.len() as u32);
        let request = request::Request {
            id,
            session: None,
            tenant: TenantId(accepted.scope.tenant),
            prompt,
            priority: accepted.priority,
            deadline: None,
        };
        let output_tokens = accepted.max_new_tokens;
        let known = Known { own_tokens: 0, public_tokens: scope.public_tokens() };
        let text = TokenSource::default();
        Work { request, sequence, output_tokens, text, user: None, known }
    }
}

#[tonic::async_trait]
impl Inference for InferenceService {
    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<GenerateResponse>, Status> {
        let mut answer = self.start(request.into_inner()).await?;
        loop {
            let progress = answer.next_progress().await?;
            if progress.end.is_some() {
                return Ok(Response::new(answer.respond(progress)));
            }
        }
    }

    type GenerateStreamStream = Answer;

    async fn generate_stream(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Answer>, Status> {
        self.start(request.into_inner()).await.map(Response::new)
    }
}

/// Cancels the request when its answer is dropped before its end.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    id: RequestId,
    name: String,
    submitted: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.shared.names().remove(&self.name);
        }
        // Of one whose KV was never asked for.
        self.shared.puller.forget(self.id);
        if self.submitted {
            // The engine may be gone already.
            let _ = self.shared.send(Command::Cancel(self.id));
        }
    }
}

/// The stream of one answer.
#[derive(Debug)]
pub struct Answer {
    progress: WatchStream<Progress>,
    tokens: TokenStream,
    sent: u32,
    /// Until the first response.
    prompt: Option<PromptInfo>,
    want_output_ids: bool,
    ended: bool,
    /// Who computed the prompt, if another did.
    from: Option<transfer::Remote>,
    guard: Guard,
}

impl Answer {
    fn new(
        accepted: Accepted,
        tokens: TokenStream,
        progress: watch::Receiver<Progress>,
        guard: Guard,
    ) -> Self {
        let num_prompt_tokens = accepted.prompt.len() as u32;
        let from = match accepted.transfer {
            Some(Transfer::Answer(remote)) => Some(remote),
            _ => None,
        };
        let token_ids = if accepted.want_prompt_ids { accepted.prompt } else { Vec::new() };
        Self {
            progress: WatchStream::from_changes(progress),
            tokens,
            sent: 0,
            prompt: Some(PromptInfo { num_prompt_tokens, token_ids, ..Default::default() }),
            want_output_ids: accepted.want_output_ids,
            ended: false,
            from,
            guard,
        }
    }

    async fn next_progress(&mut self) -> Result<Progress, Status> {
        let next = std::future::poll_fn(|cx| Pin::new(&mut self.progress).poll_next(cx)).await;
        next.ok_or_else(|| self.torn())
    }

    fn torn(&self) -> Status {
        let sent = self.sent;
        Status::unavailable(format!("the worker stopped after {sent} tokens of this answer"))
    }

    /// How it ended, and how much of its prompt was cached where.
    fn ended_as(&self, end: End) -> (FinishReason, Option<(u32, Struct)>) {
        let shared = &self.guard.shared;
        match end {
            End::Finished { cached_tokens, hit, moved } => {
                let mut params = shared.by_origin(&hit);
                let mut cached = cached_tokens;
                // What was found of the prompt is what was not computed: by whoever was to do it.
                if let Some(from) = &self.from
                    && let Some(tokens) = from.cached_tokens()
                {
                    cached = tokens;
                    let found = from.found.clone();
                    params.fields.extend(found.map(|found| (tiers::FIELD.to_owned(), found)));
                }
                if let Some(moved) = moved {
                    transfer::moved(&mut params, moved);
                }
                (FinishReason::Length, Some((cached, params)))
            }
            End::Held { cached_tokens, hit } => {
                let mut params = shared.by_origin(&hit);
                shared.address.hold(&mut params, &self.guard.name);
                (FinishReason::Length, Some((cached_tokens, params)))
            }
            End::Aborted => (FinishReason::Aborted, None),
        }
    }

    fn respond(&mut self, progress: Progress) -> GenerateResponse {
        let num_tokens = progress.made - self.sent;
        self.sent = progress.made;
        let token_ids = if self.want_output_ids {
            (0..num_tokens).map(|_| self.tokens.generate()).collect()
        } else {
            Vec::new()
        };
        let finish_info = progress.end.map(|end| {
            self.ended = true;
            self.guard.submitted = false;
            let (reason, found) = self.ended_as(end);
            let (num_cached_tokens, kv_transfer_params) = found.unzip();
            FinishInfo {
                num_output_tokens: self.sent,
                finish_reason: reason.into(),
                num_cached_tokens,
                kv_transfer_params,
                ..Default::default()
            }
        });
        let outputs = SequenceOutput { num_tokens, token_ids, finish_info, ..Default::default() };
        GenerateResponse { prompt_info: self.prompt.take(), outputs: Some(outputs) }
    }
}

impl Stream for Answer {
    type Item = Result<GenerateResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let item = match ready!(Pin::new(&mut this.progress).poll_next(cx)) {
            Some(progress) => Ok(this.respond(progress)),
            None => {
                this.ended = true;
                Err(this.torn())
            }
        };
        Poll::Ready(Some(item))
    }
}
