//! Which trace a request belongs to, by W3C's trace context, version 00: `00-TRACE-SPAN-FLAGS` in hexadecimal digits.

use std::fmt;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// The header, and the key of gRPC's metadata.
pub const TRACEPARENT: &str = "traceparent";

/// A trace, and the span in it that is the parent of what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// Not 0.
    pub trace: u128,
    /// Not 0.
    pub span: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// None: there is no such header, or it is not well formed. Then a trace begins here.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers.get(TRACEPARENT)?.to_str().ok()?)
    }

    /// As [`TraceContext::of_headers`].
    pub fn of_metadata(metadata: &MetadataMap) -> Option<Self> {
        Self::read(metadata.get(TRACEPARENT)?.to_str().ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace) = (digits(parts.next()?, 2)?, digits(parts.next()?, 32)?);
        let (span, flags) = (digits(parts.next()?, 16)?, digits(parts.next()?, 2)?);
        // A later version may have more parts, version 00 has not. 255 is no version.
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == 0 || span == 0 {
            return None;
        }
        Some(Self { trace, span: span as u64, sampled: flags & 1 == 1 })
    }

    /// Adds it to a call.
    pub fn add_to(&self, metadata: &mut MetadataMap) {
        if let Ok(value) = MetadataValue::<Ascii>::try_from(self.to_string()) {
            metadata.insert(TRACEPARENT, value);
        }
    }
}

/// So many lower-case hexadecimal digits.
fn digits(text: &str, length: usize) -> Option<u128> {
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let well_formed = text.len() == length && text.bytes().all(hexadecimal);
    well_formed.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = TraceContext::read(text).unwrap();
        assert_eq!(read.to_string(), text);
        assert!(read.sampled);
        let not = TraceContext::read(&text.replace("-01", "-00")).unwrap();
        assert_eq!((not.trace, not.span, not.sampled), (read.trace, read.span, false));
        let later = format!("cc{}-what-the-future-will-be", &text[2..]);
        assert_eq!(TraceContext::read(&later), Some(read));
    }

    #[test]
    fn what_is_not_well_formed_is_no_context() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-x"),
            &format!("ff{}", &good[2..]),
            &good.to_uppercase(),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(TraceContext::read(bad), None, "{bad}");
        }
    }
}
