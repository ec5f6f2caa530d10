//! Begins spans.

use super::config::OtlpConfig;
use super::ended::{Ended, Kind};
use super::export::{Queue, export};
use super::span::Span;
use super::wire::Resource;
use crate::clock::life;
use crate::trace_context::TraceContext;
use crate::transport;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the last spans may take to be sent when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Begins spans. The default one records nothing.
#[derive(Clone, Default, Debug)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// A key of this process's ids.
    key: [u8; 32],
    next: AtomicU64,
    /// A trace that begins here is recorded if its first 64 bits are not above this.
    most: u64,
    exporter: Mutex<Option<JoinHandle<()>>>,
}

impl Tracer {
    /// Spans of a process go to the collector from now on. Call it in a tokio runtime. `service` and `instance` say
    /// which process it is. The error is an endpoint that is no URL.
    pub fn start(config: &OtlpConfig, service: &str, instance: &str) -> Result<Self, String> {
        let channel = transport::channel(&config.endpoint).map_err(|error| error.to_string())?;
        let life = life();
        let resource = Resource::new(service, &format!("{instance}-{life:x}"));
        let (queue, spans) = Queue::new();
        let exporter = tokio::spawn(export(channel, spans, resource));
        // Two processes that began in the same nanosecond have other names or numbers.
        let seed = format!("{service} {instance} {life} {}", std::process::id());
        let inner = Inner {
            queue,
            key: blake3::derive_key("warmpath v1 trace ids", seed.as_bytes()),
            next: AtomicU64::new(1),
            most: (config.ratio * u64::MAX as f64) as u64,
            exporter: Mutex::new(Some(exporter)),
        };
        Ok(Self(Some(Arc::new(inner))))
    }

    /// A span that began at `start`. Without a parent a trace begins with it.
    pub fn span(
        &self,
        name: &str,
        kind: Kind,
        parent: Option<TraceContext>,
        start: Instant,
    ) -> Span {
        let Some(inner) = &self.0 else { return Span::unrecorded(parent) };
        if parent.is_some_and(|parent| !parent.sampled) {
            return Span::unrecorded(parent);
        }
        let (trace, span) = inner.ids();
        let context = match parent {
            Some(parent) => TraceContext { span, ..parent },
            None => {
                let sampled = (trace >> 64) as u64 <= inner.most;
                TraceContext { trace, span, sampled }
            }
        };
        if !context.sampled {
            // The others leave it out too.
            return Span::unrecorded(Some(context));
        }
        let ended = Ended {
            context,
            parent: parent.map(|parent| parent.span),
            name: name.to_owned(),
            kind,
            start,
            end: start,
            attributes: Vec::new(),
            events: Vec::new(),
            failed: None,
        };
        Span::begun(ended, inner.queue.clone())
    }

    /// A part of a span that began and ended.
    pub fn part(&self, of: &Span, name: &str, (start, end): (Instant, Instant)) {
        if of.is_recorded() {
            self.span(name, Kind::Internal, of.context(), start).end_at(end);
        }
    }

    /// Sends what has ended and stops. Spans that end later are not sent.
    pub async fn finish(&self) {
        let Some(inner) = &self.0 else { return };
        inner.queue.close();
        let exporter = inner.exporter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exporter) = exporter
            && tokio::time::timeout(FLUSH, exporter).await.is_err()
        {
            tracing::warn!("the last spans were not sent in time");
        }
    }
}

impl Inner {
    /// For a new trace and a new span. Neither is 0 in a lifetime of universes, so that is not asked.
    fn ids(&self) -> (u128, u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::keyed_hash(&self.key, &number.to_le_bytes());
        let (trace, rest) = hash.as_bytes().split_at(16);
        let trace = u128::from_le_bytes(trace.try_into().expect("16 bytes"));
        let span = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes"));
        (trace, span)
    }
}
