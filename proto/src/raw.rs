//! vLLM's generate calls as bytes: what a router passes on it need not take apart.
//!
//! - [`inference_server`], [`inference_client`]: the calls of [`crate::vllm`], generated with
//!   [`RawCodec`], so that a message is the bytes that crossed the wire.
//! - [`Peek`]: the few fields of an answer that a router must know.
//! - [`upstream`]: a request that goes on with other small fields and the prompt as it came.

use crate::vllm::{GenerateRequest, GenerateResponse, TokenIds, generate_request::Prompt};
pub use prost::bytes::Bytes;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use prost_types::Struct;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

tonic::include_proto!("vllm.Inference");

/// A message is its bytes, in both directions. Nothing is copied that is received.
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

/// What a router must know of a [`GenerateResponse`]. A message type of its own with that one's
/// field numbers: everything else is skipped, and
/// nothing is allocated before the last part.
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

/// How an answer ended.
#[derive(Clone, PartialEq, Message)]
pub struct Finish {
    #[prost(enumeration = "crate::vllm::finish_info::FinishReason", tag = "2")]
    pub finish_reason: i32,
    #[prost(message, optional, tag = "6")]
    pub kv_transfer_params: Option<Struct>,
    #[prost(uint32, optional, tag = "9")]
    pub num_cached_tokens: Option<u32>,
}

impl Peek {
    /// An error says that the message can't be read, but not every such message is an error: what
    /// is skipped is not looked into.
    pub fn of(mut response: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut response)
    }

    /// Answer tokens in this part of the answer.
    pub fn num_tokens(&self) -> u32 {
        self.outputs.as_ref().map_or(0, |outputs| outputs.num_tokens)
    }

    /// Of the last part.
    pub fn finish(self) -> Option<Finish> {
        self.outputs?.finish_info
    }
}

/// The request that goes upstream: `request`'s fields, whose prompt was taken out, and the prompt
/// as `message` has it, copied and not encoded anew. Fields that are not known here are not passed
/// on, since nobody has checked them.
///
/// `prompt`: what `message` says it is, for the odd one that says it in pieces.
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

/// The bytes of the field `token_ids`, key and length included, where it stands exactly once.
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

/// Decodes a message that has to be known in full; an error is what tonic makes of it.
pub fn request(message: &Bytes) -> Result<GenerateRequest, Status> {
    GenerateRequest::decode(message.clone()).map_err(|error| Status::internal(error.to_string()))
}

/// A message as it crosses the wire.
pub fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// As [`request`], for one part of an answer.
pub fn response(message: Bytes) -> Result<GenerateResponse, Status> {
    GenerateResponse::decode(message).map_err(|error| Status::internal(error.to_string()))
}
