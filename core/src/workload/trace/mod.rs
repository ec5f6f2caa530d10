//! Recorded workloads, one file for each format. [`mooncake`] and [`azure`] have requests with
//! times ([`Replay`] plays them). [`coding_agents`] has sessions whose requests wait for each other
//! ([`SessionReplay`] plays them). [`dynamo`] has either.
//!
//! A reader is a function from lines to requests or sessions. The formats share nothing else that a
//! trait could describe; [`Format`] lists them.

pub mod azure;
pub mod coding_agents;
pub mod dynamo;
mod infer;
mod line;
pub mod mooncake;
mod replay;
mod session_replay;

pub use replay::{Pace, Recorded, Replay, Trace};
pub use session_replay::{RecordedRequest, RecordedSession, SessionReplay, SessionTrace};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An error in a trace file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TraceError {
    /// The file has no request.
    #[error("no requests in it, expected at least one")]
    Empty,
    /// A field has a wrong value.
    #[error("line {line}: {field}: {why}")]
    Field {
        /// The line, from 1.
        line: usize,
        /// The field, with the path to it.
        field: String,
        /// The value, and what was expected.
        why: String,
    },
    /// A line is not a JSON object.
    #[error("line {line}: not a JSON object: {why}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        why: String,
    },
    /// The router's block size does not fit the trace's blocks.
    #[error("block size {block_size} does not divide the trace's {trace_block}")]
    BlockSize {
        /// Tokens of a block in the run.
        block_size: u32,
        /// Tokens of a block in the trace.
        trace_block: u32,
    },
}

/// A trace format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// See [`mooncake`].
    Mooncake,
    /// See [`coding_agents`].
    CodingAgents,
    /// See [`azure`].
    Azure,
    /// See [`dynamo`].
    Dynamo,
}

/// A trace read from a file.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its requests or sessions.
    pub content: Content,
    /// The tokens of the blocks by which it names equal text; None if it names none.
    pub own_block_size: Option<u32>,
}

/// The content of a trace.
#[derive(Clone, Debug)]
pub enum Content {
    /// Requests with times.
    Requests(Vec<Recorded>),
    /// Sessions whose requests wait for each other.
    Sessions(Vec<RecordedSession>),
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Mooncake, Self::CodingAgents, Self::Azure, Self::Dynamo];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mooncake => "mooncake",
            Self::CodingAgents => "coding-agents",
            Self::Azure => "azure",
            Self::Dynamo => "dynamo",
        }
    }

    /// The format of a text, from its first line. A `.csv` file is always Azure's, so that a wrong
    /// header is reported as one.
    pub fn detect(text: &str, extension: &str) -> Option<Self> {
        let (_, first) = line::numbered(text.lines()).next()?;
        if first.starts_with(azure::COLUMNS[0]) || extension == "csv" {
            Some(Self::Azure)
        } else if first.contains(dynamo::FAMILY) {
            Some(Self::Dynamo)
        } else if first.contains("\"hash_ids\"") {
            Some(Self::Mooncake)
        } else if first.contains("\"requests\"") {
            Some(Self::CodingAgents)
        } else {
            None
        }
    }

    /// Reads all lines.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn read<'a>(self, lines: impl Iterator<Item = &'a str>) -> Result<Recording, TraceError> {
        let (content, own_block_size) = match self {
            Self::Mooncake => {
                (Content::Requests(mooncake::read(lines)?), Some(mooncake::TRACE_BLOCK))
            }
            Self::Azure => (Content::Requests(azure::read(lines)?), None),
            Self::CodingAgents => {
                let (sessions, block_size) = coding_agents::read(lines)?;
                (Content::Sessions(sessions), Some(block_size))
            }
            Self::Dynamo => {
                let (content, block_size) = dynamo::read(lines)?;
                (content, Some(block_size))
            }
        };
        Ok(Recording { content, own_block_size })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let format = Self::ALL.into_iter().find(|format| format.name() == text);
        format.ok_or_else(|| format!("expected one of: {}", known()))
    }
}

impl Recording {
    /// Keeps the first `requests` requests. Of recorded sessions it keeps whole ones, until they
    /// have as many requests.
    pub fn limit(&mut self, requests: u64) {
        match &mut self.content {
            Content::Requests(all) => {
                all.sort_by_key(|request| request.at_ms);
                all.truncate(requests as usize);
            }
            Content::Sessions(sessions) => {
                let mut before = 0;
                sessions.retain(|session| {
                    let kept = before < requests;
                    before += session.requests.len() as u64;
                    kept
                });
            }
        }
    }

    /// Number of requests.
    pub fn requests(&self) -> usize {
        match &self.content {
            Content::Requests(requests) => requests.len(),
            Content::Sessions(sessions) => sessions.iter().map(|s| s.requests.len()).sum(),
        }
    }

    /// Checks that prompts can be cut into blocks of `block_size` tokens and keep their equal
    /// prefixes.
    ///
    /// # Errors
    /// [`TraceError::BlockSize`] if `block_size` does not divide the trace's blocks.
    pub fn check_block_size(&self, block_size: u32) -> Result<(), TraceError> {
        match self.own_block_size {
            Some(trace_block) if block_size == 0 || !trace_block.is_multiple_of(block_size) => {
                Err(TraceError::BlockSize { block_size, trace_block })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_gives_the_format() {
        let cases = [
            ("\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens\r\n", "", Some(Format::Azure)),
            ("a,b\n", "csv", Some(Format::Azure)),
            ("\n\n{\"timestamp\": 1, \"hash_ids\": []}\n", "jsonl", Some(Format::Mooncake)),
            ("{\"session\":\"s\",\"requests\":[]}", "jsonl", Some(Format::CodingAgents)),
            ("{\"event\":{\"schema\":\"dynamo.request.trace.v1\"}}", "jsonl", Some(Format::Dynamo)),
            ("{\"timestamp\": 1}", "jsonl", None),
            ("", "jsonl", None),
        ];
        for (text, extension, expected) in cases {
            assert_eq!(Format::detect(text, extension), expected, "{text}");
        }
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("mooncak".parse::<Format>().unwrap_err().contains("coding-agents"));
    }

    #[test]
    fn block_sizes_must_divide() {
        let recording =
            |own_block_size| Recording { content: Content::Requests(Vec::new()), own_block_size };
        let fits = |own, size| recording(own).check_block_size(size).is_ok();
        assert!([1, 16, 64, 512].into_iter().all(|size| fits(Some(512), size)));
        assert!([0, 3, 48, 1024].into_iter().all(|size| !fits(Some(512), size)));
        assert!(fits(None, 48));
    }
}
