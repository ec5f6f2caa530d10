//! vLLM's generate calls as bytes, so that a router can pass messages on without decoding them.
//!
//! - [`inference_server`], [`inference_client`]: the calls of [`crate::vllm`], generated with
//!   [`RawCodec`]. A message is the bytes that were sent.
//! - [`Peek`]: the few fields of an answer that a router reads.
//! - [`upstream`]: a request with new small fields and the prompt's bytes as they came.

use crate::vllm::{GenerateRequest, GenerateResponse, TokenIds, generate_request::Prompt};
pub use prost::bytes::Bytes;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use prost_types::Struct;
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

/// The fields of a [`GenerateResponse`] that a router reads. It is a message type with the same field
/// numbers and no others: the decoder skips all other fields, and allocates only for the last part.
#[derive(Clone, PartialEq, Message)]
pub struct Peek {
    #[prost(message, optional, tag = "2")]
    outputs: Option<PeekOutputs>,
}

#[derive(Clone, PartialEq, Message)]
struct PeekOutputs {
    #[prost(uint32, tag = "3")]
    num_tokens: u32,
    #[prost(message, optional, tag = "8")]
    finish_info: Option<Finish>,
}

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
    pub fn of(mut response: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut response)
    }

    /// The tokens in this part of the answer.
    pub fn num_tokens(&self) -> u32 {
        self.outputs.as_ref().map_or(0, |outputs| outputs.num_tokens)
    }

    /// The end of the answer, which only the last part has.
    pub fn finish(self) -> Option<Finish> {
        self.outputs?.finish_info
    }
}

/// The request to a worker: the fields of `request`, whose prompt was taken out, and the prompt's bytes
/// copied from `message`. Unknown fields are not passed on, because they were not checked.
///
/// `prompt` has the prompt's token ids. They are encoded only if `message` has the prompt in several
/// pieces.
pub fn upstream(mut request: GenerateRequest, message: &Bytes, prompt: &[u32]) -> Bytes {
    let Some(field) = token_ids_field(message) else {
        request.prompt = Some(Prompt::TokenIds(TokenIds { ids: prompt.to_vec() }));
        return bytes(&request);
    };
    debug_assert!(request.prompt.is_none(), "two prompts");
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
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
        if number == TOKEN_IDS && found.replace(&field[..field.len() - rest.len()]).is_some() {
            return None;
        }
    }
    found
}

/// Decodes a whole request. The error is INTERNAL, as from tonic.
pub fn request(message: &Bytes) -> Result<GenerateRequest, Status> {
    GenerateRequest::decode(message.clone()).map_err(|error| Status::internal(error.to_string()))
}

/// Encodes a message.
pub fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Decodes a whole part of an answer. The error is INTERNAL, as from tonic.
pub fn response(message: Bytes) -> Result<GenerateResponse, Status> {
    GenerateResponse::decode(message).map_err(|error| Status::internal(error.to_string()))
}
