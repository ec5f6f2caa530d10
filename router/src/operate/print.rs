//! The router's answers: for people as text, for programs as JSON.

use crate::answers;
use serde::Serialize;
use warmpath_proto::v1::{
    AddWorkerResponse, DrainWorkerResponse, ExplainResponse, FleetEvent, GetPolicyResponse,
    ListEventsResponse, ListShadowsResponse, ListSiblingsResponse, ListWorkersResponse,
    RemoveWorkerResponse, SetPolicyResponse, UndrainWorkerResponse, Worker,
};
use warmpath_sheet::{Page, Width, legend, render};

/// How an answer is printed.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// As the JSON of the admin service; otherwise as text.
    pub json: bool,
    /// Whether the text says what each column means.
    pub columns: bool,
    /// Whether a list of workers has the numbers of their lives.
    pub epochs: bool,
    /// How wide the text may be.
    pub width: Width,
}

/// An answer of the admin service.
pub trait Answer: Serialize {
    /// What a person reads.
    fn page(&self, style: Style) -> Page;
}

/// The answer, without a line feed at its end.
pub fn print(answer: &impl Answer, style: Style) -> String {
    if style.json {
        return serde_json::to_string_pretty(answer).unwrap_or_else(|error| error.to_string());
    }
    let mut page = answer.page(style);
    if style.columns {
        let legends: Vec<_> = page.sheets().map(legend).collect();
        legends.into_iter().for_each(|legend| page.sheet(legend));
    }
    render::page(&page, style.width).trim_end().to_owned()
}

macro_rules! answers {
    ($($answer:ident => $page:expr;)*) => {$(
        impl Answer for $answer {
            fn page(&self, style: Style) -> Page {
                let page: fn(&$answer, Style) -> Page = $page;
                page(self, style)
            }
        }
    )*};
}

answers! {
    ListWorkersResponse => |answer, style| workers(&answer.workers, style);
    AddWorkerResponse => |answer, _| line(format!("w{} added; it takes requests when it has joined", answer.number));
    RemoveWorkerResponse => |answer, _| line(match answer.left {
        0 => "removed".to_owned(),
        left => format!("removed; {left} requests had not ended and run to their end"),
    });
    DrainWorkerResponse => |answer, style| workers(answer.worker.as_slice(), style);
    UndrainWorkerResponse => |answer, style| workers(answer.worker.as_slice(), style);
    GetPolicyResponse => |answer, _| line(format!("{}: {}", answer.policy, answer.rule));
    SetPolicyResponse => |answer, _| line(format!("set; {} before", answer.before));
    ExplainResponse => |answer, _| answers::explanation(answer);
    ListEventsResponse => |answer, _| events(&answer.events);
    ListShadowsResponse => |answer, _| answers::shadows(answer);
    ListSiblingsResponse => |answer, _| answers::siblings(answer);
}

fn line(text: String) -> Page {
    let mut page = Page::default();
    page.prose([text]);
    page
}

fn workers(workers: &[Worker], style: Style) -> Page {
    let mut page = Page::default();
    page.sheet(answers::workers(workers, style.epochs));
    page
}

fn events(events: &[FleetEvent]) -> Page {
    let mut page = Page::default();
    page.sheet(answers::events(events));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmpath_proto::v1::WorkerStanding;

    fn printed(json: bool, columns: bool) -> String {
        let mut worker = Worker { url: "http://h:1".to_owned(), ..Default::default() };
        worker.set_standing(WorkerStanding::Lost);
        print(
            &ListWorkersResponse { workers: vec![worker] },
            Style { json, columns, epochs: false, width: 100.into() },
        )
    }

    #[test]
    fn json_is_the_services_own() {
        assert!(printed(true, true).contains("\"standing\": \"lost\""), "{}", printed(true, true));
        let answer = ExplainResponse { runner_up: Some(10), ..Default::default() };
        let json =
            print(&answer, Style { json: true, columns: false, epochs: false, width: 100.into() });
        assert!(json.contains("\"runner_up\": 10"), "{json}");
    }

    #[test]
    fn columns_are_explained_on_demand() {
        let (table, explained) = (printed(false, false), printed(false, true));
        let legend = explained.strip_prefix(&table).unwrap();
        assert!(legend.contains("\nbacklog s"), "{explained}");
        assert!(legend.contains("Requests in its queue, by its last report."), "{explained}");
        assert!(!table.contains("Requests in its queue"), "{table}");
    }
}
