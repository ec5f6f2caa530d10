//! Deadlines of calls, from their `grpc-timeout` header.
//!
//! tonic enforces that header until an answer begins, with the code CANCELLED, for which clients of other
//! libraries have no sense: they expect DEADLINE_EXCEEDED. [`DeadlineLayer`] lies within tonic's own
//! check and counts from an earlier instant, so it always comes first.

use crate::clock::now;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};
use tower_layer::Layer;

/// When a call came: before its message was read.
#[derive(Clone, Copy, Debug)]
struct Arrived(Instant);

/// When a call came.
pub fn arrived(extensions: &Extensions) -> Instant {
    extensions.get().map_or_else(now, |Arrived(at)| *at)
}

/// When the client gives up, from its `grpc-timeout` header. tonic enforces that header only until the
/// response headers are sent, so a streaming call must check the deadline itself.
pub fn deadline(metadata: &MetadataMap, now: Instant) -> Option<Instant> {
    after(metadata.get("grpc-timeout")?.to_str().ok()?, now)
}

/// Returns when the instant has come. Without one it never returns.
pub async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// When a timeout as the header has it is over.
fn after(text: &str, now: Instant) -> Option<Instant> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // The protocol allows 8 digits.
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let span = match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    now.checked_add(span)
}

/// Ends calls at their deadline, if no answer has begun, and notes when each call came.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadlined<S>;

    fn layer(&self, inner: S) -> Deadlined<S> {
        Deadlined(inner)
    }
}

/// The services of a listener, whose calls end at their deadline.
#[derive(Clone, Debug)]
pub struct Deadlined<S>(S);

/// An answer that may be waited for.
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<S, B> Service<http::Request<B>> for Deadlined<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Answer {
        let now = now();
        request.extensions_mut().insert(Arrived(now));
        let timeout = request.headers().get("grpc-timeout");
        let deadline = timeout.and_then(|text| after(text.to_str().ok()?, now));
        let answer = self.0.call(request);
        match deadline {
            None => Box::pin(answer),
            Some(deadline) => Box::pin(until(deadline, answer)),
        }
    }
}

/// The answer, or that the deadline passed.
async fn until(
    deadline: Instant,
    answer: impl Future<Output = Result<http::Response<Body>, Infallible>>,
) -> Result<http::Response<Body>, Infallible> {
    let (mut answer, mut passed) = (pin!(answer), pin!(tokio::time::sleep_until(deadline.into())));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        // A timer may be a moment late; tonic's must not be the first to know.
        if passed.as_mut().poll(cx).is_ready() || now() >= deadline {
            let status = Status::deadline_exceeded("the deadline passed before the answer began");
            return Poll::Ready(Ok(status.into_http()));
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_header_is_a_deadline() {
        let now = Instant::now();
        let at = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata, now).map(|at| at - now)
        };
        assert_eq!(at("250m"), Some(Duration::from_millis(250)));
        assert_eq!(at("3S"), Some(Duration::from_secs(3)));
        assert_eq!(at("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for bad in ["", "S", "1", "-1S", "123456789S", "1x", "+5S"] {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(deadline(&MetadataMap::new(), now), None);
    }
}
