//! Sends spans that have ended, some at a time. A collector that is slow or away costs spans, never requests.

use super::ended::Ended;
use super::otlp::ExportTraceServiceRequest;
use super::otlp::trace_service_client::TraceServiceClient;
use super::wire::Resource;
use crate::clock::now;
use metrics::{counter, describe_counter};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::transport::Channel;

/// Spans that wait to be sent. Each is some hundred bytes.
const MOST: usize = 8_192;
/// Spans of one call, and how long the first of them waits for others.
const BATCH: usize = 512;
const WAIT: Duration = Duration::from_millis(500);
/// How long the collector may take.
const LIMIT: Duration = Duration::from_secs(5);

const SPANS: &str = "warmpath_trace_spans_total";

/// HELP lines; docs/metrics.md says more.
pub fn describe() {
    describe_counter!(SPANS, "Spans that were sent to the collector, or were not");
}

fn count(outcome: &'static str, spans: usize) {
    counter!(SPANS, "outcome" => outcome).increment(spans as u64);
}

/// Where spans wait to be sent.
#[derive(Clone, Debug)]
pub struct Queue(Sender<Option<Ended>>);

impl Queue {
    pub fn new() -> (Self, Receiver<Option<Ended>>) {
        describe();
        for outcome in ["sent", "dropped", "failed"] {
            count(outcome, 0);
        }
        let (sender, receiver) = channel(MOST);
        (Self(sender), receiver)
    }

    pub fn push(&self, span: Ended) {
        if self.0.try_send(Some(span)).is_err() {
            count("dropped", 1);
        }
    }

    /// What waits is sent, and nothing after it.
    pub fn close(&self) {
        // Full: the exporter is cut off, since it would not be done in time either.
        let _ = self.0.try_send(None);
    }
}

/// Sends until the queue is closed.
pub async fn export(channel: Channel, mut spans: Receiver<Option<Ended>>, resource: Resource) {
    let mut client = TraceServiceClient::new(channel);
    // The log says once that the collector fails, and once that it works again.
    let mut fails = false;
    let mut open = true;
    while open {
        let mut batch = Vec::new();
        open = collect(&mut spans, &mut batch).await;
        let number = batch.len();
        if number == 0 {
            continue;
        }
        let request = ExportTraceServiceRequest { resource_spans: vec![resource.with(batch)] };
        let sent = tokio::time::timeout(LIMIT, client.export(request)).await;
        let (failed, why) = match sent {
            Ok(Ok(answer)) => {
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0).min(number);
                (rejected, (rejected > 0).then_some(partial.error_message))
            }
            Ok(Err(status)) => (number, Some(status.to_string())),
            Err(_) => (number, Some(format!("no answer in {LIMIT:?}"))),
        };
        count("failed", failed);
        count("sent", number - failed);
        match why {
            Some(why) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(why, "the collector does not take traces");
                }
            }
            None => {
                if std::mem::replace(&mut fails, false) {
                    tracing::info!("the collector takes traces again");
                }
            }
        }
    }
}

/// The next batch. False: it is the last one.
async fn collect(spans: &mut Receiver<Option<Ended>>, batch: &mut Vec<Ended>) -> bool {
    match spans.recv().await {
        Some(Some(first)) => batch.push(first),
        Some(None) | None => return false,
    }
    let until = now() + WAIT;
    while batch.len() < BATCH {
        match tokio::time::timeout_at(until.into(), spans.recv()).await {
            Ok(Some(Some(span))) => batch.push(span),
            Ok(Some(None) | None) => return false,
            Err(_) => break,
        }
    }
    true
}
