use super::super::session_replay::RecordedSession;
use super::*;
use crate::time::Duration;

#[test]
fn a_line_becomes_a_request() {
    let text = r#"{"timestamp": 3000, "input_length": 700, "output_length": 40, "hash_ids": [0, 17], "more": 1}"#;
    let requests = read([text, ""].into_iter()).unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].at_ms, requests[0].output_tokens), (0, 40));
    let tokens: Vec<u32> = requests[0].prompt.iter().map(Segment::tokens).collect();
    assert_eq!(tokens, [512, 188]);
}

#[test]
fn errors_have_line_and_field() {
    let cases = [
        ("nonsense", "line 2: not a JSON object: expected ident at column 2"),
        ("[1]", "line 2: not a JSON object"),
        (r#"{"input_length":1,"output_length":1,"hash_ids":[1]}"#, "line 2: timestamp: missing"),
        (
            r#"{"timestamp":-1,"input_length":1,"output_length":1,"hash_ids":[1]}"#,
            "line 2: timestamp: -1, expected a number of 0 or more",
        ),
        (
            r#"{"timestamp":0,"input_length":1e99,"output_length":1,"hash_ids":[]}"#,
            "line 2: input_length: 1e+99, expected",
        ),
        (
            r#"{"timestamp":0,"input_length":5.5,"output_length":1,"hash_ids":[1]}"#,
            "line 2: input_length: 5.5, expected",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":"x","hash_ids":[1]}"#,
            "line 2: output_length: \"x\", expected",
        ),
        (
            r#"{"timestamp":0,"input_length":513,"output_length":1,"hash_ids":[1]}"#,
            "line 2: hash_ids: 1 ids, expected 2 for 513 input tokens in blocks of 512",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[18446744073709551616]}"#,
            "line 2: hash_ids: 1.8446744073709552e+19, expected a whole number from -2^63 to 2^64",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":7}"#,
            "line 2: hash_ids: 7, expected a list",
        ),
        (r#"{"timestamp":0,"input_length":5,"hash_ids":[1]}"#, "line 2: output_length: missing"),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1],"delay":5}"#,
            "line 2: delay: 5, expected a session_id beside it",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1],"priority":1.5}"#,
            "line 2: priority: 1.5, expected a whole number",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1],"tools":[{}]}"#,
            "line 2: tools: [{}], expected none",
        ),
        (
            r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1],"images":["a"]}"#,
            "line 2: images: [\"a\"], expected none",
        ),
        (
            r#"{"timestamp":0,"text_input":"a","output_length":1,"hash_ids":[1]}"#,
            "line 2: hash_ids: beside text_input, expected one of them",
        ),
    ];
    let good = r#"{"timestamp":0,"input_length":5,"output_length":1,"hash_ids":[1]}"#;
    for (bad, expected) in cases {
        let error = read([good, bad].into_iter()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
        assert!(!error.contains('\n'));
    }
    assert_eq!(read([""].into_iter()), Err(TraceError::Empty));
}

#[test]
fn byte_order_mark_line_ends_and_time_order_do_not_matter() {
    let line = |at: u64| {
        format!(r#"{{"timestamp":{at},"input_length":5,"output_length":1,"hash_ids":[1]}}"#)
    };
    let text = format!("\u{feff}{}\r\n{}\r\n\r\n  \n", line(20), line(10));
    let times: Vec<u64> = read(text.lines()).unwrap().iter().map(|r| r.at_ms).collect();
    assert_eq!(times, [0, 10]);
}

fn all(text: &str, reading: Reading) -> Result<Recording, String> {
    read_all(text.lines(), &reading).map_err(|error| error.to_string())
}

fn sessions(text: &str, reading: Reading) -> Vec<RecordedSession> {
    match all(text, reading).unwrap().content {
        Content::Sessions(sessions) => sessions,
        Content::Requests(_) => panic!("sessions"),
    }
}

fn tokens(prompt: &[Segment]) -> u32 {
    prompt.iter().map(Segment::tokens).sum()
}

fn timed(at: &str, input: u32, ids: &[i64]) -> String {
    format!(
        r#"{{"timestamp": {at}, "input_length": {input}, "output_length": 0, "hash_ids": {ids:?}}}"#
    )
}

#[test]
fn times_have_fractions_and_any_origin() {
    let at = |times: [&str; 2], unit| {
        let text = times.map(|at| timed(at, 7, &[-5])).join("\n");
        let reading = Reading { unit, ..Reading::default() };
        all(&text, reading).map(|recording| match recording.content {
            Content::Requests(all) => all.iter().map(|r| r.at_ms).collect::<Vec<_>>(),
            Content::Sessions(_) => panic!("requests"),
        })
    };
    assert_eq!(at(["0.0", "200.6"], None), Ok(vec![0, 201]));
    assert_eq!(at(["1800000000000", "1800000000500"], None), Ok(vec![0, 500]));
    assert_eq!(at(["5", "5.5"], Some(TimeUnit::Seconds)), Ok(vec![0, 500]));
    let error = at(["1700000500", "1700000000"], None).unwrap_err();
    assert!(error.starts_with("line 2: timestamp: 1700000000 looks like a time since 1970 in s"));
    let error = at(["0", "900000000000000"], None).unwrap_err();
    assert!(error.starts_with("line 2: timestamp: 900000000000000 ms after the first"), "{error}");
}

#[test]
fn the_block_size_is_found_or_given() {
    let block = |rows: &[(u32, &[i64])], block| {
        let rows: Vec<String> = rows.iter().map(|&(input, ids)| timed("0", input, ids)).collect();
        let reading = Reading { block, ..Reading::default() };
        all(&rows.join("\n"), reading).map(|recording| recording.own_block_size)
    };
    assert_eq!(block(&[(64, &[1, 2, 3, 4]), (72, &[1, 2, 3, 4, 5])], None), Ok(Some(16)));
    assert_eq!(block(&[(700, &[1, 2])], None), Ok(Some(512)));
    assert_eq!(block(&[(7, &[1])], None), Ok(Some(512)));
    assert_eq!(block(&[(7, &[1])], Some(64)), Ok(Some(64)));
    let error = block(&[(700, &[1])], None).unwrap_err();
    assert!(error.contains("expected 2 for 700") && error.contains("--trace-block-size"));
    assert!(block(&[(700, &[1, 2])], Some(16)).unwrap_err().contains("expected 44"));
}

const TURNS: &str = r#"{"session_id":"a","timestamp":100,"input_length":600,"output_length":5,"hash_ids":[0,1]}
{"session_id":"b","timestamp":150,"input_length":600,"output_length":5,"hash_ids":[0,9],"priority":-2}
{"session_id":"a","timestamp":900,"input_length":512,"output_length":5,"hash_ids":[2],"delay":50.5}
{"session_id":"a","input_length":512,"output_length":5,"hash_ids":[3],"delay":70}"#;

#[test]
fn rows_of_a_session_that_carry_what_is_new_become_whole_prompts() {
    // The last row has no time of its own: it is sent after the answer before it.
    let read = sessions(TURNS, Reading::default());
    let of: Vec<u32> = read[0].requests.iter().map(|r| tokens(&r.prompt)).collect();
    assert_eq!(of, [600, 1_112, 1_624]);
    assert_eq!(read[0].requests[1].prompt[..2], read[0].requests[0].prompt[..]);
    let last = &read[0].requests[2];
    assert_eq!((last.after.as_slice(), last.due), (&[1][..], Duration::ZERO));
    assert_eq!(last.think, Duration::from_millis(70));
    assert_eq!(read[0].requests[1].due, Duration::from_millis(800));
    assert_eq!(read[1].start, Some(Duration::from_millis(50)));
    assert_eq!(read[1].requests[0].priority, -2);

    let history = Some(History::NewAndAnswers);
    let read = sessions(TURNS, Reading { history, ..Reading::default() });
    assert_eq!(tokens(&read[0].requests[2].prompt), 1_624 + 2 * 5);
    let history = Some(History::Whole);
    let read = sessions(TURNS, Reading { history, ..Reading::default() });
    assert_eq!(tokens(&read[0].requests[2].prompt), 512);
}

#[test]
fn rows_of_a_session_that_repeat_its_start_are_whole_prompts() {
    let row = |at: u32, input: u32, ids: &[u32]| {
        format!(
            r#"{{"session_id":"a","timestamp":{at},"input_length":{input},"output_length":5,"hash_ids":{ids:?}}}"#
        )
    };
    let whole = [row(0, 600, &[0, 1]), row(9, 1_100, &[0, 1, 2])].join("\n");
    let read = sessions(&whole, Reading::default());
    assert_eq!(tokens(&read[0].requests[1].prompt), 1_100);
    let mixed = format!("{whole}\n{}", row(20, 512, &[3]));
    let error = all(&mixed, Reading::default()).unwrap_err();
    assert!(error.starts_with("line 3: hash_ids: some rows") && error.contains("--trace-rows"));
}

/// Where the first prompt is shorter than a block, its id says nothing of later prompts.
#[test]
fn a_row_can_say_itself_what_it_carries() {
    let row = |input: u32, ids: &[u32], more: &str| {
        format!(
            r#"{{"session_id":"a","input_length":{input},"output_length":5,"hash_ids":{ids:?}{more}}}"#
        )
    };
    let second = |more| {
        let rows = [row(300, &[0], ""), row(600, &[1, 2], more)].join("\n");
        tokens(&sessions(&rows, Reading::default())[0].requests[1].prompt)
    };
    assert_eq!(second(""), 900);
    assert_eq!(second(r#","message_mode":"history""#), 600);
    assert_eq!(second(r#","message_mode":"delta""#), 905);
}

#[test]
fn sessions_that_cannot_be_played_are_refused() {
    let row =
        |more: &str| format!(r#"{{"session_id":"a","input_length":9,"output_length":5{more}}}"#);
    for (rows, expected) in [
        ([row(r#","timestamp":5"#), row(r#","timestamp":"x""#)], "line 2: timestamp: \"x\""),
        ([row(r#","delay":5"#), row("")], "line 1: delay: 5, expected none in the first row"),
        ([row(""), row(r#","timestamp":5"#)], "line 1: timestamp: missing, expected a time"),
        ([row(r#","delay":-1"#), row("")], "line 1: delay: -1"),
    ] {
        let error = all(&rows.join("\n"), Reading::default()).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    // Without any times the sessions run in a closed loop.
    let recording = all(&[row(""), row(r#","delay":5"#)].join("\n"), Reading::default()).unwrap();
    assert!(!recording.has_starts());
}

#[test]
fn texts_stand_in_place_of_ids() {
    let text = r#"{"timestamp": 0, "text_input": "Name a colour.", "output_length": 10}
{"timestamp": 5, "input_length": 100, "text_input": "Name a colour.", "output_length": 10}
{"timestamp": 9, "messages": [{"role": "user", "content": "Hi"}], "tools": [{"a": 1}], "output_length": 10}
{"timestamp": 9, "input_length": 70, "output_length": 10, "model": "m", "note": ""}"#;
    let recording = all(text, Reading::default()).unwrap();
    assert!(recording.shares && recording.own_block_size.is_none());
    assert_eq!(recording.ignored.iter().collect::<Vec<_>>(), ["model"]);
    let Content::Requests(requests) = recording.content else { panic!("requests") };
    let lengths: Vec<u32> = requests.iter().map(|r| tokens(&r.prompt)).collect();
    assert_eq!(lengths, [3, 100, 2, 70]);
    let lengths_only = text.lines().last().unwrap();
    assert!(!all(lengths_only, Reading::default()).unwrap().shares);
}

/// Rows of the release have a reader of their own. It must read what the other one reads.
#[test]
fn a_plain_row_reads_like_one_with_more_fields() {
    let plain = [
        r#"{"timestamp":0,"input_length":1024,"output_length":4,"hash_ids":[0,18446744073709551615]}"#,
        r#"{"hash_ids":[3],"timestamp":1.5,"output_length":0,"input_length":0.0}"#,
        r#"{"timestamp":1e3,"input_length":512,"output_length":16777216,"hash_ids":[7]}"#,
        r#"{"timestamp":1e3,"timestamp":2e3,"input_length":9,"output_length":1,"hash_ids":[7]}"#,
        r#"{"timestamp":5,"input_length":0,"output_length":7,"hash_ids":[]}"#,
    ];
    let with_more = |row: &str| row.replace('}', r#","more":1}"#);
    let read = |rows: &[String], unit| {
        let reading = Reading { unit, ..Reading::default() };
        format!("{:?}", read_all(rows.iter(), &reading).map(|read| read.content))
    };
    for unit in [None, Some(TimeUnit::Seconds)] {
        for row in plain {
            assert_eq!(read(&[row.to_owned()], unit), read(&[with_more(row)], unit), "{row}");
        }
        let rows = &plain[..4];
        let more = rows.iter().map(|row| with_more(row)).collect::<Vec<_>>();
        assert_eq!(
            read(&rows.iter().map(|row| row.to_string()).collect::<Vec<_>>(), unit),
            read(&more, unit)
        );
    }
}
