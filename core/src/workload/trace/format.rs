//! The formats of recorded workloads.

use super::error::TraceError;
use super::recording::{Content, Recording};
use super::{azure, coding_agents, dynamo, line, mooncake};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A trace format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Requests of the Mooncake release ([`mooncake`]).
    Mooncake,
    /// Sessions of coding agents ([`coding_agents`]).
    CodingAgents,
    /// Azure's CSV of times and lengths ([`azure`]).
    Azure,
    /// Request traces of NVIDIA Dynamo ([`dynamo`]).
    Dynamo,
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

    /// Detects the format from the first line. Any `.csv` file counts as Azure's, so that a wrong
    /// header is reported as such.
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

    /// Reads all lines of a trace. The error is the first bad line.
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

    /// Reads [`Format::name`]. The error lists the names.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let format = Self::ALL.into_iter().find(|format| format.name() == text);
        format.ok_or_else(|| format!("expected one of: {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_from_the_first_line() {
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
}
