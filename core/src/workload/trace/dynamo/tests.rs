use super::*;
use crate::block::{Chain, ScopePlan, hash_segments};
use crate::rng::Rng;

/// A record of type `request_end`.
fn record(name: &str, context: &str, at: u64, took: f64, input: u32, hashes: &[u64]) -> String {
    format!(
        r#"{{"schema":"dynamo.request.trace.v1","event_type":"request_end","event_time_unix_ms":{},{context}"request":{{"request_id":"{name}","output_tokens":5,"request_received_ms":{at},"total_time_ms":{took},"replay":{{"trace_block_size":16,"input_length":{input},"input_sequence_hashes":{hashes:?}}}}}}}"#,
        at + took as u64 + 1
    )
}

fn of_session(session: &str, parent: Option<&str>) -> String {
    let parent = parent.map(|parent| format!(r#","parent_session_id":"{parent}""#));
    format!(r#""agent_context":{{"session_id":"{session}"{}}},"#, parent.unwrap_or_default())
}

const TOOL: &str = r#"{"schema":"dynamo.request.trace.v1","event_type":"tool_end","tool":{}}"#;

#[test]
fn requests_without_a_session_have_their_recorded_times() {
    let wrapped =
        format!(r#"{{"timestamp":7,"event":{}}}"#, record("b", "", 900, 3.5, 40, &[7, 8, 9]));
    let text = format!(
        "\u{feff}{TOOL}\r\n{}\r\n\r\n{wrapped}\r\n",
        record("a", "", 1_500, 3.5, 20, &[7, u64::MAX])
    );
    let (content, block) = read(text.lines()).unwrap();
    let Content::Requests(requests) = content else { panic!("requests") };
    assert_eq!((block, requests.len()), (16, 2));
    let lengths = |request: &TimedRequest| -> Vec<u32> {
        request.prompt.iter().map(Segment::tokens).collect()
    };
    // One segment for each block, so that sessions can be inferred.
    assert_eq!((requests[0].at_ms, lengths(&requests[0])), (0, vec![16, 16, 8]));
    assert_eq!((requests[1].at_ms, lengths(&requests[1])), (600, vec![16, 4]));
    assert_eq!(requests[0].prompt[0], requests[1].prompt[0]);
    assert_eq!(requests[0].output_tokens, 5);
}

fn read_sessions(lines: &[String]) -> Vec<RecordedSession> {
    let (content, _) = read(lines.iter().map(String::as_str)).unwrap();
    let Content::Sessions(sessions) = content else { panic!("sessions") };
    sessions
}

#[test]
fn the_times_tell_what_a_request_waited_for() {
    let main = of_session("m", None);
    let sub = |name| of_session(name, Some("m"));
    let lines = [
        record("m0", &main, 1_000, 500.0, 16, &[1]), // ends at 1,500
        record("x0", &sub("x"), 1_600, 400.0, 16, &[2]), // called by m0, ends at 2,000
        record("y0", &sub("y"), 1_700, 2_300.4, 16, &[3]), // ends at 4,000
        record("x1", &sub("x"), 2_050, 950.0, 16, &[4]), // ends at 3,000
        record("m1", &main, 4_100, 100.0, 16, &[5]), // waits for both and m0
        record("z0", &sub("z"), 4_150, 900.0, 16, &[6]), // called while m1 was running
        record("m2", &main, 4_200, 100.0, 16, &[7]), // z has not ended; m1 waited for x and y
        record("n0", &of_session("n", None), 1_100, 1.0, 16, &[8]),
    ];
    let sessions = read_sessions(&lines);
    assert_eq!(sessions.len(), 2);
    let seen: Vec<_> = sessions[0]
        .requests
        .iter()
        .map(|r| {
            let mut after = r.after.to_vec();
            after.sort_unstable();
            (r.agent, after, r.think.as_nanos() / 1_000_000)
        })
        .collect();
    let expected = [
        (0, vec![], 0),
        (1, vec![0], 100),
        (2, vec![0], 200),
        (1, vec![1], 50),
        (0, vec![0, 2, 3], 100),
        (3, vec![0], 2_650),
        (0, vec![4], 0),
    ];
    assert_eq!(seen, expected);
    assert_eq!(sessions[0].requests[2].service, Duration::from_millis(2_300));
    assert_eq!(sessions[1].requests.len(), 1);
}

/// Without `total_time_ms`, the end of the answer is the time of the record.
#[test]
fn the_time_of_the_record_can_give_the_end() {
    let line = record("a", &of_session("m", None), 1_000, 500.0, 16, &[1]);
    let line = line.replace(r#""total_time_ms":500,"#, "");
    assert!(!line.contains("total_time_ms"));
    assert_eq!(read_sessions(&[line])[0].requests[0].service, Duration::from_millis(501));
}

/// Two prompts share the prefix that their hashes share, however they are cut into segments.
#[test]
fn prompts_share_the_prefix_of_their_hashes() {
    let mut rng = Rng::named(11, &[]);
    let mut prompts: Vec<(Vec<u64>, u32)> = vec![];
    let mut fresh = 1;
    for _ in 0..60 {
        let base = match prompts.len() as u64 {
            0 => Vec::new(),
            past => prompts[rng.below(past) as usize].0.clone(),
        };
        // Without the last block, which may be partial.
        let kept = rng.below((base.len() as u64).max(1)) as usize;
        let mut hashes = base[..kept].to_vec();
        let more = 1 + rng.below(30);
        hashes.extend(fresh..fresh + more);
        fresh += more;
        let tail = 1 + rng.below(16) as u32;
        prompts.push((hashes.clone(), hashes.len() as u32 * 16 - 16 + tail));
    }
    let line = |(i, (hashes, input)): (usize, &(Vec<u64>, u32))| {
        record(&format!("r{i}"), &of_session(&format!("s{i}"), None), i as u64, 0.0, *input, hashes)
    };
    let lines: Vec<String> = prompts.iter().enumerate().map(line).collect();
    let sessions = read_sessions(&lines);
    let segments: usize = sessions.iter().map(|session| session.requests[0].prompt.len()).sum();
    let blocks: usize = prompts.iter().map(|(hashes, _)| hashes.len()).sum();
    assert!(segments * 2 < blocks, "{segments} segments for {blocks} blocks");
    for block in [16, 4] {
        let scope = ScopePlan::new("", "", "", block);
        let chains: Vec<Chain> = sessions
            .iter()
            .map(|session| hash_segments(&scope, &session.requests[0].prompt))
            .collect();
        for (i, a) in chains.iter().enumerate() {
            for (j, b) in chains.iter().enumerate().take(i) {
                let pairs = prompts[i].0.iter().zip(&prompts[j].0);
                let equal = pairs.take_while(|(a, b)| a == b).count() as u32 * (16 / block);
                let to = a.blocks().min(b.blocks());
                assert_eq!(a.agree_until(b, 0, to), equal.min(to), "{i} and {j} in {block}");
            }
        }
    }
}

#[test]
fn errors_have_line_and_field() {
    let good = |name: &str| record(name, &of_session("m", None), 1_000, 500.0, 20, &[1, 2]);
    let swap = |from: &str, to: &str| {
        let text = good("b");
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        ("nonsense".to_owned(), "line 2: not a JSON object: "),
        (r#"{"timestamp":7}"#.to_owned(), "line 2: event: missing, expected an object"),
        (r#"{"event":[1]}"#.to_owned(), "line 2: event: [1], expected an object"),
        (
            swap("trace.v1", "trace.v2"),
            "line 2: schema: \"dynamo.request.trace.v2\", expected \"dynamo.request.trace.v1\"",
        ),
        (
            swap("\"event_type\":\"request_end\",", ""),
            "line 2: event_type: missing, expected a string",
        ),
        (good("a"), "line 2: request.request_id: \"a\" is on line 1 too, expected a unique id"),
        (swap("\"b\"", "7"), "line 2: request.request_id: 7, expected a string"),
        (swap("\"replay\"", "\"play\""), "line 2: request.replay: missing, expected an object"),
        (swap("\"request\":{", "\"request\":0,\"x\":{"), "line 2: request: 0, expected an object"),
        (
            swap("\"trace_block_size\":16", "\"trace_block_size\":32"),
            "line 2: request.replay.trace_block_size: 32, expected 16 as in the records before",
        ),
        (
            swap("\"trace_block_size\":16", "\"trace_block_size\":0"),
            "line 2: request.replay.trace_block_size: 0, expected a whole number from 1",
        ),
        (
            swap("\"input_length\":20", "\"input_length\":-20"),
            "line 2: request.replay.input_length: -20, expected a whole number from 0",
        ),
        (
            swap("\"input_length\":20", "\"input_length\":16"),
            "line 2: request.replay.input_sequence_hashes: 2 hashes, expected 1 for 16 input tokens \
             in blocks of 16",
        ),
        (
            swap("[1, 2]", "[1, -2]"),
            "line 2: request.replay.input_sequence_hashes: -2, expected a whole number from 0",
        ),
        (
            swap("[1, 2]", "[1, 18446744073709551616]"),
            "line 2: request.replay.input_sequence_hashes: 1.8446744073709552e+19, expected",
        ),
        (
            swap("[1, 2]", "null"),
            "line 2: request.replay.input_sequence_hashes: null, expected a list",
        ),
        (
            swap("\"output_tokens\":5", "\"output_tokens\":null"),
            "line 2: request.output_tokens: null, expected",
        ),
        (
            swap("\"request_received_ms\":1000", "\"request_received_ms\":1e99"),
            "line 2: request.request_received_ms: 1e+99, expected a whole number",
        ),
        (
            swap("\"total_time_ms\":500", "\"total_time_ms\":-0.5"),
            "line 2: request.total_time_ms: -0.5, expected a number from 0",
        ),
        (
            swap("\"total_time_ms\":500,", "").replace(":1501,", ":999,"),
            "line 2: event_time_unix_ms: 999, expected a whole number from 1000",
        ),
        (
            record("b", "", 1_000, 500.0, 20, &[1, 2]),
            "line 2: agent_context: missing, expected one as in the requests before",
        ),
        (
            swap("\"session_id\":\"m\"", "\"session_id\":null"),
            "line 2: agent_context.session_id: null, expected a string",
        ),
        (
            swap("\"session_id\":\"m\"", "\"session_id\":\"n\",\"parent_session_id\":\"n\""),
            "line 2: agent_context.parent_session_id: \"n\" is its own ancestor, expected",
        ),
        (
            swap("\"request_received_ms\":1000", "\"request_received_ms\":1779163048815"),
            "line 2: request.request_received_ms: 1779163047815 ms after the first, expected at most",
        ),
    ];
    let first = good("a");
    for (bad, expected) in cases {
        let error = read([first.as_str(), bad.as_str()].into_iter()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
        assert!(!error.contains('\n'));
    }
    let plain = record("p", "", 1_000, 500.0, 20, &[1, 2]);
    let error = read([plain.as_str(), first.as_str()].into_iter()).unwrap_err().to_string();
    assert!(error.starts_with("line 2: agent_context: present, expected none as in"), "{error}");
    for empty in ["", "\u{feff}", TOOL] {
        assert!(matches!(read(empty.lines()), Err(TraceError::Empty)));
    }
}
