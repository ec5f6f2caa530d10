//! Core errors as gRPC status codes. All mappings are in this file.

use std::error::Error;
use std::time::Duration;
use tonic::codegen::http;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use warmpath_core::engine::{FetchError, SubmitError};
use warmpath_core::routing::input::RejectReason;

/// The metadata of a rejection with the name of its reason. Several reasons have the same code.
const REASON: &str = "x-warmpath-reason";

/// A request that the router rejected. A retry can succeed after UNAVAILABLE.
pub fn from_reject(reason: RejectReason) -> Status {
    let code = match reason {
        RejectReason::NoEligibleWorker { .. }
        | RejectReason::NoDecodeWorker { .. }
        | RejectReason::NoPrefillWorker { .. }
        | RejectReason::GaveUp { .. } => Code::Unavailable,
        RejectReason::PromptTooLarge { .. } | RejectReason::RequestTooLarge { .. } => {
            Code::InvalidArgument
        }
        RejectReason::DuplicateId => Code::AlreadyExists,
        RejectReason::QueueFull { .. }
        | RejectReason::WaitedTooLong { .. }
        | RejectReason::OverSlo { .. }
        | RejectReason::LateForDeadline { .. } => Code::ResourceExhausted,
        RejectReason::DeadlinePassed { .. } => Code::DeadlineExceeded,
    };
    let mut status = Status::new(code, reason.to_string());
    status.metadata_mut().insert(REASON, MetadataValue::from_static(reason.name()));
    status
}

/// The reason of a rejection, for counts: the router's name for it, or the code.
pub fn reason(status: &Status) -> String {
    reason_name(status).map_or_else(|| format!("{:?}", status.code()), str::to_owned)
}

/// The router's own name for the reason of a rejection. None: the status is no rejection.
pub fn reason_name(status: &Status) -> Option<&str> {
    status.metadata().get(REASON)?.to_str().ok()
}

/// A request that a worker rejected. A retry does not help.
pub fn from_submit(error: SubmitError) -> Status {
    let code = match error {
        SubmitError::TooLarge { .. } | SubmitError::EmptyPrompt | SubmitError::EmptyAnswer => {
            Code::InvalidArgument
        }
        SubmitError::DuplicateId => Code::AlreadyExists,
    };
    Status::new(code, error.to_string())
}

/// A failed transfer of blocks.
pub fn from_fetch(error: FetchError) -> Status {
    let code = match error {
        FetchError::Missing => Code::NotFound,
        FetchError::Gone => Code::Unavailable,
        FetchError::Late => Code::DeadlineExceeded,
        FetchError::Corrupt => Code::DataLoss,
    };
    Status::new(code, error.to_string())
}

/// The reason of a failed call for blocks. A broken connection is [`FetchError::Gone`].
pub fn to_fetch(status: &Status) -> FetchError {
    match status.code() {
        Code::NotFound => FetchError::Missing,
        Code::DeadlineExceeded => FetchError::Late,
        Code::DataLoss => FetchError::Corrupt,
        _ => FetchError::Gone,
    }
}

/// What the router's client gets when a call to a worker failed: the code and the text. A code that
/// the worker sent is kept. A transport error becomes UNAVAILABLE, because its gRPC code says
/// nothing about the worker.
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
    (code, with_sources(cause.message(), cause.source()))
}

/// The server says by this that a call may be sent again, and when: gRPC's own name for it.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Whether the server never took up the call that failed: it could not be reached, its connection turned
/// the call away before it was read, or it says itself that the call may be sent again.
pub fn was_not_taken(cause: &Status) -> bool {
    if cause.metadata().contains_key(PUSHBACK) {
        return true;
    }
    let mut source = cause.source();
    while let Some(error) = source {
        let refused = |error: &h2::Error| {
            error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
        };
        if error.is::<tonic::ConnectError>()
            || error.downcast_ref().is_some_and(refused)
            || error.downcast_ref().is_some_and(hyper::Error::is_canceled)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// A status that says that the call may be sent again after `wait`.
pub fn with_pushback(mut status: Status, wait: Duration) -> Status {
    let wait = (wait.as_millis() as u64).into();
    status.metadata_mut().insert(PUSHBACK, wait);
    status
}

/// When the call may be sent again, if the status says so.
pub fn pushback(status: &Status) -> Option<Duration> {
    let wait = status.metadata().get(PUSHBACK)?.to_str().ok()?;
    wait.parse().ok().map(Duration::from_millis)
}

/// An answer as it is, but for a message that could not be decoded: tonic calls that INTERNAL, and it is
/// the client's affair.
pub fn of_undecodable<B>(mut answer: http::Response<B>) -> http::Response<B> {
    let headers = answer.headers_mut();
    let internal = Code::Internal as i32;
    let is_internal =
        headers.get(Status::GRPC_STATUS).is_some_and(|code| code == internal.to_string().as_str());
    let why = headers.get(Status::GRPC_MESSAGE).map_or(&[][..], |why| why.as_bytes());
    if is_internal && why.starts_with(b"failed%20to%20decode%20Protobuf") {
        headers.insert(Status::GRPC_STATUS, (Code::InvalidArgument as i32).into());
    }
    answer
}

/// A failed admin call as one line for the operator.
pub fn of_admin(status: &Status) -> String {
    let why = match (status.code(), status.message()) {
        (Code::Unimplemented, "") => "no admin service, expected the address of --admin-listen",
        (code, "") => code.description(),
        (_, message) => message,
    };
    with_sources(why, status.source()).replace('\n', " ")
}

/// The most bytes of a status's text. On the wire a byte may become three, and default gRPC clients drop
/// a call whose metadata has more than 8 KiB.
const MAX_MESSAGE_BYTES: usize = 2_000;

/// A status whose text fits into the metadata of an answer.
pub fn fitting(code: Code, mut message: String) -> Status {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push_str(" ...");
    }
    Status::new(code, message)
}

/// Appends the sources of an error: they tell why a connection broke.
pub fn with_sources(message: &str, mut source: Option<&(dyn Error + 'static)>) -> String {
    let mut why = message.to_owned();
    while let Some(error) = source {
        let text = error.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        source = error.source();
    }
    why
}

/// The error of a vLLM call that an engine without weights cannot answer.
pub fn not_simulated(call: &str) -> Status {
    Status::unimplemented(format!("{call}: not supported by a simulated engine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_keeps_its_numbers() {
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
    fn an_admin_error_is_one_line() {
        let torn = std::io::Error::other("broken\npipe");
        let line = of_admin(&Status::from_error(Box::new(torn)));
        assert!(line.contains("broken pipe") && !line.contains('\n'), "{line}");
        let no_service = of_admin(&Status::unimplemented(""));
        assert_eq!(no_service, "no admin service, expected the address of --admin-listen");
        assert_eq!(of_admin(&Status::cancelled("")), Code::Cancelled.description());
    }
}
