//! Recorded workloads. Each format has a reader: a function from lines to requests or to sessions.
//! [`mooncake`] and [`azure`] have requests with times, which [`TimedReplay`] plays. [`coding_agents`] has
//! sessions whose requests wait for one another, which [`SessionReplay`] plays. [`dynamo`] has either.
//! [`Format`] lists them.

pub mod azure;
pub mod coding_agents;
pub mod dynamo;
mod error;
mod format;
mod infer;
mod line;
pub mod mooncake;
mod recording;
mod replay;
mod session_replay;

pub use error::TraceError;
pub use format::Format;
pub use recording::{Content, Recording};
pub use replay::{Pace, TimedReplay, TimedRequest, Trace};
pub use session_replay::{RecordedRequest, RecordedSession, SessionReplay, SessionTrace};
