//! Messages that the router passes on and does not take apart. Each is named by its format.
//!
//! A front makes a [`RequestBody`] and gets back [`AnswerBody`]s; an upstream does the reverse. The
//! code between them moves these types and never looks inside. Another format is one more variant
//! here, and the compiler then points to every front and every upstream that must handle it.

use warmpath_proto::raw::{self, Bytes};
use warmpath_proto::transfer::Struct;
use warmpath_proto::vllm::GenerateRequest;

/// A generate request in the format its front received it in.
#[derive(Clone, Debug)]
pub enum RequestBody {
    Vllm(VllmRequest),
}

/// A request in vLLM's gRPC format.
#[derive(Clone, Debug)]
pub struct VllmRequest {
    /// All fields but the prompt.
    pub fields: GenerateRequest,
    /// The whole message as it was received. The prompt is copied from here, so it is encoded again
    /// only for an answer that is resumed.
    pub message: Bytes,
    /// Whether the client asked for the token ids of the answer.
    pub wants_ids: bool,
}

impl RequestBody {
    /// Releases the message. The request can be sent again without it.
    pub fn release(&mut self) {
        match self {
            Self::Vllm(request) => request.message = Bytes::new(),
        }
    }
}

/// One message of an answer, in the format its worker sent it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnswerBody {
    Vllm(Bytes),
}

impl AnswerBody {
    /// The last message of an answer that has all its tokens, in the format of its request.
    pub fn complete(request: &RequestBody, tokens: u32) -> Self {
        match request {
            RequestBody::Vllm(_) => Self::Vllm(raw::complete(tokens)),
        }
    }
}

/// Where a worker holds the KV of a prompt that another worker will answer. The second worker gets
/// it as it is.
#[derive(Clone, Debug)]
pub enum HeldPrompt {
    Vllm(Struct),
}
