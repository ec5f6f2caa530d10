//! Errors in OpenAI's shape, and gRPC statuses as HTTP statuses. Router and worker make gRPC statuses in
//! one place each; this is the only mapping from there.

use serde::Serialize;
use std::time::Duration;
use tonic::{Code, Status};
use warmpath_proto::status::{pushback, reason_name};

/// Why a request has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub status: u16,
    pub message: String,
    /// The field of the request.
    pub param: Option<String>,
    /// OpenAI's name for the error, where it has one.
    pub code: Option<&'static str>,
    /// The router's name for a refusal.
    pub reason: Option<String>,
    /// When the request may be sent again.
    pub after: Option<Duration>,
}

#[derive(Serialize)]
struct Shape<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl Problem {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, reason: None, after: None }
    }

    /// A field that cannot be used. The message begins with its name.
    pub fn field(param: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("{param}: {why}");
        Self { param: Some(param.to_owned()), ..Self::new(400, message) }
    }

    /// An answer that stopped without an end.
    pub fn cut() -> Self {
        Self::new(500, "the answer broke off")
    }

    /// OpenAI's kind of error.
    const fn kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// `{"error": {"message", "type", "param", "code"}}`.
    pub fn json(&self) -> String {
        let inner = Inner {
            message: &self.message,
            r#type: self.kind(),
            param: self.param.as_deref(),
            code: self.code,
        };
        serde_json::to_string(&Shape { error: inner }).unwrap_or_default()
    }

    /// Of a status that says why a call failed. Its field gets the name that it has in this API.
    pub fn of(status: &Status) -> Self {
        let http = match status.code() {
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => 500,
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound => 404,
            Code::AlreadyExists | Code::Aborted | Code::Cancelled => 409,
            Code::ResourceExhausted => 429,
            Code::Unimplemented => 501,
            Code::Unavailable => 503,
            Code::DeadlineExceeded => 504,
        };
        let mut problem = Self::new(http, status.message());
        problem.reason = reason_name(status).map(str::to_owned);
        problem.after = pushback(status);
        if matches!(http, 400 | 404 | 409)
            && let Some((field, why)) = status.message().split_once(": ")
            && let Some((_, name)) = NAMES.iter().find(|(grpc, _)| *grpc == field)
        {
            problem.message = format!("{name}: {why}");
            problem.param = Some((*name).to_owned());
        }
        problem.code = match (http, problem.param.as_deref()) {
            (401, _) => Some("invalid_api_key"),
            (404, Some("model")) => Some("model_not_found"),
            (429, _) => Some("rate_limit_exceeded"),
            _ => None,
        };
        problem
    }

    /// The gRPC code that counts it.
    pub const fn grpc_code(&self) -> Code {
        match self.status {
            400 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            409 => Code::AlreadyExists,
            413 | 429 | 431 => Code::ResourceExhausted,
            408 | 504 => Code::DeadlineExceeded,
            405 | 501 => Code::Unimplemented,
            503 => Code::Unavailable,
            _ => Code::Internal,
        }
    }

    /// Of a body that did not come as it should.
    pub fn of_body(status: &Status) -> Self {
        let http = match status.code() {
            Code::OutOfRange => 413,
            Code::ResourceExhausted => 429,
            Code::DeadlineExceeded => 408,
            _ => 400,
        };
        Self { after: pushback(status), ..Self::new(http, status.message()) }
    }
}

/// Fields of a `GenerateRequest`, and what they are called here.
const NAMES: [(&str, &str); 9] = [
    ("model", "model"),
    ("token_ids", "prompt"),
    ("prompt", "prompt"),
    ("stopping.max_new_tokens", "max_tokens"),
    ("stopping.min_new_tokens", "min_tokens"),
    ("request_id", "X-Request-ID"),
    ("session_id", "X-Session-ID"),
    ("kv.cache_salt", "cache_salt"),
    ("priority", "priority"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_proto::status::with_pushback;

    #[test]
    fn a_status_becomes_openais_error() {
        let status = Status::not_found("model: 'x', expected 'simulated'");
        let problem = Problem::of(&status);
        assert_eq!((problem.status, problem.code), (404, Some("model_not_found")));
        assert_eq!(
            problem.json(),
            r#"{"error":{"message":"model: 'x', expected 'simulated'","type":"not_found_error","param":"model","code":"model_not_found"}}"#
        );
        let status = Status::invalid_argument("stopping.max_new_tokens: 9, expected fewer");
        let problem = Problem::of(&status);
        assert_eq!(problem.param.as_deref(), Some("max_tokens"));
        assert_eq!(problem.message, "max_tokens: 9, expected fewer");
        let late = with_pushback(Status::resource_exhausted("full"), Duration::from_millis(1_500));
        let problem = Problem::of(&late);
        assert_eq!((problem.status, problem.after), (429, Some(Duration::from_millis(1_500))));
    }
}
