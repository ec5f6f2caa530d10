//! The routes.
//!
//! - `routes`: which path is what, and who may call it. `calls`: a call's way in.
//! - `generate`: completions and chats, whole and in parts. `stream`: their events.
//! - `texts`: tokenize, detokenize, render. `about`: models, health, metrics, resetting the cache.
//! - `body`: reading a body. `reply`: answers and errors as HTTP.

mod about;
mod body;
mod calls;
mod generate;
mod reply;
mod routes;
mod stream;
mod texts;

pub use calls::{REQUEST_ID, Shared};
pub use routes::routes;
