//! vLLM's generate calls as bytes, so that a router can pass messages on without decoding them.
//!
//! - [`inference_server`], [`inference_client`]: the calls of [`crate::vllm`], generated with
//!   [`RawCodec`]. A message is the bytes that were sent.
//! - [`Peek`]: the few fields of an answer that a router reads.
//! - [`Peek::without_ids`], [`Resumed`], [`complete`]: the few changes that a router makes to an answer.
//! - [`upstream`]: a request with new small fields and the prompt's bytes as they came.

use crate::vllm::finish_info::FinishReason;
use crate::vllm::generate_request::Prompt;
use crate::vllm::{FinishInfo, GenerateRequest, GenerateResponse, SequenceOutput, TokenIds};
pub use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
pub use prost::bytes::{Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint,
    skip_field,
};
use prost::{Message, length_delimiter_len};
use prost_types::Struct;
use smallvec::SmallVec;
use std::ops::Range;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

tonic::include_proto!("vllm.Inference");

/// A codec whose messages are bytes. A received message is not copied.
#[derive(Clone, Copy, Default, Debug)]
pub struct RawCodec {}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self {}
    }

    fn decoder(&mut self) -> Self {
        Self {}
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The fields of a [`GenerateResponse`] that a router reads. Only the last part of an answer makes it
/// allocate.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Peek {
    num_tokens: u32,
    token_ids: Ids,
    has_text: bool,
    finish: Option<Finish>,
    place: Place,
}

/// Where the token ids of a part lie, in bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Place {
    /// How many fields `outputs` and `token_ids` there are. The ranges are those of the last ones.
    outputs: u32,
    ids: u32,
    /// All of `outputs`, and what is in it.
    whole: Range<usize>,
    inner: usize,
    /// All of `token_ids`.
    at: Range<usize>,
}

/// Token ids of one message: most have one.
pub type Ids = SmallVec<[u32; 4]>;

/// A field of a [`GenerateResponse`].
const OUTPUTS: u32 = 2;
/// Fields of its `outputs`.
const TEXT: u32 = 2;
const NUM_TOKENS: u32 = 3;
const OUTPUT_IDS: u32 = 4;
const FINISH_INFO: u32 = 8;

/// The end of an answer.
#[derive(Clone, PartialEq, Message)]
pub struct Finish {
    /// Why the answer ended.
    #[prost(enumeration = "crate::vllm::finish_info::FinishReason", tag = "2")]
    pub finish_reason: i32,
    /// Fields of the KV transfer ([`crate::transfer`]), and cached tokens by tier ([`crate::tiers`]).
    #[prost(message, optional, tag = "6")]
    pub kv_transfer_params: Option<Struct>,
    /// Prompt tokens that were cached.
    #[prost(uint32, optional, tag = "9")]
    pub num_cached_tokens: Option<u32>,
}

impl Peek {
    /// Reads the fields. Errors in skipped fields are not found.
    pub fn of(response: &[u8]) -> Result<Self, DecodeError> {
        let mut peek = Self::default();
        let mut rest = response;
        while !rest.is_empty() {
            let start = response.len() - rest.len();
            if let Field { number: OUTPUTS, wire: WireType::LengthDelimited, value, .. } =
                Field::next(&mut rest)?
            {
                let end = response.len() - rest.len();
                peek.place.outputs += 1;
                peek.place.whole = start..end;
                peek.place.inner = end - value.len();
                peek.read_outputs(value)?;
            }
        }
        Ok(peek)
    }

    fn read_outputs(&mut self, outputs: &[u8]) -> Result<(), DecodeError> {
        let mut rest = outputs;
        while !rest.is_empty() {
            let start = outputs.len() - rest.len();
            let Field { number, wire, mut value, .. } = Field::next(&mut rest)?;
            match (number, wire) {
                (TEXT, WireType::LengthDelimited) => self.has_text |= !value.is_empty(),
                (NUM_TOKENS, WireType::Varint) => {
                    self.num_tokens = decode_varint(&mut value)? as u32;
                }
                (OUTPUT_IDS, WireType::Varint | WireType::LengthDelimited) => {
                    let inner = self.place.inner;
                    self.place.ids += 1;
                    self.place.at = inner + start..inner + outputs.len() - rest.len();
                    while !value.is_empty() {
                        self.token_ids.push(decode_varint(&mut value)? as u32);
                    }
                }
                (NUM_TOKENS, _) => check_wire_type(WireType::Varint, wire)?,
                (FINISH_INFO, WireType::LengthDelimited) => {
                    self.finish.get_or_insert_default().merge(value)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The part without the ids of its tokens: the router asked for them, and the client did not. `part`:
    /// what this is a peek of. `room`: one for all parts of an answer, so that few of them allocate.
    pub fn without_ids(&self, part: &Bytes, room: &mut BytesMut) -> Result<Bytes, DecodeError> {
        let Place { outputs, ids, whole, inner, at } = &self.place;
        match (outputs, ids) {
            (_, 0) => return Ok(part.clone()),
            (1, 1) => {}
            _ => return without_scattered_ids(part),
        }
        let length = whole.end - inner - at.len();
        // The key of field 2 has one byte.
        let head = 1 + length_delimiter_len(length);
        room.reserve(part.len() - (inner - whole.start) - at.len() + head);
        room.extend_from_slice(&part[..whole.start]);
        encode_key(OUTPUTS, WireType::LengthDelimited, room);
        encode_varint(length as u64, room);
        room.extend_from_slice(&part[*inner..at.start]);
        room.extend_from_slice(&part[at.end..]);
        Ok(room.split().freeze())
    }

    /// The tokens in this part of the answer.
    pub const fn num_tokens(&self) -> u32 {
        self.num_tokens
    }

    /// The ids of these tokens, if they are all there is to know of this part. None: it has text, which
    /// may end within a character, or no ids.
    pub fn all_ids(&mut self) -> Option<Ids> {
        let whole = !self.has_text && self.token_ids.len() == self.num_tokens as usize;
        whole.then(|| core::mem::take(&mut self.token_ids))
    }

    /// Whether this part has text, which may end within a character.
    pub const fn has_text(&self) -> bool {
        self.has_text
    }

    /// The end of the answer, which only the last part has.
    pub fn finish(self) -> Option<Finish> {
        self.finish
    }
}

/// One field of a message as it was encoded.
struct Field<'a> {
    number: u32,
    wire: WireType,
    /// Without the key, and without the length if it has one.
    value: &'a [u8],
    /// All of it.
    whole: &'a [u8],
}

impl<'a> Field<'a> {
    /// Takes the first field of `message`.
    fn next(message: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let whole = *message;
        let (number, wire) = decode_key(message)?;
        let before = *message;
        let value = match wire {
            WireType::LengthDelimited => {
                let mut rest = before;
                let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
                match rest.split_at_checked(length) {
                    Some((value, rest)) => {
                        *message = rest;
                        value
                    }
                    None => {
                        // Its error says that bytes are missing.
                        skip_field(wire, number, message, DecodeContext::default())?;
                        &[]
                    }
                }
            }
            _ => {
                skip_field(wire, number, message, DecodeContext::default())?;
                &before[..before.len() - message.len()]
            }
        };
        Ok(Self { number, wire, value, whole: &whole[..whole.len() - message.len()] })
    }
}

/// A part without the ids of its tokens, which lie in several pieces.
fn without_scattered_ids(part: &Bytes) -> Result<Bytes, DecodeError> {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = &part[..];
    while !rest.is_empty() {
        let field = Field::next(&mut rest)?;
        if (field.number, field.wire) != (OUTPUTS, WireType::LengthDelimited) {
            out.extend_from_slice(field.whole);
            continue;
        }
        let mut kept = SmallVec::<[u8; 64]>::new();
        let mut outputs = field.value;
        while !outputs.is_empty() {
            let field = Field::next(&mut outputs)?;
            if field.number != OUTPUT_IDS {
                kept.extend_from_slice(field.whole);
            }
        }
        encode_key(OUTPUTS, WireType::LengthDelimited, &mut out);
        encode_varint(kept.len() as u64, &mut out);
        out.extend_from_slice(&kept);
    }
    Ok(out.into())
}

/// How a part of a resumed answer reaches the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// Tokens of the answer that came before it was resumed. To its worker they are a part of the prompt.
    pub before: u32,
    /// Tokens of the prompt that the client sent.
    pub prompt: u32,
    /// Whether the client asked for token ids.
    pub wants_ids: bool,
}

impl Resumed {
    /// A part of the answer as if it had never been resumed.
    pub fn part(&self, part: Bytes) -> Result<Bytes, DecodeError> {
        let mut part = GenerateResponse::decode(part)?;
        part.prompt_info = None;
        if let Some(outputs) = &mut part.outputs {
            if !self.wants_ids {
                outputs.token_ids.clear();
            }
            if let Some(finish) = &mut outputs.finish_info {
                // A worker may send any number.
                finish.num_output_tokens = finish.num_output_tokens.saturating_add(self.before);
                finish.num_cached_tokens = finish.num_cached_tokens.map(|n| n.min(self.prompt));
            }
        }
        Ok(bytes(&part))
    }
}

/// The last part of an answer that has all its tokens and broke off before its worker said so.
pub fn complete(num_output_tokens: u32) -> Bytes {
    let mut finish_info = FinishInfo { num_output_tokens, ..FinishInfo::default() };
    finish_info.set_finish_reason(FinishReason::Length);
    let outputs = SequenceOutput { finish_info: Some(finish_info), ..SequenceOutput::default() };
    bytes(&GenerateResponse { outputs: Some(outputs), ..GenerateResponse::default() })
}

/// The request to a worker: the fields of `request`, whose prompt was taken out, and the prompt's bytes
/// copied from `message`. Unknown fields are not passed on, because they were not checked.
///
/// `prompt` has the prompt's token ids. They are encoded only if `message` does not have the prompt in
/// one piece.
pub fn upstream(request: &GenerateRequest, message: &Bytes, prompt: &[u32]) -> Bytes {
    debug_assert!(request.prompt.is_none(), "two prompts");
    let Some(field) = token_ids_field(message) else {
        let ids = Prompt::TokenIds(TokenIds { ids: prompt.to_vec() });
        let mut upstream = Vec::with_capacity(request.encoded_len() + ids.encoded_len());
        request.encode_raw(&mut upstream);
        ids.encode(&mut upstream);
        return upstream.into();
    };
    let mut upstream = Vec::with_capacity(request.encoded_len() + field.len());
    request.encode_raw(&mut upstream);
    upstream.extend_from_slice(field);
    upstream.into()
}

/// The bytes of the field `token_ids`, with key and length. None unless there is exactly one.
fn token_ids_field(message: &[u8]) -> Option<&[u8]> {
    const TOKEN_IDS: u32 = 4;
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let field = Field::next(&mut rest).ok()?;
        if field.number == TOKEN_IDS && found.replace(field.whole).is_some() {
            return None;
        }
    }
    found
}

/// Decodes a whole request. The error is INVALID_ARGUMENT: the client sent what is no request.
pub fn request(message: &Bytes) -> Result<GenerateRequest, Status> {
    let no_request = |error| Status::invalid_argument(format!("message: {error}"));
    GenerateRequest::decode(message.clone()).map_err(no_request)
}

/// Encodes a message.
pub fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Decodes a whole part of an answer. The error is INTERNAL, as from tonic.
pub fn response(message: Bytes) -> Result<GenerateResponse, Status> {
    GenerateResponse::decode(message).map_err(|error| Status::internal(error.to_string()))
}
