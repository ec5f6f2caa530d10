//! What an engine answers over OpenAI's HTTP. The first byte says in how many parts its bytes come.

use warmpath_openai::engine::chunk::{Chunk, DONE};
use warmpath_openai::engine::models;
use warmpath_openai::problem::Problem;
use warmpath_proto::event_stream::EventStream;

pub fn run(bytes: &[u8]) {
    let Some((&size, answer)) = bytes.split_first() else { return };
    check(&Problem::read(400, answer));
    if let Ok(text) = std::str::from_utf8(answer)
        && let Ok(models) = models::read(text)
    {
        assert!(!models.is_empty());
    }
    let whole = read(answer, answer.len().max(1));
    assert_eq!(read(answer, usize::from(size).max(1)), whole, "parts say the same");
    for data in whole.iter().filter(|data| *data != DONE) {
        match Chunk::read(data) {
            Ok(chunk) => assert!(chunk.ids.len() <= data.len()),
            Err(problem) => check(&problem),
        }
    }
}

fn read(answer: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut events = EventStream::new(answer.len());
    let mut all = Vec::new();
    for part in answer.chunks(size) {
        events.extend(part).expect("no more than all");
        while let Some(data) = events.next_data() {
            all.push(data.to_vec());
        }
    }
    all
}

/// An error is short and one line.
fn check(problem: &Problem) {
    assert!((400..600).contains(&problem.status), "{problem:?}");
    assert!(problem.message.len() < 700 && !problem.message.contains('\n'), "{problem:?}");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "data: {\"choices\": [{\"text\": \"a\", \"token_ids\": [7, 8], \"finish_reason\": null}]}\n\n\
         data: {\"choices\": [{\"text\": \"\", \"token_ids\": [9], \"finish_reason\": \"stop\", \"stop_reason\": 3}]}\n\n\
         data: {\"choices\": [], \"usage\": {\"prompt_tokens_details\": {\"cached_tokens\": 2}}}\r\n\r\n\
         data: [DONE]\n\n",
        ": a comment\n\ndata:{\"error\": {\"message\": \"too long\", \"type\": \"BadRequestError\", \"code\": 400}}\n\n",
        "data: {\"object\": \"error\", \"message\": \"no\", \"code\": 500}\n\nid: 3\n",
        "{\"error\": {\"message\": \"m\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": null}}",
        "{\"error\": \"Unauthorized\"}",
        "{\"detail\": [{\"loc\": [\"body\"], \"msg\": \"m\"}]}",
        "{\"object\": \"list\", \"data\": [{\"id\": \"m\", \"max_model_len\": 4096}]}",
    ];
    texts.into_iter().map(|text| [&[5], text.as_bytes()].concat()).collect()
}
