use super::*;
use crate::block::{Chain, ScopePlan, hash_segments};
use crate::rng::Rng;

const GOOD: &str = r#"{"session":"a","bs":4,"scope":"local","tool_tokens":9,"requests":[
    {"t_ms":0,"model":"m","in":10,"out":3,"think_ms":7,"api_ms":500,"runs":[[1,1],[2,1]]},
    {"t_ms":900,"in":12,"out":0,"think_ms":400,"api_ms":100,"runs":[[1,2],[9,1]],"stop":null}]}"#;

fn good() -> String {
    GOOD.replace('\n', "")
}

#[test]
fn a_line_becomes_a_session() {
    let text = format!("\u{feff}{}\r\n\r\n", good());
    let (sessions, block) = read(text.lines()).unwrap();
    assert_eq!((sessions.len(), block), (1, 4));
    let [first, second] = sessions[0].requests.as_slice() else { panic!("two requests") };
    let lengths = |request: &RecordedRequest| -> Vec<u32> {
        request.prompt.iter().map(Segment::tokens).collect()
    };
    // Adjacent runs are joined, and the partial block is a tail.
    assert_eq!(lengths(first), [8, 2]);
    assert_eq!(lengths(second), [8, 4]);
    assert_eq!(first.prompt[0], second.prompt[0]);
    assert_eq!((first.output_tokens, second.output_tokens), (3, 1));
    assert!(first.after.is_empty());
    assert_eq!(second.after.as_slice(), [0]);
    assert_eq!((first.think, second.think), (Duration::ZERO, Duration::from_millis(400)));
    assert_eq!(first.service, Duration::from_millis(500));
}

#[test]
fn agents_and_sub_agents_wait_for_each_other_as_recorded() {
    let request = |t, think, api| {
        format!(r#"{{"t_ms":{t},"in":4,"out":1,"think_ms":{think},"api_ms":{api},"runs":[[1,1]]}}"#)
    };
    let sub = |t, duration: &str, requests: &[String]| {
        let requests = requests.join(",");
        format!(r#"{{"sub":"s","t_ms":{t},"duration_ms":{duration},"requests":[{requests}]}}"#)
    };
    let two = [request(0, 0, 50), request(90, 40, 50)];
    let requests = [
        request(0, 0, 1_000),           // 0
        sub(6_000, "4000", &two),       // 1, 2: from 2,000 to 6,000
        sub(9_000, "7900", &two[..1]),  // 3: from 1,100 to 9,000
        sub(3_000, "null", &two[..1]),  // 4: from 3,000; no request waits for it
        request(9_500, 8_500, 100),     // 5: 500 after the last sub-agent
        request(9_700, 70, 100),        // 6
        sub(12_000, "2200", &two[..1]), // 7: from 9,800, as soon as 6 has ended
    ]
    .join(",");
    let line = format!(r#"{{"session":"a","bs":4,"scope":"local","requests":[{requests}]}}"#);
    let (sessions, _) = read([line.as_str()].into_iter()).unwrap();
    let seen: Vec<_> = sessions[0]
        .requests
        .iter()
        .map(|r| (r.agent, r.after.to_vec(), r.think.as_nanos() / 1_000_000))
        .collect();
    let expected = [
        (0, vec![], 0),
        (1, vec![0], 1_000),
        (1, vec![1], 40),
        (2, vec![0], 100),
        (3, vec![0], 2_000),
        (0, vec![2, 3, 0], 500),
        (0, vec![5], 70),
        (4, vec![6], 0),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn errors_have_line_and_field() {
    let swap = |from: &str, to: &str| {
        let text = good().replace("\"a\"", "\"b\"");
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let cases = [
        ("nonsense".to_owned(), "line 2: not a JSON object: "),
        (r#"{"session":"b""#.to_owned(), "line 2: not a JSON object: EOF"),
        ("[]".to_owned(), "line 2: not a JSON object: "),
        (good(), "line 2: session: \"a\" is on line 1 too, expected a unique name"),
        (swap("\"b\"", "7"), "line 2: session: 7, expected a string"),
        (swap("\"bs\":4", "\"bs\":0"), "line 2: bs: 0, expected a whole number from 1"),
        (swap("\"bs\":4", "\"bs\":8"), "line 2: bs: 8, expected 4 as in the lines before"),
        (swap("\"bs\":4,", ""), "line 2: bs: missing, expected a whole number from 1"),
        (swap("local", "global"), "line 2: scope: \"global\", expected \"local\""),
        (swap("\"requests\"", "\"turns\""), "line 2: requests: missing, expected a list"),
        (swap("{\"t_ms\":900", "5,{\"t_ms\":900"), "line 2: requests[1]: 5, expected an object"),
        (swap("\"t_ms\":0", "\"t_ms\":901"), "line 2: requests[1].t_ms: 900, expected 901 or more"),
        (swap("\"t_ms\":0", "\"t_ms\":\"x\""), "line 2: requests[0].t_ms: \"x\", expected"),
        (swap("\"in\":10", "\"in\":-10"), "line 2: requests[0].in: -10, expected"),
        (swap("\"in\":10", "\"in\":1e30"), "line 2: requests[0].in: 1e+30, expected"),
        (swap("\"in\":10", "\"in\":0"), "line 2: requests[0].runs: 2 blocks, expected 0, "),
        (swap("\"in\":10", "\"in\":7"), "line 2: requests[0].runs: 2 blocks, expected 1, "),
        (swap("\"in\":12", "\"in\":16"), "line 2: requests[1].runs: 3 blocks, expected 4, "),
        (swap("\"out\":3", "\"out\":null"), "line 2: requests[0].out: null, expected"),
        (swap("\"think_ms\":7,", ""), "line 2: requests[0].think_ms: missing, expected"),
        (swap("\"api_ms\":100", "\"api_ms\":0.5"), "line 2: requests[1].api_ms: 0.5, expected"),
        (swap("[2,1]", "[2,0]"), "line 2: requests[0].runs: [2,0], expected [first id, count]"),
        (swap("[2,1]", "[2]"), "line 2: requests[0].runs: [2], expected"),
        (swap("[2,1]", "2"), "line 2: requests[0].runs: 2, expected"),
        (swap("[2,1]", "[-2,1]"), "line 2: requests[0].runs: [-2,1], expected"),
        (
            swap("[2,1]", "[18446744073709551615,1]"),
            "line 2: requests[0].runs: [18446744073709551615,1], expected",
        ),
        (swap("[[1,1],[2,1]]", "{}"), "line 2: requests[0].runs: {}, expected a list"),
        (
            swap("{\"t_ms\":900", "{\"sub\":\"s\",\"t_ms\":9,\"requests\":[]},{\"t_ms\":900"),
            "line 2: requests[1].requests: empty, expected at least one",
        ),
        (
            swap(
                "{\"t_ms\":900",
                "{\"sub\":\"s\",\"t_ms\":9,\"requests\":[{\"sub\":1}]},{\"t_ms\":900",
            ),
            "line 2: requests[1].requests[0].sub: a sub-agent of a sub-agent",
        ),
    ];
    let first = good();
    for (bad, expected) in cases {
        let error = read([first.as_str(), bad.as_str()].into_iter()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{bad}\n gave {error}\n not {expected}");
        assert!(!error.contains('\n'));
    }
    for empty in ["", "\u{feff}", " \n\r\n"] {
        assert_eq!(read(empty.lines()), Err(TraceError::Empty));
    }
}

/// Prompts as agents send them. Most extend the history, some cut it and continue differently, a few
/// return to an earlier prompt or start anew.
fn grown_ids(rng: &mut Rng, turns: u64) -> Vec<Vec<u64>> {
    let mut fresh = 1;
    let mut all: Vec<Vec<u64>> = Vec::new();
    for _ in 0..turns {
        let base = match (rng.below(10), all.len() as u64) {
            (_, 0) | (0, _) => Vec::new(),
            (1, past) => all[rng.below(past) as usize].clone(),
            _ => all.last().cloned().unwrap_or_default(),
        };
        let kept = if rng.below(3) == 0 { rng.below(base.len() as u64 + 1) } else { u64::MAX };
        let mut ids: Vec<u64> = base.into_iter().take(kept.min(1 << 20) as usize).collect();
        let more = rng.below(40);
        ids.extend(fresh..fresh + more);
        // At random, the next new id follows the last one or leaves a gap.
        fresh += more + rng.below(2);
        all.push(ids);
    }
    all
}

/// The ids as runs that are cut at random places: the reader must not depend on the cuts.
fn written(rng: &mut Rng, ids: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == id && rng.below(4) > 0 => *count += 1,
            _ => runs.push((id, 1)),
        }
    }
    format!("{runs:?}").replace('(', "[").replace(')', "]")
}

/// Two prompts share the prefix that their ids share, with any block size that divides the trace's.
#[test]
fn prompts_share_the_prefix_of_their_ids() {
    let mut rng = Rng::named(5, &[]);
    let mut all: Vec<(u64, Vec<u64>)> = Vec::new();
    let mut lines = Vec::new();
    for session in 0..3 {
        let mut requests = Vec::new();
        for (turn, ids) in grown_ids(&mut rng, 25).into_iter().enumerate() {
            let runs = written(&mut rng, &ids);
            let input = ids.len() as u64 * 16 + rng.below(16).max(u64::from(ids.is_empty()));
            requests.push(format!(
                r#"{{"t_ms":{turn},"in":{input},"out":9,"think_ms":1,"api_ms":1,"runs":{runs}}}"#
            ));
            all.push((session, ids));
        }
        let requests = requests.join(",");
        lines.push(format!(
            r#"{{"session":"s{session}","bs":16,"scope":"local","requests":[{requests}]}}"#
        ));
    }
    let (sessions, _) = read(lines.iter().map(String::as_str)).unwrap();
    for block in [16, 8, 4, 1] {
        let scope = ScopePlan::new("", "", "", block);
        let chains: Vec<Chain> = sessions
            .iter()
            .flat_map(|session| &session.requests)
            .map(|request| hash_segments(&scope, &request.prompt))
            .collect();
        for (i, a) in chains.iter().enumerate() {
            for (j, b) in chains.iter().enumerate().take(i) {
                let same = all[i].0 == all[j].0;
                let equal = all[i].1.iter().zip(&all[j].1).take_while(|(a, b)| a == b).count();
                let expected = if same { equal as u32 * (16 / block) } else { 0 };
                let to = a.blocks().min(b.blocks());
                assert_eq!(a.agree_until(b, 0, to), expected, "{i} and {j} in blocks of {block}");
            }
        }
    }
}
