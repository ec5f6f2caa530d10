//! The KV transfer from a prefill worker to a decode worker, in vLLM's `kv_transfer_params` with the
//! fields of its NIXL connector:
//!
//! ```text
//! to the prefill worker:        { do_remote_decode: true, do_remote_prefill: false }
//! in its FinishInfo, and to     { do_remote_decode: false, do_remote_prefill: true,
//! the decode worker:              remote_engine_id, remote_request_id, remote_host, remote_port }
//! ```
//!
//! The router passes all other fields on as they are. One has the cached tokens of the prefill worker
//! ([`crate::tiers`]), which the decode worker reports as those of the request. NIXL identifies blocks
//! (`remote_block_ids`); here the request is identified instead, so a simulated worker can only transfer
//! to another one. The fields have an address that the worker will connect to, so a router rejects them
//! in a client's request.

use crate::tiers;
pub use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use tonic::transport::Uri;

const COMPUTE: &str = "do_remote_decode";
const ANSWER: &str = "do_remote_prefill";
const HOST: &str = "remote_host";
const PORT: &str = "remote_port";
const ENGINE: &str = "remote_engine_id";
const REQUEST: &str = "remote_request_id";
const TOKENS: &str = "kv_transfer_tokens";
const BYTES: &str = "kv_transfer_bytes";

/// The part of a request that a worker does.
#[derive(Clone, PartialEq, Debug)]
pub enum Transfer {
    /// Compute the prompt, and hold its KV for the decode worker.
    Compute,
    /// Decode the answer with the KV of the prefill worker.
    Answer(Remote),
}

/// The prefill worker that holds the KV of a prompt.
#[derive(Clone, PartialEq, Debug)]
pub struct Remote {
    /// Its host name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its engine id.
    pub engine_id: String,
    /// The request's id on that worker.
    pub request_id: String,
    /// The cached tokens by tier on that worker, as it sent them.
    pub found: Option<Value>,
}

impl Remote {
    /// Its address, `http://host:port`; with `tls`, `https://host:port`.
    pub fn url(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }

    /// The cached tokens on the prefill worker, which the decode worker reports with the answer.
    pub fn cached_tokens(&self) -> Option<u32> {
        let fields = [(tiers::FIELD.to_owned(), self.found.clone()?)].into_iter().collect();
        let found = tiers::from_wire(&Struct { fields })?;
        Some(found.by_origin.iter().fold(0, |sum, &tokens| sum.saturating_add(tokens)))
    }
}

fn flag(on: bool) -> Kind {
    Kind::BoolValue(on)
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

fn set(params: &mut Struct, name: &str, kind: Kind) {
    params.fields.insert(name.to_owned(), Value { kind: Some(kind) });
}

/// The fields for a prefill worker.
pub fn compute() -> Struct {
    let mut params = Struct::default();
    set(&mut params, COMPUTE, flag(true));
    set(&mut params, ANSWER, flag(false));
    params
}

/// Adds the fields of a prefill worker that holds the KV of a prompt. `host` is None if the worker does
/// not know its own address (see [`reached_at`]).
pub fn held(params: &mut Struct, engine_id: &str, request_id: &str, host: Option<&str>, port: u16) {
    set(params, COMPUTE, flag(false));
    set(params, ANSWER, flag(true));
    set(params, ENGINE, text(engine_id));
    set(params, REQUEST, text(request_id));
    if let Some(host) = host {
        set(params, HOST, text(host));
    }
    set(params, PORT, Kind::NumberValue(f64::from(port)));
}

/// Adds the host by which the router reaches the worker, unless the worker sent one.
pub fn reached_at(params: &mut Struct, url: &str) {
    if params.fields.contains_key(HOST) {
        return;
    }
    let url = url.parse::<Uri>().ok();
    if let Some(host) = url.as_ref().and_then(Uri::host) {
        set(params, HOST, text(host.trim_start_matches('[').trim_end_matches(']')));
    }
}

/// Whether the prefill worker holds the KV of the prompt.
pub fn is_held(params: &Struct) -> bool {
    matches!(
        params.fields.get(ANSWER).and_then(|value| value.kind.as_ref()),
        Some(Kind::BoolValue(true))
    )
}

/// Decodes a worker's part of a request. The error has the field and what was expected.
pub fn of(params: &Struct) -> Result<Transfer, String> {
    let kind = |name: &str| params.fields.get(name).and_then(|value| value.kind.as_ref());
    let is = |name: &str| match kind(name) {
        None | Some(Kind::NullValue(_)) => Ok(false),
        Some(Kind::BoolValue(on)) => Ok(*on),
        Some(_) => Err(format!("{name}: expected true or false")),
    };
    let named = |name: &str| match kind(name) {
        Some(Kind::StringValue(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(format!("{name}: missing, expected a string")),
    };
    match (is(COMPUTE)?, is(ANSWER)?) {
        (true, false) => Ok(Transfer::Compute),
        (false, true) => {
            let port = match kind(PORT) {
                Some(Kind::NumberValue(port)) if (1.0..=65_535.0).contains(port) => *port as u16,
                _ => return Err(format!("{PORT}: expected a port from 1 to 65535")),
            };
            let found = params.fields.get(tiers::FIELD).cloned();
            let (host, engine_id) = (named(HOST)?, named(ENGINE)?);
            Ok(Transfer::Answer(Remote {
                host,
                port,
                engine_id,
                request_id: named(REQUEST)?,
                found,
            }))
        }
        _ => Err(format!("expected exactly one of {COMPUTE} or {ANSWER} to be true")),
    }
}

/// The amount of a KV transfer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moved {
    /// Prompt tokens.
    pub tokens: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Adds the amount of the KV transfer to the end of an answer.
pub fn moved(params: &mut Struct, moved: Moved) {
    set(params, TOKENS, Kind::NumberValue(moved.tokens as f64));
    set(params, BYTES, Kind::NumberValue(moved.bytes as f64));
}

/// The amount of the KV transfer in the end of an answer.
pub fn moved_of(params: &Struct) -> Option<Moved> {
    let number = |name: &str| match params.fields.get(name)?.kind.as_ref()? {
        Kind::NumberValue(number) if (0.0..1e18).contains(number) => Some(*number as u64),
        _ => None,
    };
    Some(Moved { tokens: number(TOKENS)?, bytes: number(BYTES)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_params() -> Struct {
        let mut params = Struct::default();
        held(&mut params, "w-1", "r-1", Some("::1"), 7);
        params
    }

    #[test]
    fn the_decode_worker_reads_the_fields_of_the_prefill_worker() {
        assert_eq!(of(&compute()), Ok(Transfer::Compute));
        assert!(!is_held(&compute()));
        let params = held_params();
        assert!(is_held(&params));
        let Ok(Transfer::Answer(remote)) = of(&params) else { panic!("{params:?}") };
        assert_eq!((remote.engine_id.as_str(), remote.request_id.as_str()), ("w-1", "r-1"));
        assert_eq!((remote.url(false).as_str(), remote.cached_tokens()), ("http://[::1]:7", None));
        let mut params = params;
        moved(&mut params, Moved { tokens: 402, bytes: 402_000 });
        assert_eq!(moved_of(&params), Some(Moved { tokens: 402, bytes: 402_000 }));
        assert_eq!(moved_of(&compute()), None);
    }

    #[test]
    fn a_router_adds_a_missing_host() {
        let url = |host: Option<&str>, reached: &str| {
            let mut params = Struct::default();
            held(&mut params, "w-1", "r-1", host, 7);
            reached_at(&mut params, reached);
            match of(&params) {
                Ok(Transfer::Answer(remote)) => remote.url(false),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(url(None, "http://[::1]:9"), "http://[::1]:7");
        assert_eq!(url(None, "http://gpu-3:9"), "http://gpu-3:7");
        // An address without a port.
        assert_eq!(url(None, "http://gpu-3"), "http://gpu-3:7");
        assert_eq!(url(None, "http://gpu-3/"), "http://gpu-3:7");
        assert_eq!(url(None, "http://[::1]"), "http://[::1]:7");
        assert_eq!(url(Some("10.0.0.1"), "http://gpu-3:9"), "http://10.0.0.1:7");
    }

    #[test]
    fn an_error_has_the_field() {
        let refused = |change: fn(&mut Struct)| {
            let mut params = held_params();
            change(&mut params);
            of(&params).expect_err("an invalid field")
        };
        let neither = of(&Struct::default()).expect_err("no field");
        assert!(neither.contains("do_remote_decode or do_remote_prefill"), "{neither}");
        let both = refused(|params| set(params, COMPUTE, flag(true)));
        assert!(both.contains("exactly one"), "{both}");
        let port = refused(|params| set(params, PORT, Kind::NumberValue(0.0)));
        assert!(port.starts_with("remote_port: "), "{port}");
        let host = refused(|params| drop(params.fields.remove(HOST)));
        assert!(host.starts_with("remote_host: missing"), "{host}");
        let odd = refused(|params| set(params, ANSWER, text("yes")));
        assert!(odd.starts_with("do_remote_prefill: expected true"), "{odd}");
    }
}
