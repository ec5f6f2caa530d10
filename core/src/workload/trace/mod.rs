//! Recorded workloads. Each format has a reader: a function from lines to requests or to sessions.
//! [`TimedReplay`] plays requests with times. [`SessionReplay`] plays sessions, whose requests wait for
//! one another. Most formats have [`rows`]; [`Format`] lists them all.

pub mod aiperf;
pub mod azure;
pub mod bailian;
mod blocks;
pub mod burstgpt;
pub mod chats;
pub mod coding_agents;
mod csv;
pub mod dynamo;
mod error;
mod format;
mod infer;
mod line;
pub mod mooncake;
pub mod openai;
mod reading;
mod recording;
mod replay;
mod rows;
mod session_replay;
pub mod vidur;
mod words;

pub use blocks::parse_size;
pub use error::TraceError;
pub use format::Format;
pub use reading::{History, Reading, TimeUnit};
pub use recording::{Content, Recording};
pub use replay::{Pace, TimedReplay, TimedRequest, Trace};
pub use session_replay::{RecordedRequest, RecordedSession, SessionReplay, SessionTrace};
