//! What other routers before the same fleet do, and what they are told.

use super::Router;
use crate::id::RequestId;
use crate::request::Request;
use crate::routing::observed::Observed;
use crate::routing::siblings::{News, RouterId};
use crate::time::Instant;

impl Router {
    /// What siblings are to be told since the last call, in this order.
    pub fn take_news(&mut self) -> Vec<News> {
        core::mem::take(&mut self.news)
    }

    /// A sibling's request is booked like an own one, and a rule sees it like an own one. But no worker is
    /// judged by it, and its client hears nothing from here.
    pub(super) fn hear(&mut self, now: Instant, router: RouterId, news: &News) {
        let id = news.id();
        let own = match news {
            News::Sent { .. } => None,
            News::PrefillDone(_) | News::FirstToken(_) => self.sibling_requests.get(router, id),
            News::Finished { .. } | News::Cancelled(_) => self.sibling_requests.remove(router, id),
        };
        let Some(id) = own else {
            if let News::Sent { request, decision } = news {
                let (id, before) = self.sibling_requests.add(router, request.id);
                if let Some(before) = before {
                    self.end_of_sibling(now, before);
                }
                let request = Request { id, ..request.clone() };
                if self.fleet.book_of_sibling(now, &request, decision) {
                    self.decided += 1;
                    let request = &request;
                    self.rule.observe(now, &Observed::Dispatched { request, decision });
                }
            }
            return;
        };
        match news {
            News::Sent { .. } => {}
            News::PrefillDone(_) => {
                self.fleet.kv_sent(now, id);
                self.rule.observe(now, &Observed::PrefillDone(id));
            }
            News::FirstToken(_) => {
                self.fleet.first_token(now, id);
                self.rule.observe(now, &Observed::FirstToken(id));
            }
            News::Cancelled(_) => self.end_of_sibling(now, id),
            &News::Finished { cached_tokens, ref by_origin, output_tokens, .. } => {
                self.fleet.end(now, id, true);
                let by_origin = by_origin.as_ref();
                let what = Observed::Finished { id, cached_tokens, by_origin, output_tokens };
                self.rule.observe(now, &what);
            }
        }
    }

    /// A sibling is gone, and with it the word of how its requests end.
    pub(super) fn lose_sibling(&mut self, now: Instant, router: RouterId) {
        for id in self.sibling_requests.lose(router) {
            self.end_of_sibling(now, id);
        }
    }

    fn end_of_sibling(&mut self, now: Instant, id: RequestId) {
        self.fleet.end(now, id, false);
        self.rule.observe(now, &Observed::Cancelled(id));
    }
}
