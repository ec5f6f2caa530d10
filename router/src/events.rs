//! What happened to the fleet lately: joins, losses, drains, changes of the policy. A load test reads
//! it to say what the operator did meanwhile.

use crate::fleet::worker::WorkerLink;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use warmpath_proto::clock::now;
use warmpath_proto::v1::FleetEvent;

/// Events that are kept. Each is some 200 bytes.
const KEPT: usize = 1_024;
/// A reason longer than this is cut.
const LONGEST_DETAIL: usize = 300;

/// The last events, oldest first.
#[derive(Debug, Default)]
pub struct Events(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    kept: VecDeque<(Instant, FleetEvent)>,
}

impl Events {
    /// Something happened to a worker.
    pub fn worker(&self, what: &str, link: &WorkerLink, detail: &str) {
        self.push(what, (&link.name, &link.given()), detail);
    }

    /// Something happened to the whole fleet.
    pub fn fleet(&self, what: &str, detail: &str) {
        self.push(what, ("", ""), detail);
    }

    fn push(&self, what: &str, (worker, name): (&str, &str), detail: &str) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        let detail = &detail[..detail.floor_char_boundary(LONGEST_DETAIL)];
        let event = FleetEvent {
            number: inner.last,
            ago_ms: 0,
            what: what.to_owned(),
            worker: worker.to_owned(),
            name: name.to_owned(),
            detail: detail.to_owned(),
        };
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back((now(), event));
    }

    /// The kept events with a higher number, and how long ago they were.
    pub fn after(&self, number: u64) -> Vec<FleetEvent> {
        let now = now();
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = inner.kept.iter().filter(|(_, event)| event.number > number);
        let ago = |at: Instant| now.saturating_duration_since(at).as_millis() as u64;
        kept.map(|(at, event)| FleetEvent { ago_ms: ago(*at), ..event.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_and_numbered() {
        let events = Events::default();
        for i in 0..KEPT + 3 {
            events.fleet("policy", &format!("{i}{}", "x".repeat(1_000)));
        }
        let all = events.after(0);
        assert_eq!((all.len(), all[0].number), (KEPT, 4));
        assert!(all.iter().all(|event| event.detail.len() <= LONGEST_DETAIL));
        let last = all.last().unwrap().number;
        assert_eq!(events.after(last - 1).len(), 1);
        assert_eq!(events.after(last), []);
    }
}
