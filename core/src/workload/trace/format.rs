//! The formats of recorded workloads.

use super::csv::Header;
use super::error::TraceError;
use super::line::{numbered, parse_object};
use super::reading::Reading;
use super::recording::Recording;
use super::{
    aiperf, azure, bailian, burstgpt, chats, coding_agents, dynamo, mooncake, openai, vidur,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A trace format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Rows of the Mooncake release, and those that extend them ([`mooncake`]).
    Mooncake,
    /// Sessions of coding agents ([`coding_agents`]).
    CodingAgents,
    /// Azure's CSV of times and lengths ([`azure`]).
    Azure,
    /// Request traces of NVIDIA Dynamo ([`dynamo`]).
    Dynamo,
    /// BurstGPT's CSV of times and lengths ([`burstgpt`]).
    #[serde(rename = "burstgpt")]
    BurstGpt,
    /// Alibaba's traces of Qwen in Bailian ([`bailian`]).
    QwenBailian,
    /// Session files of AIPerf ([`aiperf`]).
    Aiperf,
    /// Vidur's CSV of times and lengths ([`vidur`]).
    Vidur,
    /// Conversations in ShareGPT's shape ([`chats`]).
    #[serde(rename = "sharegpt")]
    ShareGpt,
    /// Conversations in LMSYS-Chat's shape ([`chats`]).
    Lmsys,
    /// Requests to OpenAI's API ([`openai`]).
    #[serde(rename = "openai")]
    OpenAi,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 11] = [
        Self::Mooncake,
        Self::CodingAgents,
        Self::Azure,
        Self::Dynamo,
        Self::BurstGpt,
        Self::QwenBailian,
        Self::Aiperf,
        Self::Vidur,
        Self::ShareGpt,
        Self::Lmsys,
        Self::OpenAi,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mooncake => "mooncake",
            Self::CodingAgents => "coding-agents",
            Self::Azure => "azure",
            Self::Dynamo => "dynamo",
            Self::BurstGpt => "burstgpt",
            Self::QwenBailian => "qwen-bailian",
            Self::Aiperf => "aiperf",
            Self::Vidur => "vidur",
            Self::ShareGpt => "sharegpt",
            Self::Lmsys => "lmsys",
            Self::OpenAi => "openai",
        }
    }

    /// Detects the format from the first line. A table is told by its header. A `.csv` file with
    /// another header counts as Azure's, so that the header is reported as wrong.
    pub fn detect(text: &str, extension: &str) -> Option<Self> {
        let first = numbered(text.lines()).next()?;
        let first = first.text();
        if !first.starts_with('{') {
            let header = Header::of(first);
            return [
                (Self::Azure, &azure::COLUMNS),
                (Self::BurstGpt, &burstgpt::COLUMNS),
                (Self::Vidur, &vidur::COLUMNS),
            ]
            .into_iter()
            .find(|(_, columns)| header.has(*columns))
            .map(|(format, _)| format)
            .or_else(|| {
                let is_table = extension == "csv" || first.starts_with(azure::COLUMNS[0]);
                is_table.then_some(Self::Azure)
            });
        }
        if first.contains(dynamo::FAMILY) {
            return Some(Self::Dynamo);
        }
        // A line that cannot be parsed is reported by the reader that its fields call for.
        let object = parse_object(1, first).unwrap_or_default();
        let has = |field: &str| {
            object.contains_key(field)
                || object.is_empty() && first.contains(&format!("\"{field}\""))
        };
        let signs: [(Self, &[&str]); 11] = [
            (Self::Aiperf, &[aiperf::FIELD]),
            (Self::QwenBailian, &[bailian::FIELD]),
            (Self::CodingAgents, &["requests"]),
            (Self::Mooncake, &["hash_ids"]),
            (Self::Mooncake, &["input_length"]),
            (Self::OpenAi, &["body"]),
            (Self::OpenAi, &["payload"]),
            (Self::ShareGpt, &[chats::FIELDS[0]]),
            (Self::Lmsys, &[chats::FIELDS[1]]),
            (Self::Mooncake, &["output_length"]),
            (Self::Mooncake, &["text_input"]),
        ];
        let told = signs.into_iter().find(|(_, fields)| fields.iter().all(|field| has(field)));
        told.map(|(format, _)| format).or_else(|| match (has("messages"), has("model")) {
            (true, true) => Some(Self::OpenAi),
            (true, false) => Some(Self::Lmsys),
            _ => (has("prompt") && has("max_tokens")).then_some(Self::OpenAi),
        })
    }

    /// Why a file cannot be read that is known by its first line. None: it is not such a file.
    pub fn refusal(text: &str) -> Option<&'static str> {
        let first = numbered(text.lines()).next()?;
        let has = |name: &str| first.text().contains(name);
        if has("Received request") && has("SamplingParams") {
            Some(
                "a log of vLLM's requests, expected a trace: it has no lengths of answers and no \
                  times below a second; docs/reference/traces.md says what to record instead",
            )
        } else if has("GenerateReqInput(") || has("Receive: obj=") || has("Finish: obj=") {
            Some(
                "a log of SGLang's requests as text, expected a trace: prompts are cut in it; \
                  docs/reference/traces.md says what to record instead",
            )
        } else if has("\"response\"") && has("\"custom_id\"") {
            Some("the results of an OpenAI batch, expected its requests: it has no prompts")
        } else {
            None
        }
    }

    /// Checks that what the user says of the file means something in this format. The error names
    /// the flag.
    pub fn check(self, reading: &Reading) -> Result<(), String> {
        let has_blocks = matches!(self, Self::Mooncake | Self::QwenBailian | Self::Aiperf);
        let has_units = matches!(self, Self::Mooncake | Self::Aiperf);
        let has_rows = has_blocks || matches!(self, Self::BurstGpt | Self::OpenAi);
        let wrong = [
            ("--trace-block-size", reading.block.is_some() && !has_blocks),
            ("--trace-time-unit", reading.unit.is_some() && !has_units),
            ("--trace-rows", reading.history.is_some() && !has_rows),
        ];
        match wrong.into_iter().find(|(_, is_wrong)| *is_wrong) {
            Some((flag, _)) => Err(format!("{flag} does not apply to a {self} trace")),
            None => Ok(()),
        }
    }

    /// Reads all lines of a trace. The error is the first bad line.
    pub fn read<S: AsRef<str>>(
        self,
        lines: impl Iterator<Item = S>,
    ) -> Result<Recording, TraceError> {
        self.read_as(lines, &Reading::default())
    }

    /// As [`Self::read`], with what the user says of the file.
    pub fn read_as<S: AsRef<str>>(
        self,
        lines: impl Iterator<Item = S>,
        reading: &Reading,
    ) -> Result<Recording, TraceError> {
        match self {
            Self::Mooncake => mooncake::read_all(lines, reading),
            Self::Azure => azure::read(lines, OTHER_TABLES),
            Self::CodingAgents => {
                let (sessions, block_size) = coding_agents::read(lines)?;
                Ok(Recording::new(super::Content::Sessions(sessions), Some(block_size)))
            }
            Self::Dynamo => {
                let (content, block_size) = dynamo::read(lines)?;
                Ok(Recording::new(content, Some(block_size)))
            }
            Self::BurstGpt => burstgpt::read(lines, reading),
            Self::QwenBailian => bailian::read(lines, reading),
            Self::Aiperf => aiperf::read(lines, reading),
            Self::Vidur => vidur::read(lines),
            Self::ShareGpt | Self::Lmsys => chats::read(lines),
            Self::OpenAi => openai::read(lines, reading),
        }
    }
}

/// The headers of the other tables, for the error about a header that none has.
const OTHER_TABLES: &str = " (azure), Timestamp,..,Request tokens,Response tokens,.. (burstgpt), or \
                            arrived_at,num_prefill_tokens,num_decode_tokens (vidur)";

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
            ("TIMESTAMP, \"ContextTokens\", GeneratedTokens\r\n", "txt", Some(Format::Azure)),
            ("a,b\n", "csv", Some(Format::Azure)),
            (",arrived_at,num_prefill_tokens,num_decode_tokens\n", "csv", Some(Format::Vidur)),
            ("Timestamp,Model,Request tokens,Response tokens\n", "csv", Some(Format::BurstGpt)),
            ("\n\n{\"timestamp\": 1, \"hash_ids\": []}\n", "jsonl", Some(Format::Mooncake)),
            ("{\"timestamp\": 1, \"text_input\": \"a\"}\n", "jsonl", Some(Format::Mooncake)),
            ("{\"hash_ids\": [", "jsonl", Some(Format::Mooncake)),
            ("{\"session\":\"s\",\"requests\":[]}", "jsonl", Some(Format::CodingAgents)),
            ("{\"event\":{\"schema\":\"dynamo.request.trace.v1\"}}", "jsonl", Some(Format::Dynamo)),
            ("{\"chat_id\": 1, \"hash_ids\": []}", "jsonl", Some(Format::QwenBailian)),
            ("{\"session_id\": 1, \"turns\": []}", "jsonl", Some(Format::Aiperf)),
            ("{\"conversations\": []}", "json", Some(Format::ShareGpt)),
            ("{\"conversation\": [], \"model\": 1}", "json", Some(Format::Lmsys)),
            ("{\"messages\": []}", "json", Some(Format::Lmsys)),
            ("{\"messages\": [], \"model\": \"m\"}", "json", Some(Format::OpenAi)),
            ("{\"custom_id\": \"a\", \"body\": {\"messages\": []}}", "", Some(Format::OpenAi)),
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
    fn logs_of_engines_are_refused_with_the_reason() {
        let log = "INFO 01-05 09:00:00 [logger.py:39] Received request cmpl-1: prompt: 'a', params: \
                   SamplingParams(n=1, max_tokens=16), prompt_token_ids: None";
        assert!(Format::refusal(log).is_some_and(|why| why.contains("vLLM")));
        let log = "[2026-01-05 09:00:00] Finish: obj=GenerateReqInput(text='a'), out={'text': 'b'}";
        assert!(Format::refusal(log).is_some_and(|why| why.contains("SGLang")));
        assert_eq!(Format::refusal("{\"hash_ids\": []}"), None);
    }
}
