//! Bodies of OpenAI's HTTP. The first byte says for which path.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use warmpath_openai::ask::Ask;
use warmpath_openai::problem::Problem;
use warmpath_openai::request::{Body, Kind};
use warmpath_openai::tokenizer::Tokenizer;
use warmpath_proto::generate;
use warmpath_proto::vllm::generate_request::Prompt;

pub fn run(bytes: &[u8]) {
    let Some((&kind, json)) = bytes.split_first() else { return };
    let kind = if kind & 1 == 0 { Kind::Completion } else { Kind::Chat };
    let asked = Body::read(json).and_then(|body| {
        let tokenizer = Arc::<Tokenizer>::default();
        let asking = pin!(Ask::new(body, kind, &tokenizer));
        match asking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(asked) => asked,
            Poll::Pending => panic!("bytes are tokenized at once"),
        }
    });
    match asked {
        Err(problem) => check(&problem, json.len()),
        Ok(mut ask) => {
            if let Some(Prompt::TokenIds(ids)) = &ask.request.prompt {
                let tokenizer = Tokenizer::default();
                let text = tokenizer.decode(&ids.ids);
                let known = ids.ids.iter().all(|&id| id < warmpath_core::tokens::VOCABULARY);
                if known {
                    assert_eq!(tokenizer.encode(&text, true).as_ref(), Ok(&ids.ids));
                }
            }
            if let Err(status) = generate::accept(&mut ask.request, "simulated") {
                check(&Problem::of(&status), json.len());
            }
        }
    }
}

/// An error is short, is JSON, and says something.
fn check(problem: &Problem, body: usize) {
    assert!((400..500).contains(&problem.status), "{problem:?}");
    assert!(!problem.message.is_empty() && problem.message.len() < 2 * body + 500, "{problem:?}");
    let json: serde_json::Value = serde_json::from_str(&problem.json()).expect("JSON");
    assert!(json["error"]["message"].is_string());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let completion = [
        r#"{"prompt": "a text", "max_tokens": 4, "stream": true, "stream_options": {"include_usage": true}}"#,
        r#"{"prompt": [1, 2, 300, 128255], "n": 1, "temperature": 0.5, "logprobs": null, "stop": []}"#,
        r#"{"prompt": ["\u00e9\ud83d\ude00"], "model": "simulated", "seed": -1, "top_k": -1, "priority": 3}"#,
        r#"{"prompt": [[1, 2]], "cache_salt": "s", "unknown": {"deep": [[[{}]]]}, "min_tokens": 2}"#,
    ];
    let chat = [
        r#"{"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "tools": []}"#,
        r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}],
            "continue_final_message": true, "response_format": {"type": "text"}}"#,
    ];
    let with = |kind: u8| move |body: &str| [&[kind], body.as_bytes()].concat();
    let completion = completion.into_iter().map(with(0));
    completion.chain(chat.into_iter().map(with(1))).collect()
}
