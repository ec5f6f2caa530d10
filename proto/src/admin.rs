//! Explanations as messages, and the names of worker states.

use crate::v1::{self, WorkerStanding};
use crate::vllm::GenerateRequest;
use prost::Message;
use serde::Serializer;
use tonic::Status;
use warmpath_core::routing::explain::{Candidate, Explanation, Outcome, Score};

/// The name of a worker state, for text and JSON.
pub const fn standing_name(standing: WorkerStanding) -> &'static str {
    match standing {
        WorkerStanding::Unspecified => "unknown",
        WorkerStanding::Joined => "joined",
        WorkerStanding::Draining => "draining",
        WorkerStanding::Lost => "lost",
        WorkerStanding::Refused => "refused",
        WorkerStanding::Same => "same",
        WorkerStanding::Ejected => "ejected",
    }
}

/// Writes a worker state by its name in JSON.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape
pub(crate) fn write_standing<S: Serializer>(standing: &i32, to: S) -> Result<S::Ok, S::Error> {
    let standing = WorkerStanding::try_from(*standing).unwrap_or_default();
    to.serialize_str(standing_name(standing))
}

/// Decodes the request of an `Explain` call. The error is INVALID_ARGUMENT.
pub fn request_from_wire(bytes: &[u8]) -> Result<GenerateRequest, Status> {
    GenerateRequest::decode(bytes)
        .map_err(|error| Status::invalid_argument(format!("generate_request: {error}")))
}

/// Encodes a request for an `Explain` call.
pub fn request_to_wire(request: &GenerateRequest) -> Vec<u8> {
    request.encode_to_vec()
}

/// An explanation as the answer of `Explain`. `request_id` is the client's id.
pub fn explanation_to_wire(request_id: &str, explanation: &Explanation) -> v1::ExplainResponse {
    v1::ExplainResponse {
        request_id: request_id.to_owned(),
        number: explanation.request.0,
        policy: explanation.policy.name().to_owned(),
        rule: explanation.policy.rule().to_owned(),
        at_s: explanation.at.as_secs_f64(),
        prompt_tokens: explanation.prompt_tokens,
        chosen: explanation.chosen().map_or(0, |worker| worker.0),
        decode: explanation.decode().map(|worker| worker.0),
        held_until_s: match explanation.outcome {
            Outcome::Held { until } => Some(until.as_secs_f64()),
            Outcome::Sent { .. } => None,
        },
        waited_s: explanation.waited.as_secs_f64(),
        candidates: explanation
            .candidates
            .iter()
            .map(|candidate| candidate_to_wire(candidate, explanation.score(candidate.worker)))
            .collect(),
        runner_up: explanation.runner_up().map(|candidate| candidate.worker.0),
        margin_s: explanation.margin().map(|margin| margin.as_secs_f64()),
        because: explanation.because.to_owned(),
        left_out: explanation
            .left_out
            .iter()
            .map(|(worker, why)| v1::LeftOut {
                number: worker.0,
                // The router knows the names.
                name: String::new(),
                why: why.to_string(),
            })
            .collect(),
    }
}

fn candidate_to_wire(candidate: &Candidate, score: Option<&Score>) -> v1::Candidate {
    v1::Candidate {
        number: candidate.worker.0,
        active_requests: candidate.active,
        overlap_by_tier: candidate.overlap.map_or_else(Vec::new, |blocks| blocks.to_vec()),
        terms: candidate.terms.map(|terms| v1::Terms {
            queue_s: terms.queue.as_secs_f64(),
            prefill_s: terms.prefill.as_secs_f64(),
            load_s: terms.load.as_secs_f64(),
            room_s: terms.room.as_secs_f64(),
            answer_s: terms.answer.as_secs_f64(),
            others_s: terms.others.as_secs_f64(),
            total_s: terms.total().as_secs_f64(),
        }),
        pull: candidate
            .pull
            .map(|pull| v1::Pull { from: pull.from.to_string(), blocks: pull.blocks }),
        // The router knows the names.
        name: String::new(),
        score: score.map(score_to_wire),
    }
}

fn score_to_wire(score: &Score) -> v1::Score {
    let parts = score.parts.iter().filter(|(name, _)| !name.is_empty());
    let part = |&(name, value): &(&str, f64)| v1::Part { name: name.to_owned(), value };
    v1::Score { value: score.value, parts: parts.map(part).collect(), highest: score.highest }
}
