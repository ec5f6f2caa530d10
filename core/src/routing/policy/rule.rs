//! What a rule is: the one thing that a rule's file implements.

use super::parameter::Parameters;
use crate::request::Request;
use crate::routing::decision::Choice;
use crate::routing::observed::Observed;
use crate::routing::view::FleetView;
use crate::time::{Duration, Instant};
use core::fmt;

/// A routing rule. Its parameters are its fields. It has no clock, no random generator and no memory
/// except the declared one. A rule that chooses at random hashes names instead (the router's seed and
/// the request's id), so that equal runs choose alike.
pub trait Policy: Parameters {
    /// As a person writes it.
    const NAME: &'static str;

    /// What it decides by, in a sentence.
    const RULE: &'static str;

    /// What the rule remembers between requests. It is empty when the rule is set; then the rule hears
    /// that the workers joined which are there already.
    type Memory: fmt::Debug;

    /// An empty memory.
    fn memory(&self) -> Self::Memory;

    /// How often it reads the load of its workers, as its authors deploy it. None: each report as it
    /// comes.
    fn poll(&self) -> Option<Duration> {
        None
    }

    /// Each input before anything is decided because of it, and each action right after it is taken.
    fn observe(&self, _memory: &mut Self::Memory, _now: Instant, _what: &Observed<'_>) {}

    /// Where to send a request, or how long to hold it. Equal arguments give an equal choice. A held
    /// request is asked about again; the rule does not see the difference.
    fn choose(&self, memory: &Self::Memory, request: &Request, view: &FleetView<'_>) -> Choice;
}
