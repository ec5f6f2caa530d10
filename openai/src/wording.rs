//! Answers in OpenAI's words, whole or in parts.

use crate::ask::Ask;
use crate::request::Kind;
use serde::Serialize;
use warmpath_proto::clock::life;

/// What all parts of one answer have in common.
#[derive(Clone, Debug)]
pub struct Wording {
    id: String,
    model: String,
    created: u64,
    kind: Kind,
    include_usage: bool,
    continuous: bool,
    return_ids: bool,
    prompt_ids: Vec<u32>,
    prompt_tokens: u32,
    begun: bool,
    /// A plain part up to its text. All but the text is the same in most parts.
    head: Vec<u8>,
}

#[derive(Serialize, Clone, Copy)]
struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: Details,
}

#[derive(Serialize, Clone, Copy)]
struct Details {
    cached_tokens: u32,
}

#[derive(Serialize)]
struct Whole<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [C; 1],
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct Chunk<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct TextChoice<'a> {
    index: u32,
    text: &'a str,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct ChatChoice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct DeltaChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// The answer, or a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub text: &'a str,
    pub ids: &'a [u32],
    /// Tokens up to here.
    pub tokens: u32,
    pub cached_tokens: u32,
    pub reason: Option<&'a str>,
}

/// The end of a stream.
pub const DONE: &str = "data: [DONE]\n\n";

impl Wording {
    /// `id` without the prefix of its kind.
    pub fn new(ask: &mut Ask, id: &str, model: String) -> Self {
        let prefix = match ask.kind {
            Kind::Completion => "cmpl",
            Kind::Chat => "chatcmpl",
        };
        let mut wording = Self {
            id: format!("{prefix}-{id}"),
            model,
            created: seconds(),
            kind: ask.kind,
            include_usage: ask.options.include_usage == Some(true),
            continuous: ask.options.continuous_usage_stats == Some(true),
            return_ids: ask.return_ids,
            prompt_ids: std::mem::take(&mut ask.prompt_ids),
            prompt_tokens: ask.prompt_tokens,
            begun: false,
            head: Vec::new(),
        };
        wording.head = wording.head_of_parts();
        wording
    }

    fn head_of_parts(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(256);
        let none: [TextChoice<'_>; 0] = [];
        self.event(self.object_of_parts(), none, None, None, &mut head);
        head.truncate(head.len() - b"]}\n\n".len());
        head.extend_from_slice(match self.kind {
            Kind::Completion => &br#"{"index":0,"text":"#[..],
            Kind::Chat => &br#"{"index":0,"delta":{"content":"#[..],
        });
        head
    }

    const fn object_of_parts(&self) -> &'static str {
        match self.kind {
            Kind::Completion => "text_completion",
            Kind::Chat => "chat.completion.chunk",
        }
    }

    /// A part that has nothing but its text.
    fn plain(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        // A vector takes everything.
        let _ = serde_json::to_writer(&mut *out, text);
        out.extend_from_slice(match self.kind {
            Kind::Completion => &b",\"logprobs\":null,\"finish_reason\":null}]}\n\n"[..],
            Kind::Chat => &b"},\"logprobs\":null,\"finish_reason\":null}]}\n\n"[..],
        });
    }

    const fn usage(&self, tokens: u32, cached_tokens: u32) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: tokens,
            total_tokens: self.prompt_tokens.saturating_add(tokens),
            prompt_tokens_details: Details { cached_tokens },
        }
    }

    /// The answer in one piece.
    pub fn whole(&self, said: Said<'_>) -> Vec<u8> {
        let token_ids = self.return_ids.then_some(said.ids);
        let prompt_ids = self.return_ids.then_some(&self.prompt_ids[..]);
        let usage = self.usage(said.tokens, said.cached_tokens);
        let (id, model, created) = (&*self.id, &*self.model, self.created);
        let (text, finish_reason, logprobs) = (said.text, said.reason, None);
        match self.kind {
            Kind::Completion => json(&Whole {
                id,
                object: "text_completion",
                created,
                model,
                choices: [TextChoice {
                    index: 0,
                    text,
                    logprobs,
                    finish_reason,
                    token_ids,
                    prompt_token_ids: prompt_ids,
                }],
                usage,
                prompt_token_ids: None,
            }),
            Kind::Chat => json(&Whole {
                id,
                object: "chat.completion",
                created,
                model,
                choices: [ChatChoice {
                    index: 0,
                    message: Message { role: "assistant", content: text, refusal: None },
                    logprobs,
                    finish_reason,
                    token_ids,
                }],
                usage,
                prompt_token_ids: prompt_ids,
            }),
        }
    }

    /// A part of a stream, as events. The first part of a chat says the role before its text.
    pub fn part(&mut self, said: Said<'_>, out: &mut Vec<u8>) {
        let first = !std::mem::replace(&mut self.begun, true);
        if !(first || self.return_ids || self.continuous) && said.reason.is_none() {
            return self.plain(said.text, out);
        }
        let prompt_ids = (first && self.return_ids).then_some(&self.prompt_ids[..]);
        let token_ids = self.return_ids.then_some(said.ids);
        let (logprobs, finish_reason) = (None, said.reason);
        let usage = self.continuous.then(|| self.usage(said.tokens, said.cached_tokens));
        match self.kind {
            Kind::Completion => {
                let choice = TextChoice {
                    index: 0,
                    text: said.text,
                    logprobs,
                    finish_reason,
                    token_ids,
                    prompt_token_ids: prompt_ids,
                };
                self.event("text_completion", [choice], usage, None, out);
            }
            Kind::Chat => {
                let choice = |delta, token_ids, finish_reason| DeltaChoice {
                    index: 0,
                    delta,
                    logprobs,
                    finish_reason,
                    token_ids,
                };
                if first {
                    let delta = Delta { role: Some("assistant"), content: Some("") };
                    let usage = self.continuous.then(|| self.usage(0, 0));
                    let choices = [choice(delta, None, None)];
                    self.event("chat.completion.chunk", choices, usage, prompt_ids, out);
                }
                let delta = Delta { role: None, content: Some(said.text) };
                let choices = [choice(delta, token_ids, finish_reason)];
                self.event("chat.completion.chunk", choices, usage, None, out);
            }
        }
    }

    /// The usage at the end of a stream, if the client wants it.
    pub fn usage_at_end(&self, tokens: u32, cached_tokens: u32, out: &mut Vec<u8>) {
        if self.include_usage {
            let object = self.object_of_parts();
            let none: [TextChoice<'_>; 0] = [];
            self.event(object, none, Some(self.usage(tokens, cached_tokens)), None, out);
        }
    }

    fn event<C: Serialize>(
        &self,
        object: &'static str,
        choices: C,
        usage: Option<Usage>,
        prompt_token_ids: Option<&[u32]>,
        out: &mut Vec<u8>,
    ) {
        let (id, model, created) = (&*self.id, &*self.model, self.created);
        let chunk = Chunk { id, object, created, model, choices, usage, prompt_token_ids };
        out.extend_from_slice(b"data: ");
        // A vector takes everything.
        let _ = serde_json::to_writer(&mut *out, &chunk);
        out.extend_from_slice(b"\n\n");
    }
}

/// An error in a stream whose answer has begun.
pub fn error_event(error: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(error.as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// A comment, which clients skip.
pub fn comment(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(text.replace(['\r', '\n'], " ").as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// The date as OpenAI writes it.
pub fn seconds() -> u64 {
    life() / 1_000_000_000
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Body;
    use crate::tokenizer::Tokenizer;
    use serde_json::Value;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    fn wording(json: &str, kind: Kind) -> Wording {
        let tokenizer = Arc::<Tokenizer>::default();
        let asking = pin!(Ask::new(Body::read(json.as_bytes()).unwrap(), kind, &tokenizer));
        let Poll::Ready(asked) = asking.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("bytes are tokenized at once")
        };
        Wording::new(&mut asked.unwrap(), "a\"b", "the \"model\"".to_owned())
    }

    /// Most parts are written the short way. They are what serde writes.
    #[test]
    fn a_plain_part_is_as_any_other() {
        let chat = r#"{"messages": [{"role": "user", "content": "x"}], "stream": true}"#;
        let completion = r#"{"prompt": "x", "stream": true}"#;
        for (json, kind) in [(chat, Kind::Chat), (completion, Kind::Completion)] {
            let mut wording = wording(json, kind);
            let said = Said {
                text: "q\"\n\u{f0000}",
                ids: &[1],
                tokens: 1,
                cached_tokens: 0,
                reason: None,
            };
            let mut written = || {
                let mut out = Vec::new();
                wording.part(said, &mut out);
                let text = String::from_utf8(out).unwrap();
                let last = text.trim_end().rsplit("\n\n").next().unwrap();
                serde_json::from_str::<Value>(last.strip_prefix("data: ").unwrap()).unwrap()
            };
            let (first, second) = (written(), written());
            assert_eq!(first, second);
            assert_eq!(first["id"].as_str().unwrap().split_once('-').unwrap().1, "a\"b");
        }
    }
}
