//! vLLM's generate calls as bytes, so that a router can pass messages on without decoding them.
//!
//! - [`inference_server`], [`inference_client`]: the calls of [`crate::vllm`], generated with
//!   [`RawCodec`]. A message is the bytes that were sent.
//! - [`Peek`]: the few fields of an answer that a router reads. [`Plain`]: the same of most messages, faster.
//! - [`without_ids`], [`Resumed`], [`complete`]: the few changes that a router makes to an answer.
//! - [`upstream`]: a request with new small fields and the prompt's bytes as they came.

use crate::packed::{self, take_id};
use crate::vllm::finish_info::FinishReason;
use crate::vllm::generate_request::Prompt;
use crate::vllm::{FinishInfo, GenerateRequest, GenerateResponse, SequenceOutput, TokenIds};
pub use prost::DecodeError;
use prost::Message;
pub use prost::bytes::Bytes;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint,
    skip_field,
};
use prost_types::Struct;
use smallvec::SmallVec;
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
        buffer.put_slice(&message);
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
    finish: Option<Box<Finish>>,
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
            let field = Field::next(&mut rest)?;
            if field.number == OUTPUTS && field.wire == WireType::LengthDelimited {
                peek.read_outputs(field.value)?;
            }
        }
        Ok(peek)
    }

    fn read_outputs(&mut self, mut outputs: &[u8]) -> Result<(), DecodeError> {
        while !outputs.is_empty() {
            let Field { number, wire, mut value, .. } = Field::next(&mut outputs)?;
            match (number, wire) {
                (TEXT, WireType::LengthDelimited) => self.has_text |= !value.is_empty(),
                (NUM_TOKENS, WireType::Varint) => {
                    self.num_tokens = decode_varint(&mut value)? as u32;
                }
                (OUTPUT_IDS, WireType::Varint | WireType::LengthDelimited) => {
                    while !value.is_empty() {
                        self.token_ids.push(take_id(&mut value)?);
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
        self.finish.map(|finish| *finish)
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
        // Nearly all are of this kind: key and length, or key and number, have a byte each.
        if let &[key @ 8..0x80, second @ 0..0x80, ref rest @ ..] = *message {
            let length = if key & 7 == 2 { usize::from(second) } else { 0 };
            if matches!(key & 7, 0 | 2)
                && let Some((value, rest)) = rest.split_at_checked(length)
            {
                let whole = &message[..2 + length];
                let number = u32::from(key >> 3);
                *message = rest;
                return Ok(match key & 7 {
                    0 => Self { number, wire: WireType::Varint, value: &whole[1..], whole },
                    _ => Self { number, wire: WireType::LengthDelimited, value, whole },
                });
            }
        }
        Self::any(message)
    }

    fn any(message: &mut &'a [u8]) -> Result<Self, DecodeError> {
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

/// A part of an answer that has tokens and their ids, and nothing else. Nearly all are of this kind, so
/// it is read and changed without a loop over fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plain {
    /// As [`Peek::num_tokens`] and [`Peek::all_ids`].
    pub num_tokens: u32,
    pub ids: Option<Ids>,
}

/// The keys of the fields of a plain part.
const PLAIN: [u8; 3] = [
    (OUTPUTS << 3) as u8 | WireType::LengthDelimited as u8,
    (NUM_TOKENS << 3) as u8 | WireType::Varint as u8,
    (OUTPUT_IDS << 3) as u8 | WireType::LengthDelimited as u8,
];

/// The plain part of so many tokens, without ids.
static WITHOUT_IDS: [[u8; 4]; 128] = {
    let mut parts = [[PLAIN[0], 2, PLAIN[1], 0]; 128];
    let mut tokens = 0;
    while tokens < parts.len() {
        parts[tokens][3] = tokens as u8;
        tokens += 1;
    }
    parts
};

impl Plain {
    /// None: the part is of another kind, or broken.
    #[inline]
    pub fn of(part: &[u8]) -> Option<Self> {
        let &[a, length @ 0..0x80, b, tokens @ 0..0x80, c, bytes @ 0..0x80, ref ids @ ..] = part
        else {
            return None;
        };
        let fits = usize::from(length) + 2 == part.len() && usize::from(bytes) == ids.len();
        if [a, b, c] != PLAIN || !fits {
            return None;
        }
        let mut rest = ids;
        let mut ids = Ids::new();
        while !rest.is_empty() {
            ids.push(take_id(&mut rest).ok()?);
        }
        let all = ids.len() == usize::from(tokens);
        Some(Self { num_tokens: tokens.into(), ids: all.then_some(ids) })
    }

    /// The part without the ids.
    pub fn without_ids(&self) -> Bytes {
        Bytes::from_static(&WITHOUT_IDS[self.num_tokens as usize])
    }
}

/// A part without the ids of its tokens: the router asked for them, and the client did not.
pub fn without_ids(part: &[u8]) -> Result<Bytes, DecodeError> {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
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
    let Some(Field { whole: field, .. }) = token_ids_field(message) else {
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

/// The field `token_ids`. None unless there is exactly one.
fn token_ids_field(message: &[u8]) -> Option<Field<'_>> {
    const TOKEN_IDS: u32 = 4;
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let field = Field::next(&mut rest).ok()?;
        if field.number == TOKEN_IDS && found.replace(field).is_some() {
            return None;
        }
    }
    found
}

/// Decodes a whole request. The error is INVALID_ARGUMENT: the client sent what is no request.
pub fn request(message: &Bytes) -> Result<GenerateRequest, Status> {
    let no_request = |error| Status::invalid_argument(format!("message: {error}"));
    if let Some(request) = request_with_ids(message) {
        return Ok(request);
    }
    GenerateRequest::decode(message.clone()).map_err(no_request)
}

/// A request whose prompt is one list of ids, as nearly all are. The ids are most of the message, so a loop of
/// their own reads them. None: the message is of another kind, or broken.
fn request_with_ids(message: &[u8]) -> Option<GenerateRequest> {
    const IDS: u32 = 1;
    let field = token_ids_field(message)?;
    let mut value = field.value;
    let Field { number: IDS, wire: WireType::LengthDelimited, value: packed, .. } =
        Field::next(&mut value).ok()?
    else {
        return None;
    };
    if field.wire != WireType::LengthDelimited || !value.is_empty() {
        return None;
    }
    let ids = packed::ids(packed).ok()?;
    let start = field.whole.as_ptr().addr() - message.as_ptr().addr();
    let others = [&message[..start], &message[start + field.whole.len()..]].concat();
    let mut request = GenerateRequest::decode(&*others).ok()?;
    // A text beside the ids: the later one counts.
    let ids = Prompt::TokenIds(TokenIds { ids });
    request.prompt.is_none().then(|| {
        request.prompt = Some(ids);
        request
    })
}

/// Encodes a message.
pub fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Decodes a whole part of an answer. The error is INTERNAL, as from tonic.
pub fn response(message: Bytes) -> Result<GenerateResponse, Status> {
    GenerateResponse::decode(message).map_err(|error| Status::internal(error.to_string()))
}
