//! The body of a generate request. Unknown fields have no effect.
//!
//! What a simulated engine cannot honour is refused with the field's name, as on gRPC: [`REFUSED`] and the
//! checks of [`Body::check`]. What it honours in no way that shows, as a temperature, is accepted there and
//! here.

use crate::given::{Given, UpTo};
use crate::messages::{self, MOST_MESSAGES, Message};
use crate::problem::Problem;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use warmpath_proto::generate::MAX_MODEL_LEN;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Completion,
    Chat,
}

/// A prompt as text or token ids. A list of one prompt is that prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt {
    Text(String),
    Ids(Vec<u32>),
    /// More than one.
    Several,
}

#[derive(Clone, Copy, Deserialize, Default, Debug)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
    /// Usage in each part.
    #[serde(default)]
    pub continuous_usage_stats: Option<bool>,
}

#[derive(Clone, Deserialize, Debug)]
struct Format {
    r#type: String,
}

macro_rules! body {
    (honoured { $($(#[$about:meta])* $name:ident: $type:ty,)* } refused { $($no:ident,)* }) => {
        /// The body of `POST /v1/completions` and `POST /v1/chat/completions`.
        #[derive(Clone, Deserialize, Debug)]
        pub struct Body {
            $($(#[$about])* #[serde(default)] $name: Option<$type>,)*
            $(#[serde(default)] $no: Given,)*
        }

        /// Fields that are refused if they ask for something.
        pub const REFUSED: &[&str] = &[$(stringify!($no)),*];

        impl Body {
            /// The first field that asks for what is not supported.
            fn refused(&self) -> Option<&'static str> {
                $(if self.$no.0 { return Some(stringify!($no)); })*
                None
            }
        }
    };
}

body! {
    honoured {
        model: String,
        prompt: Prompt,
        messages: UpTo<Message, MOST_MESSAGES>,
        max_tokens: u32,
        max_completion_tokens: u32,
        min_tokens: u32,
        temperature: f32,
        top_p: f32,
        top_k: i64,
        min_p: f32,
        seed: i64,
        presence_penalty: f32,
        frequency_penalty: f32,
        repetition_penalty: f32,
        ignore_eos: bool,
        skip_special_tokens: bool,
        stream: bool,
        stream_options: StreamOptions,
        n: u32,
        best_of: u32,
        cache_salt: String,
        priority: i32,
        prompt_cache_key: String,
        add_special_tokens: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
        return_token_ids: bool,
        logprobs: Given,
        response_format: Format,
        modalities: UpTo<String, 8>,
    }
    refused {
        allowed_token_ids,
        audio,
        bad_words,
        chat_template,
        chat_template_kwargs,
        documents,
        echo,
        functions,
        guided_choice,
        guided_grammar,
        guided_json,
        guided_regex,
        include_stop_str_in_output,
        kv_transfer_params,
        logits_processors,
        media_io_kwargs,
        mm_processor_kwargs,
        prompt_embeds,
        prompt_logprobs,
        stop,
        stop_token_ids,
        structured_outputs,
        suffix,
        thinking_token_budget,
        tools,
        top_logprobs,
        truncate_prompt_tokens,
        use_beam_search,
        web_search_options,
    }
}

/// Why a field is refused.
const UNSUPPORTED: &str = "not supported by a simulated engine";

impl Body {
    /// Reads a body. The error says where it is no JSON, or what is missing.
    pub fn read(json: &[u8]) -> Result<Self, Problem> {
        read(json)
    }

    /// Checks what does not depend on the tokenizer.
    pub fn check(&self, kind: Kind) -> Result<(), Problem> {
        if let Some(field) = self.refused() {
            return Err(Problem::field(field, UNSUPPORTED));
        }
        for (field, number) in [("n", self.n), ("best_of", self.best_of)] {
            if let Some(number) = number.filter(|&number| number != 1) {
                return Err(Problem::field(field, format!("{number}, expected 1")));
            }
        }
        // 0 asks a completion for the likelihood of its own tokens.
        if self.logprobs.is_some_and(|given| given.0 || kind == Kind::Completion) {
            return Err(Problem::field("logprobs", UNSUPPORTED));
        }
        if self.response_format.as_ref().is_some_and(|format| format.r#type != "text") {
            return Err(Problem::field("response_format", UNSUPPORTED));
        }
        let modalities = self.modalities.iter().flat_map(|all| &all.0);
        if modalities.into_iter().any(|modality| modality != "text") {
            return Err(Problem::field("modalities", "expected [\"text\"]"));
        }
        for (field, tokens) in
            [("max_tokens", self.max_tokens), ("max_completion_tokens", self.max_completion_tokens)]
        {
            if tokens == Some(0) {
                return Err(Problem::field(field, "0, expected at least 1"));
            }
        }
        if self.stream_options.is_some() && !self.streams() {
            return Err(Problem::field("stream_options", "given without `stream`: true"));
        }
        match kind {
            Kind::Chat => {
                let Some(messages) = &self.messages else {
                    return Err(Problem::field("messages", "missing, expected at least 1"));
                };
                messages::check(&messages.0)?;
                if self.continues() && self.add_generation_prompt == Some(true) {
                    let why = "true, together with `add_generation_prompt`";
                    return Err(Problem::field("continue_final_message", why));
                }
                Ok(())
            }
            Kind::Completion => match &self.prompt {
                None => Err(Problem::field("prompt", "missing, expected a text or token ids")),
                Some(Prompt::Several) => {
                    Err(Problem::field("prompt", "several prompts, expected one a request"))
                }
                Some(_) => Ok(()),
            },
        }
    }

    /// Whether the answer comes part by part.
    pub fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    pub(crate) fn continues(&self) -> bool {
        self.continue_final_message == Some(true)
    }
}

/// Reads JSON. The error is one line.
pub(crate) fn read<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, Problem> {
    // A list of values, by place, would do for serde too.
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::new(400, "body: expected a JSON object"));
    }
    serde_json::from_slice(json).map_err(|error| Problem::new(400, format!("body: {error}")))
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyPrompt)
    }
}

struct AnyPrompt;

impl<'de> Visitor<'de> for AnyPrompt {
    type Value = Prompt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of token ids, or a list of one of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Prompt, E> {
        Ok(Prompt::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Prompt, E> {
        Ok(Prompt::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Prompt, A::Error> {
        let mut list = List::default();
        while seq.next_element_seed(Next(&mut list))?.is_some() {}
        Ok(list.inner.unwrap_or(Prompt::Ids(list.ids)))
    }
}

/// A list of ids or of prompts.
#[derive(Default)]
struct List {
    ids: Vec<u32>,
    inner: Option<Prompt>,
}

impl List {
    fn add<E: Error>(&mut self, prompt: Prompt) -> Result<(), E> {
        if !self.ids.is_empty() {
            return Err(E::custom("token ids and prompts in one list"));
        }
        self.inner = Some(self.inner.take().map_or(prompt, |_| Prompt::Several));
        Ok(())
    }
}

/// The next item of a list. Ids are many, so they go where they stay.
struct Next<'a>(&'a mut List);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token id or a prompt")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<(), E> {
        let Self(list) = self;
        let id = u32::try_from(id).map_err(|_| E::custom("a token id above 4294967295"))?;
        if list.inner.is_some() {
            return Err(E::custom("token ids and prompts in one list"));
        }
        if list.ids.len() == MAX_MODEL_LEN as usize {
            return Err(E::custom(format!("more than {MAX_MODEL_LEN} ids")));
        }
        list.ids.push(id);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.add(Prompt::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<(), E> {
        self.0.add(Prompt::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = seq.next_element()? {
            if ids.len() == MAX_MODEL_LEN as usize {
                return Err(A::Error::custom(format!("more than {MAX_MODEL_LEN} ids")));
            }
            ids.push(id);
        }
        self.0.add(Prompt::Ids(ids))
    }
}

/// The parts of a body that become a `GenerateRequest`. `ask` reads them.
pub(crate) struct Parts {
    pub model: Option<String>,
    pub prompt: Option<Prompt>,
    pub messages: Vec<Message>,
    pub max_tokens: Option<u32>,
    pub min_tokens: u32,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<i64>,
    pub min_p: Option<f32>,
    pub seed: Option<i64>,
    pub penalties: [Option<f32>; 3],
    pub ignore_eos: bool,
    pub skip_special_tokens: Option<bool>,
    pub stream: bool,
    pub stream_options: StreamOptions,
    pub cache_salt: String,
    pub priority: i32,
    pub cache_key: Option<String>,
    pub special: Option<bool>,
    pub generation_prompt: bool,
    pub continues: bool,
    pub return_ids: bool,
}

impl Body {
    pub(crate) fn parts(self) -> Parts {
        Parts {
            stream: self.streams(),
            continues: self.continues(),
            generation_prompt: !self.continues() && self.add_generation_prompt != Some(false),
            model: self.model,
            prompt: self.prompt,
            messages: self.messages.map_or_else(Vec::new, |messages| messages.0),
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            min_tokens: self.min_tokens.unwrap_or(0),
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            seed: self.seed,
            penalties: [self.presence_penalty, self.frequency_penalty, self.repetition_penalty],
            ignore_eos: self.ignore_eos == Some(true),
            skip_special_tokens: self.skip_special_tokens,
            stream_options: self.stream_options.unwrap_or_default(),
            cache_salt: self.cache_salt.unwrap_or_default(),
            priority: self.priority.unwrap_or(0),
            cache_key: self.prompt_cache_key,
            special: self.add_special_tokens,
            return_ids: self.return_token_ids == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(kind: Kind, json: &str) -> Result<(), (Option<String>, String)> {
        let read = Body::read(json.as_bytes()).and_then(|body| body.check(kind));
        read.map_err(|problem| (problem.param, problem.message))
    }

    fn refused(kind: Kind, json: &str) -> String {
        checked(kind, json).expect_err(json).0.unwrap_or_default()
    }

    #[test]
    fn a_prompt_is_text_or_ids_alone_or_in_a_list_of_one() {
        let prompt = |json: &str| serde_json::from_str::<Prompt>(json);
        assert_eq!(prompt("\"ab\"").unwrap(), Prompt::Text("ab".into()));
        assert_eq!(prompt("[\"ab\"]").unwrap(), Prompt::Text("ab".into()));
        assert_eq!(prompt("[1, 2]").unwrap(), Prompt::Ids(vec![1, 2]));
        assert_eq!(prompt("[[1, 2]]").unwrap(), Prompt::Ids(vec![1, 2]));
        assert_eq!(prompt("[\"a\", \"b\"]").unwrap(), Prompt::Several);
        assert_eq!(prompt("[[1], [2]]").unwrap(), Prompt::Several);
        for wrong in ["[1, \"a\"]", "[\"a\", 1]", "[-1]", "[1.5]", "[4294967296]", "[[[1]]]", "{}"]
        {
            assert!(prompt(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for field in REFUSED {
            let with = |value: &str| format!(r#"{{"prompt": "a", "{field}": {value}}}"#);
            assert_eq!(refused(Kind::Completion, &with("[1]")), *field);
            assert_eq!(checked(Kind::Completion, &with("null")), Ok(()), "{field}");
        }
        let several = [
            ("n", "2"),
            ("n", "0"),
            ("best_of", "3"),
            ("logprobs", "0"),
            ("response_format", r#"{"type": "json_object"}"#),
            ("modalities", r#"["text", "audio"]"#),
            ("max_tokens", "0"),
            ("stream_options", "{}"),
            ("prompt", "[\"a\", \"b\"]"),
        ];
        for (field, value) in several {
            let first = if field == "prompt" { "" } else { "\"prompt\": \"a\", " };
            let json = format!(r#"{{{first}"{field}": {value}}}"#);
            assert_eq!(refused(Kind::Completion, &json), field);
        }
        let good = r#"{"prompt": "a", "n": 1, "temperature": 0.5, "unknown": {"a": [1]},
            "stop": null, "response_format": {"type": "text"}, "user": "u", "ignore_eos": true}"#;
        assert_eq!(checked(Kind::Completion, good), Ok(()));
    }

    #[test]
    fn a_chat_has_messages_of_text() {
        let chat = |messages: &str| refused(Kind::Chat, &format!(r#"{{"messages": {messages}}}"#));
        assert_eq!(chat("[]"), "messages");
        assert_eq!(refused(Kind::Chat, "{}"), "messages");
        assert_eq!(chat(r#"[{"role": "a|b", "content": ""}]"#), "messages[0].role");
        let image = r#"[{"role": "user", "content": [{"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "x"}}]}]"#;
        assert_eq!(chat(image), "messages[0].content[1].type");
        let good = r#"{"messages": [{"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "content": [{"type": "text", "text": "b"}]}], "logprobs": false}"#;
        assert_eq!(checked(Kind::Chat, good), Ok(()));
        let logprobs = good.replace("false", "true");
        assert_eq!(refused(Kind::Chat, &logprobs), "logprobs");
    }

    #[test]
    fn hostile_json_is_an_error_and_takes_no_memory() {
        let deep = format!("{{\"prompt\": {}", "[".repeat(1 << 20));
        let wide = format!("{{\"messages\": [{}]}}", "{\"role\":\"a\"},".repeat(20_000));
        let huge = "{\"prompt\": \"a\", \"max_tokens\": 1e400}";
        let twice = "{\"prompt\": \"a\", \"prompt\": \"b\"}";
        for json in [&*deep, &wide, huge, twice, "", "[]", "null", "{\"prompt\": \"\\ud800\"}"] {
            let problem = Body::read(json.as_bytes()).map(drop).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.message.len() < 300, "{}", problem.message);
        }
        assert!(Body::read(b"{\"prompt\": \"\xff\"}").is_err());
        let unknown =
            format!("{{\"prompt\": \"a\", \"x\": {}1{}}}", "[".repeat(99), "]".repeat(99));
        assert!(Body::read(unknown.as_bytes()).is_ok());
    }
}
