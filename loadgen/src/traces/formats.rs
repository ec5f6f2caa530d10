//! The formats of traces, each with an example.

use warmpath_core::workload::trace::Format;
use warmpath_sheet::{Column, Form, Page};

/// What there is to say of a format. The examples are made up.
pub struct About {
    pub format: Format,
    times: &'static str,
    shares: &'static str,
    /// Two lines of a file, or an object on two lines.
    pub example: &'static str,
}

const TIMES: &str = "recorded times";
const NOTHING: &str = "nothing: no cache can hit";
const WORDS: &str = "texts, by words";

pub const ALL: &[About] = &[
    About {
        format: Format::Mooncake,
        times: "recorded times; sessions by session_id and delay",
        shares: "blocks by hash_ids, or texts by words",
        example: r#"{"timestamp": 0, "input_length": 1300, "output_length": 40, "hash_ids": [1, 2, 3]}
{"timestamp": 3000, "input_length": 1500, "output_length": 25, "hash_ids": [1, 2, 4]}"#,
    },
    About {
        format: Format::CodingAgents,
        times: "sessions in a closed loop",
        shares: "blocks within a session",
        example: r#"{"session": "s1", "bs": 64, "scope": "local", "requests": [{"t_ms": 0, "in": 150, "out": 20, "think_ms": 0, "api_ms": 900, "runs": [[1, 2]]}]}
{"session": "s2", "bs": 64, "scope": "local", "requests": [{"t_ms": 0, "in": 70, "out": 5, "think_ms": 0, "api_ms": 300, "runs": [[1, 1]]}]}"#,
    },
    About {
        format: Format::Azure,
        times: TIMES,
        shares: NOTHING,
        example: "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-05 09:00:00.2500000,1300,40",
    },
    About {
        format: Format::Dynamo,
        times: "recorded times, or sessions in a closed loop",
        shares: "blocks by hashes",
        example: r#"{"schema": "dynamo.request.trace.v1", "event_type": "request_end", "event_time_unix_ms": 1800, "request": {"request_id": "r1", "request_received_ms": 1000, "total_time_ms": 800, "output_tokens": 20, "replay": {"trace_block_size": 16, "input_length": 40, "input_sequence_hashes": [7, 9, 4]}}}
{"schema": "dynamo.request.trace.v1", "event_type": "request_end", "event_time_unix_ms": 4700, "request": {"request_id": "r2", "request_received_ms": 4000, "total_time_ms": 700, "output_tokens": 15, "replay": {"trace_block_size": 16, "input_length": 60, "input_sequence_hashes": [7, 9, 12, 5]}}}"#,
    },
    About {
        format: Format::BurstGpt,
        times: "recorded times; sessions by Session ID",
        shares: NOTHING,
        example: "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log",
    },
    About {
        format: Format::QwenBailian,
        times: "recorded times; sessions by parent_chat_id",
        shares: "blocks by hash_ids",
        example: r#"{"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.5, "input_length": 40, "output_length": 9, "type": "text", "turn": 1, "hash_ids": [7, 8, 9]}
{"chat_id": 2, "parent_chat_id": 1, "timestamp": 70.0, "input_length": 60, "output_length": 9, "type": "text", "turn": 2, "hash_ids": [7, 8, 10, 11]}"#,
    },
    About {
        format: Format::Aiperf,
        times: "sessions, in a closed loop or from their recorded times",
        shares: "texts by words, or blocks by hash_ids",
        example: r#"{"session_id": "a", "turns": [{"text": "Name a colour.", "output_length": 12}, {"text": "One more.", "delay": 1500, "output_length": 9}]}
{"session_id": "b", "turns": [{"text": "Name a town.", "output_length": 12}]}"#,
    },
    About {
        format: Format::Vidur,
        times: TIMES,
        shares: NOTHING,
        example: "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,1000,44",
    },
    About {
        format: Format::ShareGpt,
        times: "sessions in a closed loop",
        shares: WORDS,
        example: r#"[{"id": "a_0", "conversations": [{"from": "human", "value": "Name a colour."}, {"from": "gpt", "value": "Teal."}]},
 {"id": "b_0", "conversations": [{"from": "human", "value": "Name a town."}, {"from": "gpt", "value": "Brno."}]}]"#,
    },
    About {
        format: Format::Lmsys,
        times: "sessions, in a closed loop or from their recorded times",
        shares: WORDS,
        example: r#"{"conversation_id": "c0", "conversation": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Teal."}]}
{"conversation_id": "c1", "conversation": [{"role": "user", "content": "Name a town."}, {"role": "assistant", "content": "Brno."}]}"#,
    },
    About {
        format: Format::OpenAi,
        times: "a closed loop, or recorded times",
        shares: "texts by words, or token ids",
        example: r#"{"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 10}}
{"custom_id": "r-2", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "Name a town."}], "max_tokens": 10}}"#,
    },
];

/// Each format's name, and what its times and its sharing are.
pub fn named() -> impl Iterator<Item = (String, String)> {
    let what = |about: &About| format!("times: {}; shared: {}", about.times, about.shares);
    ALL.iter().map(move |about| (about.format.to_string(), what(about)))
}

/// Each format's name and example.
pub fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|about| (about.format.name(), about.example))
}

/// The list of formats, and the examples.
pub fn page() -> Page {
    let form = Form::new([
        Column::text("format", "format", "The name for --format.")
            .of(|about: &About| about.format.name()),
        Column::text("times", "requests arrive", "When requests are sent.")
            .of(|about: &About| about.times),
        Column::text("shares", "prompts share", "What is known of what prompts share.")
            .of(|about: &About| about.shares),
    ]);
    let mut sheet = form.sheet("Formats of traces");
    ALL.iter().for_each(|about| sheet.push(form.row(about)));
    let mut page = Page::default();
    page.sheet(sheet);
    for about in ALL {
        page.prose(
            [format!("{}:", about.format)]
                .into_iter()
                .chain(about.example.lines().map(str::to_owned)),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ReadingArgs;
    use crate::traces::{Files, Holds, Target, write};
    use std::path::PathBuf;

    fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn every_format_has_an_example_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ALL.len(), Format::ALL.len());
        for (about, format) in ALL.iter().zip(Format::ALL) {
            assert_eq!(about.format, format);
            assert_eq!(about.example.lines().count(), 2, "{format}");
            let path = written(&folder, "example", about.example);
            let files = Files::read(&[path], &ReadingArgs::default(), false).unwrap();
            assert_eq!(files.format, format);
            assert!((1..=3).contains(&files.recording.requests()), "{format}");
        }
    }

    /// What a trace holds does not depend on the format that it is written in.
    #[test]
    fn a_converted_trace_holds_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for about in ALL {
            let path = written(&folder, "example", about.example);
            let read = |path| Files::read(&[path], &ReadingArgs::default(), false).unwrap();
            let files = read(path);
            for target in [Target::Mooncake, Target::Dynamo] {
                let mut bytes = Vec::new();
                let done = write(&files.recording, target, None, &mut bytes).unwrap();
                let text = String::from_utf8(bytes).unwrap();
                let block = done.block_size.to_string();
                let path = written(&folder, "converted", &text);
                let flags = ReadingArgs {
                    trace_block_size: (target == Target::Mooncake).then(|| block.parse().unwrap()),
                    ..ReadingArgs::default()
                };
                let again = Files::read(&[path], &flags, false).unwrap();
                let figures = |files: &Files| {
                    let holds = Holds::of(files, Some(done.block_size), &[]);
                    let lengths = (holds.prompt_tokens.total, holds.output_tokens.total);
                    (holds.requests, lengths, (holds.reuse.hit_rate * 1e9) as u64)
                };
                assert_eq!(figures(&files), figures(&again), "{} to {target:?}", about.format);
            }
        }
    }
}
