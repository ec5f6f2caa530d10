//! Fair shares of tenants: start-time fair queueing (Goyal, Vin and Cheng 1996). Each tenant has a clock
//! that goes forward by the cost of its requests over its weight. A request stands in the queue by its
//! tenant's clock, which is never behind the place of what was sent last: a tenant saves up nothing while
//! it asks for nothing.
//!
//! The cost is that of DLPM (Cao et al. 2025): prompt tokens that are not cached, and two for each answer
//! token. How long an answer will be is learned from the tenant's answers.

use crate::hash::Map;
use crate::id::TenantId;
use crate::request::Request;

/// The cost of an answer token, where a prompt token costs 1.
const ANSWER_TOKEN: f64 = 2.0;
/// The weight of a new answer's length.
const NEWEST: f64 = 0.1;

#[derive(Clone, Copy, Default, Debug)]
struct Tenant {
    clock: i64,
    /// The mean length of its answers, and the mean share of what was asked for at most.
    tokens: Option<f64>,
    share: Option<f64>,
}

/// The clocks of all tenants.
#[derive(Default, Debug)]
pub struct Fair {
    of: Map<TenantId, Tenant>,
    /// Of the request that was sent last.
    clock: i64,
}

impl Fair {
    /// The place of a tenant's next request.
    pub fn place(&self, tenant: TenantId) -> i64 {
        self.of.get(&tenant).map_or(self.clock, |own| own.clock.max(self.clock))
    }

    /// The cost of a request with so many prompt tokens to compute.
    pub fn cost(&self, request: &Request, new_tokens: u32, weight: f64) -> i64 {
        let answer = self.answer_tokens(request).unwrap_or_default();
        let cost = f64::from(new_tokens) + ANSWER_TOKEN * answer;
        // At least 1, so that requests of one tenant keep their order.
        (cost / weight).clamp(1.0, 1e12) as i64
    }

    /// A request of this cost was taken on, at this place.
    pub fn charge(&mut self, tenant: TenantId, place: i64, cost: i64) {
        self.of.entry(tenant).or_default().clock = place.saturating_add(cost);
    }

    /// A request was sent from this place.
    pub fn sent(&mut self, start: i64) {
        self.clock = self.clock.max(start);
    }

    /// An answer of so many tokens is complete.
    pub fn answered(&mut self, tenant: TenantId, tokens: u32, most: Option<u32>) {
        let own = self.of.entry(tenant).or_default();
        let mix = |mean: Option<f64>, new: f64| Some(mean.map_or(new, |m| m + NEWEST * (new - m)));
        own.tokens = mix(own.tokens, f64::from(tokens));
        if let Some(most) = most.filter(|&most| most > 0) {
            own.share = mix(own.share, f64::from(tokens) / f64::from(most));
        }
    }

    /// How many tokens the answer of a request is likely to have. None: the tenant has no answers yet.
    pub fn answer_tokens(&self, request: &Request) -> Option<f64> {
        let own = self.of.get(&request.tenant)?;
        match (request.max_new_tokens, own.share) {
            (Some(most), Some(share)) => Some(f64::from(most) * share),
            _ => own.tokens,
        }
    }
}
