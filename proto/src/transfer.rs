//! Prompts that one worker computes and another answers, in vLLM's `kv_transfer_params`, with the
//! fields of its NIXL connector:
//!
//! ```text
//! to the worker that computes:  { do_remote_decode: true, do_remote_prefill: false }
//! in its FinishInfo, and to     { do_remote_decode: false, do_remote_prefill: true,
//! the worker that answers:        remote_engine_id, remote_request_id, remote_host, remote_port }
//! ```
//!
//! What stands beside them is handed on as it is: what the first worker found of the prompt
//! ([`crate::tiers`]), which the second repeats as the request's own. Where NIXL names blocks, here the
//! request is named (`remote_block_ids` is left out), so simulated workers only hand over to each other.
//! Since the fields name an address that the worker will connect to, only a router may give them: one
//! that comes from a client is refused.

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
const TOKENS: &str = "handed_over_tokens";
const BYTES: &str = "handed_over_bytes";

/// What a worker is to do of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Transfer {
    /// Compute the prompt, and hold its KV for another.
    Compute,
    /// Answer, with the KV that another holds.
    Answer(Remote),
}

/// Who holds the KV of a prompt.
#[derive(Clone, PartialEq, Debug)]
pub struct Remote {
    pub host: String,
    pub port: u16,
    pub engine_id: String,
    /// What the request is called there.
    pub request_id: String,
    /// What was found of the prompt there, where that is said.
    pub found: Option<Value>,
}

impl Remote {
    pub fn url(&self) -> String {
        match self.host.contains(':') {
            true => format!("http://[{}]:{}", self.host, self.port),
            false => format!("http://{}:{}", self.host, self.port),
        }
    }

    /// For the answer's own end: as much as the other worker found.
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

/// To a worker that computes the prompt for another.
pub fn compute() -> Struct {
    let mut params = Struct::default();
    set(&mut params, COMPUTE, flag(true));
    set(&mut params, ANSWER, flag(false));
    params
}

/// Adds to a finish that the prompt is computed and held. `host`: None where the worker does not know
/// how it is reached; see [`reached_at`].
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

/// Names the host that the router reaches the worker at, where that one did not.
pub fn reached_at(params: &mut Struct, url: &str) {
    if params.fields.contains_key(HOST) {
        return;
    }
    let url = url.parse::<Uri>().ok();
    if let Some(host) = url.as_ref().and_then(Uri::host) {
        set(params, HOST, text(host.trim_start_matches('[').trim_end_matches(']')));
    }
}

/// Whether a finish says that the prompt is held for another.
pub fn is_held(params: &Struct) -> bool {
    matches!(
        params.fields.get(ANSWER).and_then(|value| value.kind.as_ref()),
        Some(Kind::BoolValue(true))
    )
}

/// What is asked of a worker. An error names the field and what was expected.
pub fn of(params: &Struct) -> Result<Transfer, String> {
    let kind = |name: &str| params.fields.get(name).and_then(|value| value.kind.as_ref());
    let is = |name: &str| match kind(name) {
        None | Some(Kind::NullValue(_)) => Ok(false),
        Some(Kind::BoolValue(on)) => Ok(*on),
        Some(_) => Err(format!("{name}: expected true or false")),
    };
    let named = |name: &str| match kind(name) {
        Some(Kind::StringValue(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(format!("{name}: missing, expected a name")),
    };
    match (is(COMPUTE)?, is(ANSWER)?) {
        (true, false) => Ok(Transfer::Compute),
        (false, true) => {
            let port = match kind(PORT) {
                Some(Kind::NumberValue(port)) if (1.0..=65_535.0).contains(port) => *port as u16,
                _ => return Err(format!("{PORT}: expected a port")),
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
        _ => Err(format!("expected either {COMPUTE} or {ANSWER} to be true")),
    }
}

/// What came of a hand-over: tokens and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moved {
    pub tokens: u64,
    pub bytes: u64,
}

/// Adds to an answer's finish what was handed over for it.
pub fn moved(params: &mut Struct, moved: Moved) {
    set(params, TOKENS, Kind::NumberValue(moved.tokens as f64));
    set(params, BYTES, Kind::NumberValue(moved.bytes as f64));
}

/// What a finish says was handed over.
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
    fn what_one_worker_says_the_other_reads() {
        assert_eq!(of(&compute()), Ok(Transfer::Compute));
        assert!(!is_held(&compute()));
        let params = held_params();
        assert!(is_held(&params));
        let Ok(Transfer::Answer(remote)) = of(&params) else { panic!("{params:?}") };
        assert_eq!((remote.engine_id.as_str(), remote.request_id.as_str()), ("w-1", "r-1"));
        assert_eq!((remote.url().as_str(), remote.cached_tokens()), ("http://[::1]:7", None));
        let mut params = params;
        moved(&mut params, Moved { tokens: 402, bytes: 402_000 });
        assert_eq!(moved_of(&params), Some(Moved { tokens: 402, bytes: 402_000 }));
        assert_eq!(moved_of(&compute()), None);
    }

    #[test]
    fn a_router_fills_in_a_host_that_is_missing() {
        let url = |host: Option<&str>, reached: &str| {
            let mut params = Struct::default();
            held(&mut params, "w-1", "r-1", host, 7);
            reached_at(&mut params, reached);
            match of(&params) {
                Ok(Transfer::Answer(remote)) => remote.url(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(url(None, "http://[::1]:9"), "http://[::1]:7");
        assert_eq!(url(None, "http://gpu-3:9"), "http://gpu-3:7");
        // The scheme's own port may be left out.
        assert_eq!(url(None, "http://gpu-3"), "http://gpu-3:7");
        assert_eq!(url(None, "http://gpu-3/"), "http://gpu-3:7");
        assert_eq!(url(None, "http://[::1]"), "http://[::1]:7");
        assert_eq!(url(Some("10.0.0.1"), "http://gpu-3:9"), "http://10.0.0.1:7");
    }

    #[test]
    fn what_can_not_be_is_named() {
        let refused = |change: fn(&mut Struct)| {
            let mut params = held_params();
            change(&mut params);
            of(&params).expect_err("it can't be read")
        };
        let neither = of(&Struct::default()).expect_err("nothing is asked for");
        assert!(neither.contains("do_remote_decode or do_remote_prefill"), "{neither}");
        let both = refused(|params| set(params, COMPUTE, flag(true)));
        assert!(both.contains("either"), "{both}");
        let port = refused(|params| set(params, PORT, Kind::NumberValue(0.0)));
        assert!(port.starts_with("remote_port: "), "{port}");
        let host = refused(|params| drop(params.fields.remove(HOST)));
        assert!(host.starts_with("remote_host: missing"), "{host}");
        let odd = refused(|params| set(params, ANSWER, text("yes")));
        assert!(odd.starts_with("do_remote_prefill: expected true"), "{odd}");
    }
}
