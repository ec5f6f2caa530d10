//! Envoy's messages, read and made.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use warmpath_openai::problem::Problem;
use warmpath_proto::ext_proc::header_value_option::HeaderAppendAction;
use warmpath_proto::ext_proc::processing_response::Response;
use warmpath_proto::ext_proc::{
    self, BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeaderValueOption,
    HeadersResponse, HttpHeaders, HttpStatus, ImmediateResponse, Metadata, ProcessingResponse,
    StreamedBodyResponse, body_mutation::Mutation,
};

/// The header and the key of the metadata that name the worker.
const DESTINATION: &str = "x-gateway-destination-endpoint";
/// The metadata in which Envoy's load balancer looks for it.
const BALANCER: &str = "envoy.lb";
const SUBSET: (&str, &str) = ("envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset");
const SERVED: (&str, &str) = ("envoy.lb", "x-gateway-destination-endpoint-served");
/// Envoy takes messages of 64 KiB in all.
const CHUNK: usize = 60_000;

/// The headers of a request. Envoy's own, such as `:path`, are apart.
#[derive(Debug, Default)]
pub struct Head {
    /// Without its query.
    pub path: String,
    pub headers: HeaderMap,
}

fn value(header: ext_proc::HeaderValue) -> Vec<u8> {
    match header.raw_value.is_empty() {
        true => header.value.into_bytes(),
        false => header.raw_value,
    }
}

impl Head {
    /// The error: there are too many.
    pub fn of(headers: HttpHeaders) -> Result<Self, Problem> {
        let mut head = Self::default();
        for mut header in headers.headers.unwrap_or_default().headers {
            let key = std::mem::take(&mut header.key);
            let value = value(header);
            if key == ":path" {
                let path = String::from_utf8_lossy(&value);
                path.split('?').next().unwrap_or_default().clone_into(&mut head.path);
                continue;
            }
            let name = HeaderName::try_from(key);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
                let too_many = |_| Problem::new(431, "too many headers, expected fewer");
                head.headers.try_append(name, value).map_err(too_many)?;
            }
        }
        Ok(head)
    }
}

/// What an answer's headers say of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AnswerHead {
    pub status: u16,
    /// In bytes.
    pub length: Option<u64>,
    /// It is a stream of events.
    pub is_stream: bool,
}

impl AnswerHead {
    pub fn of(headers: HttpHeaders) -> Self {
        let mut head = Self::default();
        for mut header in headers.headers.unwrap_or_default().headers {
            let key = std::mem::take(&mut header.key);
            let value = value(header);
            let text = String::from_utf8_lossy(&value);
            match key.as_str() {
                ":status" => head.status = text.parse().unwrap_or(0),
                "content-length" => head.length = text.parse().ok(),
                "content-type" => head.is_stream = text.starts_with("text/event-stream"),
                _ => {}
            }
        }
        head
    }
}

fn texts(metadata: Option<&Metadata>, (filter, key): (&str, &str)) -> Option<Vec<String>> {
    let found = metadata?.filter_metadata.get(filter)?.fields.get(key)?;
    let list = |text: &str| text.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>();
    let all = match found.kind.as_ref()? {
        Kind::StringValue(text) => list(text),
        Kind::ListValue(values) => {
            let texts = values.values.iter().filter_map(|value| match &value.kind {
                Some(Kind::StringValue(text)) => Some(text.as_str()),
                _ => None,
            });
            texts.flat_map(list).collect()
        }
        _ => return None,
    };
    Some(all.into_iter().filter(|one| !one.is_empty()).collect())
}

/// The endpoints that may be chosen. None: all.
pub fn subset(metadata: Option<&Metadata>) -> Option<Vec<String>> {
    texts(metadata, SUBSET)
}

/// The endpoint that answered, if Envoy says it.
pub fn served(metadata: Option<&Metadata>) -> Option<String> {
    texts(metadata, SERVED)?.into_iter().next()
}

fn set(key: &str, value: &str) -> HeaderValueOption {
    let header = ext_proc::HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let append_action = HeaderAppendAction::OverwriteIfExistsOrAdd.into();
    HeaderValueOption { header: Some(header), append_action }
}

/// The request goes to this endpoint. `resized`: its body has another length than the client said.
pub fn destination(endpoint: &str, resized: bool) -> ProcessingResponse {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let inner = Struct { fields: [(DESTINATION.to_owned(), text(endpoint))].into() };
    let outer = Value { kind: Some(Kind::StructValue(inner)) };
    let remove_headers = if resized { vec!["content-length".to_owned()] } else { Vec::new() };
    let headers = HeaderMutation { set_headers: vec![set(DESTINATION, endpoint)], remove_headers };
    let common = CommonResponse {
        header_mutation: Some(headers),
        clear_route_cache: true,
        ..Default::default()
    };
    ProcessingResponse {
        response: Some(Response::RequestHeaders(HeadersResponse { response: Some(common) })),
        dynamic_metadata: Some(Struct { fields: [(BALANCER.to_owned(), outer)].into() }),
    }
}

/// A body in as many messages as it takes. `ends`: nothing follows it.
pub fn body(
    bytes: &[u8],
    ends: bool,
    of: impl Fn(BodyResponse) -> Response,
) -> Vec<ProcessingResponse> {
    let chunks: Vec<&[u8]> =
        if bytes.is_empty() { vec![bytes] } else { bytes.chunks(CHUNK).collect() };
    let last = chunks.len() - 1;
    let message = |(i, chunk): (usize, &[u8])| {
        let part = StreamedBodyResponse { body: chunk.to_vec(), end_of_stream: ends && i == last };
        let mutation = BodyMutation { mutation: Some(Mutation::StreamedResponse(part)) };
        let common = CommonResponse { body_mutation: Some(mutation), ..Default::default() };
        let response = Some(of(BodyResponse { response: Some(common) }));
        ProcessingResponse { response, dynamic_metadata: None }
    };
    chunks.into_iter().enumerate().map(message).collect()
}

/// A body goes on as it is.
pub fn unchanged(of: impl Fn(BodyResponse) -> Response) -> ProcessingResponse {
    plain(of(BodyResponse::default()))
}

/// The client gets this answer at once, and no worker gets the request.
pub fn problem(problem: &Problem) -> ProcessingResponse {
    let mut set_headers = vec![set("content-type", "application/json")];
    if let Some(after) = problem.after {
        set_headers.push(set("retry-after", &after.as_secs_f64().ceil().to_string()));
    }
    if let Some(reason) = &problem.reason {
        set_headers.push(set("x-warmpath-reason", reason));
    }
    let immediate = ImmediateResponse {
        status: Some(HttpStatus { code: problem.status.into() }),
        headers: Some(HeaderMutation { set_headers, ..Default::default() }),
        body: problem.json().into_bytes(),
        details: "warmpath".to_owned(),
    };
    plain(Response::ImmediateResponse(immediate))
}

/// The answer's headers, with the worker's name among them.
pub fn answer_headers(worker: Option<&str>) -> ProcessingResponse {
    let set_headers = worker.map(|name| set("x-warmpath-worker", name)).into_iter().collect();
    let headers = HeaderMutation { set_headers, ..Default::default() };
    let common = CommonResponse { header_mutation: Some(headers), ..Default::default() };
    plain(Response::ResponseHeaders(HeadersResponse { response: Some(common) }))
}

pub const fn plain(response: Response) -> ProcessingResponse {
    ProcessingResponse { response: Some(response), dynamic_metadata: None }
}
