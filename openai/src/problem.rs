//! Errors in OpenAI's shape, and gRPC statuses as HTTP statuses. Router and worker make gRPC statuses in
//! one place each; this is the only mapping from there.

use serde::Serialize;
use serde_json::Value;
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

    /// What another server says with this status: an error in OpenAI's shape, in vLLM's older one, or any text.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let told = serde_json::from_slice::<Value>(body).ok().and_then(|json| told(&json));
        let told = told.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        Self::foreign(status, &told)
    }

    /// With a text that another server chose.
    pub(crate) fn foreign(status: u16, text: &str) -> Self {
        Self::new(status, one_line(text))
    }

    /// What another server says within a stream. None: the event is no error.
    pub(crate) fn in_stream(event: &Value) -> Option<Self> {
        let error = event.get("error").filter(|error| !error.is_null());
        let error = error.or_else(|| (event.get("object")? == "error").then_some(event))?;
        let http = |status: &u64| (400..600).contains(status);
        let status = error.get("code").and_then(Value::as_u64).filter(http);
        let kind = error.get("type").and_then(Value::as_str).unwrap_or_default();
        let status = status.unwrap_or(match kind {
            "invalid_request_error" | "BadRequestError" => 400,
            "not_found_error" | "NotFoundError" => 404,
            "rate_limit_error" => 429,
            _ => 500,
        });
        let told = told(event).unwrap_or_else(|| "an error without a message".to_owned());
        Some(Self::foreign(status as u16, &told))
    }

    /// The gRPC code that counts it.
    pub const fn grpc_code(&self) -> Code {
        match self.status {
            400 | 422 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            409 => Code::AlreadyExists,
            413 | 429 | 431 => Code::ResourceExhausted,
            408 | 504 => Code::DeadlineExceeded,
            405 | 501 => Code::Unimplemented,
            502 | 503 => Code::Unavailable,
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

/// The most bytes of another server's error that are passed on.
const MOST_TOLD: usize = 500;

fn told(json: &Value) -> Option<String> {
    let error = json.get("error");
    let message = error.and_then(|error| error.get("message"));
    let found = message.or(error).or_else(|| json.get("message")).or_else(|| json.get("detail"));
    let found = found.filter(|found| !found.is_null())?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

/// A text of another server, fit for a log.
fn one_line(text: &str) -> String {
    let mut line: String = text.trim().chars().take(MOST_TOLD).collect();
    line.truncate(line.floor_char_boundary(MOST_TOLD));
    line.replace(char::is_control, " ")
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
    #[test]
    fn an_error_of_another_server_is_read_in_every_shape() {
        let read = |body: &str| Problem::read(400, body.as_bytes()).message;
        assert_eq!(read(r#"{"error": {"message": "too long", "code": 400}}"#), "too long");
        assert_eq!(read(r#"{"object": "error", "message": "too long", "code": 400}"#), "too long");
        assert_eq!(read(r#"{"error": "Unauthorized"}"#), "Unauthorized");
        assert_eq!(read(r#"{"detail": [{"loc": 1}]}"#), r#"[{"loc":1}]"#);
        assert_eq!(read("<html>\n no"), "<html>  no");
        assert_eq!(read(&"ü".repeat(1_000)), "ü".repeat(250));
        let own = Problem::field("prompt", "empty");
        assert_eq!(read(&own.json()), own.message);
        let event = |json: &str| {
            let found = Problem::in_stream(&serde_json::from_str(json).unwrap())?;
            Some((found.status, found.message))
        };
        let some = |status, text: &str| Some((status, text.to_owned()));
        assert_eq!(event(r#"{"error": {"message": "x", "code": 400}}"#), some(400, "x"));
        assert_eq!(event(r#"{"object": "error", "message": "x", "code": 503}"#), some(503, "x"));
        assert_eq!(event(&own.json()), some(400, "prompt: empty"));
        assert_eq!(event(&Problem::cut().json()), some(500, "the answer broke off"));
        assert_eq!(event(r#"{"error": null, "choices": []}"#), None);
    }
}
