//! Text to token ids and back, as vLLM's calls of the same names.

use super::calls::Call;
use super::reply;
use crate::ask::{self, Ask};
use crate::given::UpTo;
use crate::messages::{self, MOST_MESSAGES, Message};
use crate::problem::Problem;
use crate::request::{Body as Request, Kind, read};
use crate::served::Served;
use crate::tokenizer::ChatStyle;
use axum::body::Body;
use axum::http::Response;
use serde::{Deserialize, Serialize};
use warmpath_proto::generate::MAX_MODEL_LEN;
use warmpath_proto::vllm::generate_request::Prompt;

#[derive(Deserialize)]
struct Tokenize {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<UpTo<Message, MOST_MESSAGES>>,
    #[serde(default)]
    add_special_tokens: Option<bool>,
    #[serde(default)]
    return_token_strs: Option<bool>,
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    #[serde(default)]
    continue_final_message: Option<bool>,
}

#[derive(Serialize)]
struct Tokenized {
    count: usize,
    max_model_len: u32,
    tokens: Vec<u32>,
    token_strs: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Detokenize {
    #[serde(default)]
    model: Option<String>,
    tokens: UpTo<u32, { MAX_MODEL_LEN as usize }>,
}

#[derive(Serialize)]
struct Detokenized {
    prompt: String,
}

/// A request whose prompt is tokenized: what vLLM's render server says.
#[derive(Serialize)]
struct Rendered<'a> {
    request_id: &'a str,
    token_ids: &'a [u32],
    sampling_params: Sampling,
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_salt: Option<&'a str>,
    priority: i32,
}

#[derive(Serialize)]
struct Sampling {
    n: u32,
    max_tokens: u32,
    min_tokens: u32,
    ignore_eos: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

/// The name of the model, if the request has one, must be the served one.
fn check_model<S: Served>(call: &Call<S>, asked: Option<&str>) -> Result<String, Problem> {
    let served = call.shared.served.model().map_err(|status| Problem::of(&status))?;
    match asked.filter(|asked| !asked.is_empty() && *asked != served) {
        None => Ok(served),
        Some(asked) => {
            let mut asked = asked.to_owned();
            asked.truncate(asked.floor_char_boundary(100));
            let status = tonic::Status::not_found(format!("model: '{asked}', expected '{served}'"));
            Err(Problem::of(&status))
        }
    }
}

pub async fn tokenize<S: Served>(call: Call<S>) -> Result<Response<Body>, Problem> {
    let body: Tokenize = read(&call.body)?;
    check_model(&call, body.model.as_deref())?;
    let tokenizer = &call.shared.tokenizer;
    let tokens = match (body.prompt, body.messages) {
        (Some(text), None) => {
            ask::encode(tokenizer, text, body.add_special_tokens.unwrap_or(true)).await?
        }
        (None, Some(messages)) => {
            messages::check(&messages.0)?;
            let continues = body.continue_final_message == Some(true);
            let generation_prompt = !continues && body.add_generation_prompt != Some(false);
            let style = ChatStyle { generation_prompt, continue_final: continues };
            let special = body.add_special_tokens == Some(true);
            ask::chat_ids(tokenizer, messages.0, style, special).await?
        }
        _ => return Err(Problem::field("prompt", "expected either `prompt` or `messages`")),
    };
    let wants = body.return_token_strs == Some(true);
    let token_strs = wants.then(|| tokens.iter().map(|&id| tokenizer.decode_one(id)).collect());
    Ok(reply::json(&Tokenized {
        count: tokens.len(),
        max_model_len: call.shared.served.max_model_len(),
        tokens,
        token_strs,
    }))
}

pub fn detokenize<S: Served>(call: &Call<S>) -> Result<Response<Body>, Problem> {
    let body: Detokenize = read(&call.body)?;
    check_model(call, body.model.as_deref())?;
    Ok(reply::json(&Detokenized { prompt: call.shared.tokenizer.decode(&body.tokens.0) }))
}

/// The token ids and the parameters of a request that is not sent. A completion is a list, since it may have
/// several prompts elsewhere.
pub async fn render<S: Served>(call: Call<S>, kind: Kind) -> Result<Response<Body>, Problem> {
    let ask = Ask::new(Request::read(&call.body)?, kind, &call.shared.tokenizer).await?;
    let model = check_model(&call, Some(&ask.request.model))?;
    let stopping = ask.request.stopping.as_ref();
    let sampling = ask.request.sampling.as_ref();
    let prefix = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
    let id = format!("{prefix}-{}", call.shared.next_id());
    let token_ids = match &ask.request.prompt {
        Some(Prompt::TokenIds(ids)) => &ids.ids[..],
        _ => &[],
    };
    let rendered = Rendered {
        request_id: &id,
        token_ids,
        sampling_params: Sampling {
            n: 1,
            max_tokens: stopping.map_or(0, |stopping| stopping.max_new_tokens),
            min_tokens: stopping.map_or(0, |stopping| stopping.min_new_tokens),
            ignore_eos: stopping.is_some_and(|stopping| stopping.ignore_eos),
            temperature: ask.request.temperature,
            top_p: sampling.and_then(|sampling| sampling.top_p),
            seed: sampling.and_then(|sampling| sampling.seed),
        },
        model: &model,
        stream: ask.stream,
        cache_salt: ask.request.kv.as_ref().map(|kv| kv.cache_salt.as_str()),
        priority: ask.request.priority,
    };
    Ok(match kind {
        Kind::Completion => reply::json(&[rendered]),
        Kind::Chat => reply::json(&rendered),
    })
}
