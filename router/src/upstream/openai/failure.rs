//! Statuses and errors of HTTP, in the router's terms.

use crate::call::{FailureKind, UpstreamError};
use crate::site::unreached;
use crate::upstream::failure::kind_of;
use hyper_util::client::legacy::Error;
use warmpath_openai::problem::Problem;

/// What the engine says.
pub fn of_problem(problem: &Problem) -> UpstreamError {
    UpstreamError {
        kind: kind_of(problem.grpc_code()),
        why: match problem.message.as_str() {
            "" => format!("HTTP status {}", problem.status),
            message => message.to_owned(),
        },
        not_taken: problem.status == 503,
    }
}

/// There was no answer.
pub fn of_error(error: &Error) -> UpstreamError {
    UpstreamError { not_taken: error.is_connect(), ..UpstreamError::unavailable(unreached(error)) }
}

/// What OpenAI's HTTP has no word for.
pub const fn no_word(why: String) -> UpstreamError {
    UpstreamError { kind: FailureKind::NoWord, why, not_taken: false }
}

/// Only warmpath's own workers hold a prompt for another one.
pub fn holds_no_prompt() -> UpstreamError {
    let why = "an engine over OpenAI's HTTP computes no prompt for another worker".to_owned();
    UpstreamError { kind: FailureKind::Unsupported, why, not_taken: true }
}
