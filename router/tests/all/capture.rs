//! Live traffic as a trace.

use crate::common::*;
use std::path::Path;
use std::time::Duration;
use tokio_stream::StreamExt;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_core::workload::trace::{Content, Reading, Recording, mooncake};
use warmpath_proto::vllm::{GenerateRequest, GenerateResponse};
use warmpath_router::config::ReliabilityConfig;
use warmpath_router::{RouterConfig, RouterServer, ServeError};

fn in_session(name: &str, prompt: Vec<u32>) -> GenerateRequest {
    GenerateRequest { session_id: Some(name.to_owned()), ..request(prompt, 20) }
}

fn read(path: &Path) -> (Vec<String>, Recording) {
    let text = std::fs::read_to_string(path).unwrap();
    let recording = mooncake::read_all(text.lines(), &Reading::default()).unwrap();
    (text.lines().map(str::to_owned).collect(), recording)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_becomes_a_trace_without_texts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.capture = Some(path.clone());
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    // Two sessions of three turns that begin alike, and a request without a session.
    for session in ["a", "b"] {
        let mut text = prompt(1, 100);
        for turn in 0..3 {
            let (collected, _) =
                ask(router.client(), in_session(session, text.clone())).await.unwrap();
            text.extend(collected.tokens);
            text.extend(prompt(2 + turn, 30));
        }
    }
    ask(router.client(), request(prompt(1, 100), 7)).await.unwrap();
    // One that is given up before its first token has come is as long as its client asked for.
    let given_up = router.client().generate_stream(request(prompt(9, 5_000), 40)).await;
    drop(given_up);
    router.wait_counts(|counts| counts.in_flight == 0).await;
    router.stop();
    router.stopped().await;

    let (lines, recording) = read(&path);
    assert_eq!(lines.len(), 8);
    let Content::Sessions(sessions) = &recording.content else { panic!("conversations") };
    let turns: Vec<_> = sessions.iter().map(|session| session.requests.len()).collect();
    assert_eq!(turns, [3, 3, 1, 1]);
    let tokens = |session: usize, turn: usize| {
        let prompt = &sessions[session].requests[turn].prompt;
        prompt.iter().map(|segment| segment.tokens()).sum::<u32>()
    };
    assert_eq!([0, 1, 2].map(|turn| tokens(0, turn)), [100, 150, 200]);
    assert_eq!(tokens(2, 0), 100);
    assert_eq!(sessions[2].requests[0].output_tokens, 7);
    assert_eq!(sessions[3].requests[0].output_tokens, 40);
    // All begin with the same six blocks, and the partial one after them is in no other row.
    let begins = |session: usize| &sessions[session].requests[0].prompt;
    assert_eq!(begins(0)[..6], begins(1)[..6]);
    assert_eq!(begins(0)[..6], begins(2)[..6]);
    assert_ne!(begins(0)[6], begins(1)[6]);
    let all: String = lines.concat();
    assert!(!all.contains("\"a\"") && !all.contains("\"b\""), "names of sessions stay here: {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_written_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let base = RouterConfig::new(vec!["http://127.0.0.1:9".to_owned()], PolicyConfig::KvAware);
    let capture = Some(folder.path().to_owned());
    let error = RouterServer::new(RouterConfig { capture, ..base }).unwrap_err();
    assert!(matches!(error, ServeError::Capture { .. }), "{error}");
    let path = folder.path().display();
    assert_eq!(error.to_string(), format!("capture: '{path}': Is a directory (os error 21)"));
}

/// The ids of an answer are needed for the next turn, also where no answer is resumed and no client wants them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_are_found_where_answers_are_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.reliability = ReliabilityConfig::OFF;
    config.capture = Some(path.clone());
    let mut router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    let mut first = request(prompt(1, 100), 20);
    first.response = None;
    let stream = router.client().generate_stream(first).await.unwrap().into_inner();
    let messages: Vec<_> = within(stream.collect()).await;
    let ids = |message: &GenerateResponse| {
        message.outputs.as_ref().map_or(0, |outputs| outputs.token_ids.len())
    };
    assert!(messages.iter().flatten().all(|message| ids(message) == 0), "it wants none");
    let mut next = prompt(1, 100);
    next.extend(answer(&prompt(1, 100), 20));
    next.extend(prompt(2, 30));
    ask(router.client(), request(next, 5)).await.unwrap();
    router.stop();
    router.stopped().await;
    let (_, recording) = read(&path);
    let Content::Sessions(sessions) = &recording.content else { panic!("conversations") };
    assert_eq!((sessions.len(), sessions[0].requests.len()), (1, 2));
}

/// A killed router has written what is older than a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_do_not_wait_for_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let workers = [TestWorker::start(worker_config())];
    let mut config = router_config(&workers, PolicyConfig::KvAware);
    config.capture = Some(path.clone());
    let router = TestRouter::start(config).await;
    router.wait(|status| status.joined.len() == 1).await;
    ask(router.client(), request(prompt(1, 100), 7)).await.unwrap();
    let written = async {
        while std::fs::read_to_string(&path).unwrap().lines().count() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(written).await;
}
