//! One event of an engine's answer.

use crate::given::{Given, UpTo};
use crate::problem::Problem;
use crate::request;
use serde::Deserialize;
use serde_json::Value;
use smallvec::SmallVec;

/// The data of the event after the last one.
pub const DONE: &[u8] = b"[DONE]";

/// One is asked for.
const MOST_CHOICES: usize = 16;

/// What is read of an event. All else may be as it likes.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Option<UpTo<Choice, MOST_CHOICES>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Given,
    #[serde(default)]
    object: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: Given,
    #[serde(default)]
    token_ids: Option<Vec<u32>>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

/// What an event says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Chunk {
    pub ids: SmallVec<[u32; 4]>,
    pub finish: Option<Finish>,
    /// The event has the usage of a whole answer.
    pub has_usage: bool,
    /// Prompt tokens that were cached. None: the engine does not say.
    pub cached_tokens: Option<u32>,
}

/// How an answer ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finish {
    Length,
    /// At this token or text, or where the model ends.
    Stop(Option<Stop>),
    Aborted,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    Token(u32),
    Text(String),
}

impl Chunk {
    /// Reads an event. The error is the engine's own, or says what is wrong with the event.
    pub fn read(data: &[u8]) -> Result<Self, Problem> {
        let wrong = |problem: Problem| {
            Problem::foreign(502, &format!("an event that cannot be read: {}", problem.message))
        };
        let event: Event = request::read(data).map_err(wrong)?;
        if event.error.0 || event.object.as_deref() == Some("error") {
            let error = request::read(data).map_err(wrong)?;
            return Err(Problem::in_stream(&error).unwrap_or_else(|| Problem::new(502, "an error")));
        }
        let mut chunk = Self::default();
        if let Some(choice) = event.choices.and_then(|choices| choices.0.into_iter().next()) {
            if choice.token_ids.is_none() && choice.text.0 {
                let why =
                    "it sends text without token_ids, expected a vLLM that knows return_token_ids";
                return Err(Problem::new(502, why));
            }
            chunk.ids = choice.token_ids.unwrap_or_default().into();
            chunk.finish = match choice.finish_reason.as_deref() {
                None => None,
                Some("length") => Some(Finish::Length),
                Some("abort") => Some(Finish::Aborted),
                Some("error") => return Err(Problem::new(500, "it ended the answer by an error")),
                Some(_) => Some(Finish::Stop(choice.stop_reason.and_then(stop))),
            };
        } else {
            chunk.has_usage = event.usage.is_some();
        }
        let details = event.usage.and_then(|usage| usage.prompt_tokens_details);
        chunk.cached_tokens = details.and_then(|details| details.cached_tokens);
        Ok(chunk)
    }
}

fn stop(reason: Value) -> Option<Stop> {
    match reason {
        Value::String(text) => Some(Stop::Text(text)),
        Value::Number(id) => Some(Stop::Token(u32::try_from(id.as_u64()?).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Chunk, (u16, String)> {
        Chunk::read(json.as_bytes()).map_err(|problem| (problem.status, problem.message))
    }

    #[test]
    fn an_answer_is_read_event_by_event() {
        let first = r#"{"id": "cmpl-1", "choices": [{"index": 0, "text": "", "logprobs": null,
            "finish_reason": null, "prompt_token_ids": [1, 2], "token_ids": []}], "usage": null}"#;
        assert_eq!(read(first), Ok(Chunk::default()));
        let next = r#"{"choices": [{"text": "a", "finish_reason": null, "token_ids": [7, 8]}]}"#;
        assert_eq!(read(next).unwrap().ids[..], [7, 8]);
        let last = |reason: &str, stop: &str| {
            let json = format!(
                r#"{{"choices": [{{"text": "", "token_ids": [9], "finish_reason": "{reason}", "stop_reason": {stop}}}]}}"#
            );
            read(&json).unwrap().finish.unwrap()
        };
        assert_eq!(last("length", "null"), Finish::Length);
        assert_eq!(last("stop", "null"), Finish::Stop(None));
        assert_eq!(last("stop", "11"), Finish::Stop(Some(Stop::Token(11))));
        assert_eq!(last("stop", "\"x\""), Finish::Stop(Some(Stop::Text("x".to_owned()))));
        assert_eq!(last("abort", "null"), Finish::Aborted);
        let usage = |details: &str| {
            let chunk = read(&format!(
                r#"{{"choices": [], "usage": {{"prompt_tokens": 3, "prompt_tokens_details": {details}}}}}"#
            ));
            let chunk = chunk.unwrap();
            (chunk.has_usage, chunk.cached_tokens)
        };
        assert_eq!(usage(r#"{"cached_tokens": 2}"#), (true, Some(2)));
        assert_eq!(usage("null"), (true, None));
    }

    #[test]
    fn errors_are_the_engines_own_or_say_what_is_wrong() {
        let error = r#"{"error": {"message": "too long", "type": "BadRequestError", "code": 400}}"#;
        assert_eq!(read(error), Err((400, "too long".to_owned())));
        let older = r#"{"object": "error", "message": "no", "code": 500}"#;
        assert_eq!(read(older), Err((500, "no".to_owned())));
        let by_reason = r#"{"choices": [{"text": "", "token_ids": [], "finish_reason": "error"}]}"#;
        assert_eq!(read(by_reason), Err((500, "it ended the answer by an error".to_owned())));
        let old = r#"{"choices": [{"text": "a", "finish_reason": null}]}"#;
        let why = "it sends text without token_ids, expected a vLLM that knows return_token_ids";
        assert_eq!(read(old), Err((502, why.to_owned())));
        assert!(read("[]").is_err() && read(r#"{"choices": [{"token_ids": [-1]}]}"#).is_err());
    }
}
