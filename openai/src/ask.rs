//! A checked body as vLLM's `GenerateRequest`.

use crate::messages::Message;
use crate::problem::Problem;
use crate::request::{Body, Kind, Parts, Prompt, StreamOptions};
use crate::tokenizer::{ChatStyle, Tokenizer};
use std::sync::Arc;
use warmpath_core::tokens::VOCABULARY;
use warmpath_proto::generate::DEFAULT_NEW_TOKENS;
use warmpath_proto::vllm::{
    DecodingParameters, GenerateRequest, KvCacheParameters, RandomSampling, ResponseOptions,
    StoppingCriteria, TokenIds, generate_request,
};

/// The answer's length where the request does not say: OpenAI's for completions, vLLM's gRPC's for chats.
const COMPLETION_TOKENS: u32 = 16;

/// A request to generate.
#[derive(Clone, Debug)]
pub struct Ask {
    pub kind: Kind,
    pub request: GenerateRequest,
    pub stream: bool,
    pub options: StreamOptions,
    /// Whether the client wants token ids beside the text.
    pub return_ids: bool,
    /// The prompt's token ids, if the client wants them.
    pub prompt_ids: Vec<u32>,
    pub prompt_tokens: u32,
    /// OpenAI's hint for routing. It is the session if no header names one.
    pub cache_key: Option<String>,
}

impl Ask {
    /// Makes the request. A long text is tokenized beside the threads that serve.
    pub async fn new(body: Body, kind: Kind, tokenizer: &Arc<Tokenizer>) -> Result<Self, Problem> {
        body.check(kind)?;
        let mut parts = body.parts();
        let ids = match parts.prompt.take() {
            Some(Prompt::Ids(ids)) if kind == Kind::Completion => ids,
            Some(Prompt::Text(text)) if kind == Kind::Completion => {
                encode(tokenizer, text, parts.special.unwrap_or(true)).await?
            }
            _ => {
                let style = ChatStyle {
                    generation_prompt: parts.generation_prompt,
                    continue_final: parts.continues,
                };
                let messages = std::mem::take(&mut parts.messages);
                // A template has its own special tokens.
                chat_ids(tokenizer, messages, style, parts.special.unwrap_or(false)).await?
            }
        };
        Ok(Self::of(parts, kind, ids))
    }

    fn of(parts: Parts, kind: Kind, ids: Vec<u32>) -> Self {
        let default = match kind {
            Kind::Completion => COMPLETION_TOKENS,
            Kind::Chat => DEFAULT_NEW_TOKENS,
        };
        let prompt_tokens = ids.len() as u32;
        let prompt_ids = if parts.return_ids { ids.clone() } else { Vec::new() };
        let [presence, frequency, repetition] = parts.penalties;
        let request = GenerateRequest {
            model: parts.model.unwrap_or_default(),
            prompt: Some(generate_request::Prompt::TokenIds(TokenIds { ids })),
            temperature: parts.temperature,
            sampling: Some(RandomSampling {
                // -1 and 0 are both "all".
                top_k: parts.top_k.map(|k| u32::try_from(k).unwrap_or(0)),
                top_p: parts.top_p,
                min_p: parts.min_p,
                seed: parts.seed,
                ..Default::default()
            }),
            decoding: Some(DecodingParameters {
                presence_penalty: presence.unwrap_or(0.0),
                frequency_penalty: frequency.unwrap_or(0.0),
                // Both 1 and the missing 0 are "none".
                repetition_penalty: repetition.filter(|&penalty| penalty != 1.0).unwrap_or(0.0),
                ..Default::default()
            }),
            stopping: Some(StoppingCriteria {
                max_new_tokens: parts.max_tokens.unwrap_or(default),
                min_new_tokens: parts.min_tokens,
                ignore_eos: parts.ignore_eos,
                ..Default::default()
            }),
            response: Some(ResponseOptions {
                output_text: Some(false),
                output_token_ids: true,
                skip_special_tokens: parts.skip_special_tokens,
                ..Default::default()
            }),
            kv: (!parts.cache_salt.is_empty())
                .then(|| KvCacheParameters { cache_salt: parts.cache_salt, ..Default::default() }),
            priority: parts.priority,
            ..Default::default()
        };
        Self {
            kind,
            request,
            stream: parts.stream,
            options: parts.stream_options,
            return_ids: parts.return_ids,
            prompt_ids,
            prompt_tokens,
            cache_key: parts.cache_key,
        }
    }
}

/// The ids of a text, within the vocabulary of the simulated engine.
pub(crate) async fn encode(
    tokenizer: &Arc<Tokenizer>,
    text: String,
    special: bool,
) -> Result<Vec<u32>, Problem> {
    let ids = if tokenizer.is_long(&text) {
        let tokenizer = Arc::clone(tokenizer);
        let done = tokio::task::spawn_blocking(move || tokenizer.encode(&text, special)).await;
        done.map_err(|_| Problem::new(500, "the tokenizer failed"))?
    } else {
        tokenizer.encode(&text, special)
    };
    let mut ids = ids.map_err(|error| Problem::new(400, format!("prompt: {error}")))?;
    // A tokenizer may have more ids than the engine.
    ids.iter_mut().for_each(|id| *id %= VOCABULARY);
    Ok(ids)
}

/// The ids of a chat.
pub(crate) async fn chat_ids(
    tokenizer: &Arc<Tokenizer>,
    messages: Vec<Message>,
    style: ChatStyle,
    special: bool,
) -> Result<Vec<u32>, Problem> {
    let text = tokenizer.chat(&messages, style);
    let text = text.map_err(|error| Problem::field("messages", error))?;
    encode(tokenizer, text, special).await
}
