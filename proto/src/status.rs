//! What the core's errors are called in gRPC. Every mapping stands here.

use std::error::Error;
use tonic::{Code, Status};
use warmpath_core::engine::{FetchError, SubmitError};
use warmpath_core::routing::input::RejectReason;

/// A router's refusal. Asking again helps where the code is UNAVAILABLE.
pub fn from_reject(reason: RejectReason) -> Status {
    let code = match reason {
        RejectReason::NoEligibleWorker { .. }
        | RejectReason::NoDecodeWorker { .. }
        | RejectReason::NoPrefillWorker { .. } => Code::Unavailable,
        RejectReason::PromptTooLarge { .. } => Code::InvalidArgument,
        RejectReason::DuplicateId => Code::AlreadyExists,
        RejectReason::QueueFull { .. } | RejectReason::WaitedTooLong { .. } => {
            Code::ResourceExhausted
        }
        RejectReason::DeadlinePassed { .. } => Code::DeadlineExceeded,
    };
    Status::new(code, reason.to_string())
}

/// A worker's refusal. Asking again does not help.
pub fn from_submit(error: SubmitError) -> Status {
    let code = match error {
        SubmitError::TooLarge { .. } | SubmitError::EmptyPrompt | SubmitError::EmptyAnswer => {
            Code::InvalidArgument
        }
        SubmitError::DuplicateId => Code::AlreadyExists,
    };
    Status::new(code, error.to_string())
}

/// Why blocks were not sent.
pub fn from_fetch(error: FetchError) -> Status {
    let code = match error {
        FetchError::Missing => Code::NotFound,
        FetchError::Gone => Code::Unavailable,
        FetchError::Late => Code::DeadlineExceeded,
        FetchError::Corrupt => Code::DataLoss,
    };
    Status::new(code, error.to_string())
}

/// What a call for blocks failed of. Whatever a transport made of a broken connection is
/// [`FetchError::Gone`].
pub fn to_fetch(status: &Status) -> FetchError {
    match status.code() {
        Code::NotFound => FetchError::Missing,
        Code::DeadlineExceeded => FetchError::Late,
        Code::DataLoss => FetchError::Corrupt,
        _ => FetchError::Gone,
    }
}

/// The code and the text of a worker's call that failed, for the router's client. The worker's own answers
/// keep their code. An error of the transport becomes UNAVAILABLE: its gRPC code says nothing about the
/// worker.
pub fn of_worker(cause: &Status) -> (Code, String) {
    let code = match cause.code() {
        code @ (Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::OutOfRange
        | Code::DeadlineExceeded
        | Code::Unimplemented)
            if cause.source().is_none() =>
        {
            code
        }
        _ => Code::Unavailable,
    };
    (code, with_sources(cause.message(), cause))
}

/// What an admin call's failure is called before an operator: one line.
pub fn of_admin(status: &Status) -> String {
    let why = match (status.code(), status.message()) {
        (Code::Unimplemented, "") => "no admin service there; see --admin-listen",
        (code, "") => code.description(),
        (_, message) => message,
    };
    with_sources(why, status).replace('\n', " ")
}

/// What is said of a broken connection stands in the error's sources.
fn with_sources(message: &str, status: &Status) -> String {
    let mut why = message.to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        source = error.source();
    }
    why
}

/// For the calls of vLLM's API that an engine without weights can't answer.
pub fn not_simulated(call: &str) -> Status {
    Status::unimplemented(format!("{call}: not supported by a simulated engine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_numbers() {
        let status = from_reject(RejectReason::PromptTooLarge { needed: 900, largest: 600 });
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "prompt needs 900 blocks, the largest worker holds 600");
        let status = from_submit(SubmitError::TooLarge { needed: 9, capacity: 6 });
        assert_eq!(status.message(), "request needs 9 blocks, worker holds 6");
    }

    #[test]
    fn a_broken_connection_is_unavailable_and_an_answer_keeps_its_code() {
        let refused = of_worker(&Status::invalid_argument("no"));
        assert_eq!(refused, (Code::InvalidArgument, "no".to_owned()));
        let torn = std::io::Error::other("broken pipe");
        let (code, why) = of_worker(&Status::from_error(Box::new(torn)));
        assert_eq!(code, Code::Unavailable);
        assert!(why.contains("broken pipe"), "{why}");
    }

    #[test]
    fn an_operator_reads_one_line() {
        let torn = std::io::Error::other("broken\npipe");
        let line = of_admin(&Status::from_error(Box::new(torn)));
        assert!(line.contains("broken pipe") && !line.contains('\n'), "{line}");
        let nobody = of_admin(&Status::unimplemented(""));
        assert_eq!(nobody, "no admin service there; see --admin-listen");
        assert_eq!(of_admin(&Status::cancelled("")), Code::Cancelled.description());
    }
}
