//! OpenAI's HTTP in front of anything that answers vLLM's `GenerateRequest`: the router and the simulated
//! worker serve the same routes with the same checks.
//!
//! - [`tokenizer`]: text to token ids and back: a built-in one of bytes, or a `tokenizer.json`.
//! - [`request`]: a body as JSON, checked. What cannot be honoured is refused with the field's name.
//!   `given`, `messages`: its parts.
//! - [`ask`]: a checked body as vLLM's `GenerateRequest`.
//! - [`problem`]: errors in OpenAI's shape, with their HTTP status.
//! - `wording`: answers, whole or in parts.
//! - [`served`]: what a server must be able to do. [`http`]: the routes over it.
//! - [`engine`]: the same requests towards a server of others, and what it answers.
//!
//! docs/openai.md lists fields, headers and status codes.

pub mod ask;
pub mod engine;
mod given;
pub mod http;
mod messages;
pub mod problem;
pub mod request;
pub mod served;
pub mod tokenizer;
mod wording;
