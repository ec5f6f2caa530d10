//! A request's way into the engine. It is checked and hashed here, on the server's threads; the
//! engine's thread only schedules.

use crate::answer::{Answer, Guard};
use crate::command::{Command, How, Progress};
use crate::kv_events::Text;
use crate::refusal::Refusal;
use crate::traced::Traced;
use crate::worker::WorkerState;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use warmpath_core::block::{TokenBlocks, hash_blocks};
use warmpath_core::engine::SubmitError;
use warmpath_core::id::{RequestId, TenantId};
use warmpath_core::request::{Known, Request, TokenSource, Work};
use warmpath_core::tokens::TokenStream;
use warmpath_proto::generate::Accepted;
use warmpath_proto::transfer::Transfer;

/// Submits a request that a front has read and checked. Returns its answer when the engine has
/// taken it.
pub async fn submit(worker: &Arc<WorkerState>, accepted: Accepted) -> Result<Answer, Refusal> {
    let mut traced = Traced::new(&worker.tracer, &worker.config, &accepted);
    match taken(worker, accepted).await {
        Ok(Taken { accepted, tokens, progress, guard }) => {
            Ok(Answer::new(accepted, tokens, progress, (guard, traced)))
        }
        Err(refusal) => {
            traced.refused(&refusal.to_string());
            Err(refusal)
        }
    }
}

/// A request that the engine has taken.
struct Taken {
    accepted: Accepted,
    /// A stream that has seen the prompt.
    tokens: TokenStream,
    progress: watch::Receiver<Progress>,
    guard: Guard,
}

async fn taken(worker: &Arc<WorkerState>, accepted: Accepted) -> Result<Taken, Refusal> {
    let profile = &worker.config.profile;
    let needed = u64::from(accepted.total_tokens()).div_ceil(u64::from(profile.block_size));
    if let Some(capacity) = profile.hbm_blocks()
        && needed > capacity
    {
        return Err(SubmitError::TooLarge { needed, capacity }.into());
    }
    check_transfer(worker, &accepted)?;
    let id = worker.register(&accepted.request_id)?;
    let mut guard = Guard::new(worker, id, accepted.request_id.clone());
    let mut stream = TokenStream::default();
    stream.extend(&accepted.prompt);
    let work = Box::new(work(worker, id, &accepted, stream));
    let how = how(worker, id, &work, &accepted).await;
    let (sender, progress) = watch::channel(Progress::default());
    let (reply, submitted) = oneshot::channel();
    worker.send(Command::Submit { work, how, progress: sender, reply })?;
    guard.submitted = true;
    match submitted.await {
        Ok(Ok(())) => Ok(Taken { accepted, tokens: stream, progress, guard }),
        Ok(Err(error)) => {
            guard.submitted = false;
            Err(error.into())
        }
        Err(_) => Err(Refusal::Stopped),
    }
}

fn check_transfer(worker: &WorkerState, accepted: &Accepted) -> Result<(), Refusal> {
    let refuse = |field, why| Err(Refusal::Field { field, why });
    match &accepted.transfer {
        Some(_) if worker.config.kv_transfer.is_none() => refuse(
            "kv.kv_transfer_params",
            "given to a worker with no [kv_transfer], expected none",
        ),
        Some(Transfer::Compute) if accepted.request_id.is_empty() => {
            refuse("request_id", "missing, expected the name to hold the prompt under")
        }
        _ => Ok(()),
    }
}

async fn how(worker: &WorkerState, id: RequestId, work: &Work, accepted: &Accepted) -> How {
    let offers = worker.remote.offers(&work.request.prompt, accepted.pull.as_ref());
    match &accepted.transfer {
        None => How::Alone(offers.await),
        Some(Transfer::Compute) => How::Compute(accepted.request_id.clone(), offers.await),
        Some(Transfer::Answer(remote)) => {
            worker.puller.expect(id, remote.clone());
            How::Answer
        }
    }
}

/// The answer's tokens follow from the prompt, so the whole sequence is known and named here.
fn work(worker: &WorkerState, id: RequestId, accepted: &Accepted, mut stream: TokenStream) -> Work {
    let config = &worker.config;
    let size = config.profile.block_size;
    let scope = accepted.scope.plan(&accepted.cache_salt, &config.model, size);
    let mut tokens = Vec::with_capacity(accepted.total_tokens() as usize);
    tokens.extend_from_slice(&accepted.prompt);
    tokens.extend((0..accepted.max_new_tokens).map(|_| stream.generate()));
    let sequence = TokenBlocks::whole(hash_blocks(&scope, &tokens));
    if let Some(events) = &worker.kv_events {
        let hint = &accepted.scope;
        events.text(Text {
            id,
            tokens,
            chain: sequence.chain().clone(),
            salt: accepted.cache_salt.clone(),
            public: (hint.public_salt.clone(), hint.public_blocks),
        });
    }
    let prompt = TokenBlocks::new(sequence.chain().clone(), accepted.prompt.len() as u32);
    let request = Request {
        id,
        session: None,
        tenant: TenantId(accepted.scope.tenant),
        prompt,
        priority: accepted.priority,
        deadline: None,
        max_new_tokens: Some(accepted.max_new_tokens),
    };
    let output_tokens = accepted.max_new_tokens;
    let known = Known { own_tokens: 0, public_tokens: scope.public_tokens() };
    let text = TokenSource::default();
    Work { request, sequence, output_tokens, text, user: None, known }
}
