//! The admin service: what an operator's command prints of any answer, and what is asked.

use super::question;
use prost::Message;
use warmpath_core::routing::policy::PolicyConfig;
use warmpath_proto::admin;
use warmpath_proto::raw::Bytes;
use warmpath_proto::v1::{
    Candidate, ExplainRequest, ExplainResponse, FleetEvent, LeftOut, ListEventsResponse,
    ListWorkersResponse, Part, Pull, Score, SetPolicyRequest, Terms, Worker, WorkerStanding,
    explain_request::About,
};
use warmpath_router::answers;
use warmpath_sheet::{Page, render};

fn shown(page: &Page) {
    for width in [40, 120] {
        render::page(page, width);
    }
}

pub fn explanation(message: &Bytes) {
    let Ok(answer) = <ExplainResponse as Message>::decode(message.clone()) else { return };
    shown(&answers::explanation(&answer));
    serde_json::to_string(&answer).expect("JSON");
}

/// A list of workers in its even fields, a list of events in others: both are read from the same bytes.
pub fn lists(message: &Bytes) {
    let mut page = Page::default();
    if let Ok(answer) = ListWorkersResponse::decode(message.clone()) {
        page.sheet(answers::workers(&answer.workers, true));
        serde_json::to_string(&answer).expect("JSON");
    }
    if let Ok(answer) = ListEventsResponse::decode(message.clone()) {
        page.sheet(answers::events(&answer.events));
        serde_json::to_string(&answer).expect("JSON");
    }
    shown(&page);
}

pub fn questions(message: &Bytes) {
    if let Ok(ExplainRequest { about: Some(About::GenerateRequest(bytes)), .. }) =
        ExplainRequest::decode(message.clone())
        && admin::request_from_wire(&bytes).is_ok()
    {
        question::run(&Bytes::from(bytes));
    }
    if let Ok(SetPolicyRequest { policy }) = SetPolicyRequest::decode(message.clone())
        && let Ok(rule) = policy.parse::<PolicyConfig>()
    {
        let spelled = rule.to_string();
        assert_eq!(spelled.parse(), Ok(rule), "{policy} is spelled {spelled}");
    }
}

pub fn explanations() -> Vec<Vec<u8>> {
    let terms = Terms { queue_s: 0.5, prefill_s: 1.0, total_s: 1.5, ..Terms::default() };
    let score = Score {
        value: 0.5,
        parts: vec![Part { name: "load".to_owned(), value: 0.25 }],
        highest: true,
    };
    let candidate = |number| Candidate {
        number,
        active_requests: 2,
        overlap_by_tier: vec![3, 1, 0, 0],
        terms: Some(terms),
        pull: Some(Pull { from: "w1".to_owned(), blocks: 4 }),
        name: "worker".to_owned(),
        score: Some(score.clone()),
    };
    let answer = ExplainResponse {
        request_id: "r-1".to_owned(),
        number: 7,
        policy: "warmpath".to_owned(),
        rule: "The least cost.".to_owned(),
        at_s: 1.5,
        prompt_tokens: 100,
        chosen: 1,
        candidates: vec![candidate(0), candidate(1)],
        runner_up: Some(0),
        margin_s: Some(0.1),
        waited_s: 0.2,
        because: "the least cost".to_owned(),
        left_out: vec![LeftOut { number: 2, name: "x".to_owned(), why: "drains".to_owned() }],
        ..Default::default()
    };
    let wild = ExplainResponse {
        at_s: f64::NAN,
        waited_s: f64::NEG_INFINITY,
        prompt_tokens: u32::MAX,
        number: u64::MAX,
        chosen: u32::MAX,
        margin_s: Some(1e308),
        ..answer.clone()
    };
    let held = ExplainResponse { held_until_s: Some(2.0), ..answer.clone() };
    vec![answer.encode_to_vec(), held.encode_to_vec(), wild.encode_to_vec()]
}

pub fn list_seeds() -> Vec<Vec<u8>> {
    let mut worker = Worker {
        number: 1,
        url: "http://h:1".to_owned(),
        why: "silent".to_owned(),
        epoch: Some(3),
        model: "m".to_owned(),
        block_size: 16,
        total_blocks: Some(100),
        backlog_s: 0.5,
        name: "é\u{1b}[31m".to_owned(),
        ..Worker::default()
    };
    worker.set_standing(WorkerStanding::Lost);
    let event = FleetEvent {
        number: 1,
        ago_ms: 5,
        what: "lost".to_owned(),
        worker: "w1".to_owned(),
        name: "n".to_owned(),
        detail: "its feed ended".to_owned(),
    };
    vec![
        ListWorkersResponse { workers: vec![worker.clone(), worker] }.encode_to_vec(),
        ListEventsResponse { events: vec![event.clone(), event] }.encode_to_vec(),
    ]
}

pub fn question_seeds() -> Vec<Vec<u8>> {
    let about = Some(About::GenerateRequest(question::request().encode_to_vec()));
    let explain = ExplainRequest { about, tenant: "t".to_owned() };
    let policy = |text: &str| SetPolicyRequest { policy: text.to_owned() }.encode_to_vec();
    let mut all = vec![explain.encode_to_vec()];
    all.extend(PolicyConfig::ALL.iter().map(|rule| policy(&rule.to_string())));
    all.push(policy("dynamo+hold(order=wspt,look=5)"));
    all.push(policy("session-affinity(bound=1.5)"));
    all
}
