//! Spans as OTLP's messages.

use super::ended::{Ended, Kind, Value};
use super::otlp::any_value::Value as WireValue;
use super::otlp::span::{Event, SpanKind};
use super::otlp::status::StatusCode;
use super::otlp::{
    self, AnyValue, ArrayValue, InstrumentationScope, KeyValue, ResourceSpans, ScopeSpans, Status,
};
use crate::clock::{life, now};
use std::time::Instant;

/// The version of the semantic conventions.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.41.0";
/// The flag of a trace that is recorded.
const SAMPLED: u32 = 1;

/// Which process it is, and how its clock stands to the calendar.
#[derive(Debug)]
pub struct Resource {
    attributes: Vec<KeyValue>,
    /// An instant, and the nanoseconds from 1970 to it.
    origin: (Instant, u64),
}

impl Resource {
    pub fn new(service: &str, instance: &str) -> Self {
        let attributes = [
            ("service.name", service),
            ("service.instance.id", instance),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let attributes = attributes.into_iter().map(|(key, text)| pair(key, text.into()));
        Self { attributes: attributes.collect(), origin: (now(), life()) }
    }

    pub fn with(&self, spans: Vec<Ended>) -> ResourceSpans {
        let scope = InstrumentationScope {
            name: "warmpath".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let spans = spans.into_iter().map(|span| self.span(span)).collect();
        let scope_spans =
            vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_owned() }];
        ResourceSpans {
            resource: Some(otlp::Resource { attributes: self.attributes.clone() }),
            scope_spans,
            schema_url: SCHEMA.to_owned(),
        }
    }

    fn span(&self, span: Ended) -> otlp::Span {
        let kind = match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        };
        let event = |(at, name): (Instant, &str)| Event {
            time_unix_nano: self.unix(at),
            name: name.to_owned(),
            attributes: Vec::new(),
        };
        let failed = |message| Status { message, code: StatusCode::Error.into() };
        otlp::Span {
            trace_id: span.context.trace.to_be_bytes().to_vec(),
            span_id: span.context.span.to_be_bytes().to_vec(),
            parent_span_id: span.parent.map_or(Vec::new(), |id| id.to_be_bytes().to_vec()),
            name: span.name,
            kind: kind.into(),
            start_time_unix_nano: self.unix(span.start),
            end_time_unix_nano: self.unix(span.end),
            attributes: span.attributes.into_iter().map(|(key, value)| pair(key, value)).collect(),
            events: span.events.into_iter().map(event).collect(),
            status: span.failed.map(failed),
            flags: SAMPLED,
        }
    }

    fn unix(&self, at: Instant) -> u64 {
        let (origin, unix) = self.origin;
        match at.checked_duration_since(origin) {
            Some(after) => unix + after.as_nanos() as u64,
            None => unix.saturating_sub((origin - at).as_nanos() as u64),
        }
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    let text = |text| AnyValue { value: Some(WireValue::StringValue(text)) };
    let value = match value {
        Value::Text(of) => text(of),
        Value::Texts(all) => {
            let values = all.into_iter().map(text).collect();
            AnyValue { value: Some(WireValue::ArrayValue(ArrayValue { values })) }
        }
        Value::Number(of) => AnyValue { value: Some(WireValue::IntValue(of)) },
        Value::Real(of) => AnyValue { value: Some(WireValue::DoubleValue(of)) },
    };
    KeyValue { key: key.to_owned(), value: Some(value) }
}
