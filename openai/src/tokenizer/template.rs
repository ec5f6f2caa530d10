//! The chat template of a tokenizer: Jinja, as transformers renders it.

use super::{ChatStyle, TokenizerError};
use crate::messages::Message;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Deserialize;
use std::path::Path;

const CONFIG: &str = "tokenizer_config.json";
const ALONE: &str = "chat_template.jinja";
const NAME: &str = "chat";

/// A chat template with the tokens that it names.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

#[derive(Deserialize, Default)]
struct Config {
    chat_template: Option<Source>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Source {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Added { content: String },
}

impl Token {
    fn text(self) -> String {
        match self {
            Self::Plain(text) | Self::Added { content: text } => text,
        }
    }
}

/// A message as a template sees it. Fields that it lacks are not defined.
fn value(message: &Message) -> Value {
    let calls = message.tool_calls.as_ref();
    let calls = calls.and_then(|raw| serde_json::from_str::<serde_json::Value>(raw.get()).ok());
    let fields = [
        ("role", Some(Value::from(message.role.as_str()))),
        ("content", Some(Value::from(message.text().as_ref()))),
        ("name", message.name.as_deref().map(Value::from)),
        ("tool_call_id", message.tool_call_id.as_deref().map(Value::from)),
        ("tool_calls", calls.map(Value::from_serialize)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Template {
    /// The template beside `tokenizer.json`. The inner error says that there is none.
    pub fn beside(tokenizer: &Path) -> Result<Result<Self, TokenizerError>, TokenizerError> {
        let folder = tokenizer.parent().unwrap_or(Path::new(""));
        let (path, alone) = (folder.join(CONFIG), folder.join(ALONE));
        let failed =
            |path: &Path, why: String| TokenizerError(format!("{}: {why}", path.display()));
        let config: Config = match std::fs::read_to_string(&path) {
            Err(_) => Config::default(),
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| failed(&path, error.to_string()))?
            }
        };
        let given = config.chat_template.and_then(|source| match source {
            Source::One(template) => Some(template),
            Source::Named(all) => {
                all.into_iter().find(|named| named.name == "default").map(|named| named.template)
            }
        });
        let Some(source) = std::fs::read_to_string(&alone).ok().or(given) else {
            let why = format!("no chat_template, and no {ALONE}, expected one for chats");
            return Ok(Err(failed(&path, why)));
        };
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |why: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        let compiled = environment.add_template_owned(NAME, source);
        compiled.map_err(|error| failed(&path, format!("chat_template: {error}")))?;
        let text = |token: Option<Token>| token.map_or_else(String::new, Token::text);
        let (bos, eos) = (text(config.bos_token), text(config.eos_token));
        Ok(Ok(Self { environment, bos, eos }))
    }

    pub fn render(&self, messages: &[Message], style: ChatStyle) -> Result<String, TokenizerError> {
        let failed = |error: Error| TokenizerError(format!("chat_template: {error}"));
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let all: Vec<Value> = messages.iter().map(value).collect();
        let rendered = template.render(context! {
            messages => all,
            add_generation_prompt => style.generation_prompt,
            bos_token => self.bos,
            eos_token => self.eos,
        });
        let mut text = rendered.map_err(failed)?;
        if let Some(last) = messages.last().filter(|_| style.continue_final) {
            // The template closes each message; the answer goes on from the last one's text.
            let last = last.text();
            let last = last.trim_end();
            match text.rfind(last).filter(|_| !last.is_empty()) {
                Some(at) => text.truncate(at + last.len()),
                None => {
                    let why = "chat_template: changes the last message, which cannot be continued";
                    return Err(TokenizerError(why.to_owned()));
                }
            }
        }
        Ok(text)
    }
}
