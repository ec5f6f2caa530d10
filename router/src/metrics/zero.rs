//! Series that are there before anything is counted, at 0: a rate sees their first increase, and an alert about
//! them can tell "never" from "no such series".

use super::{
    ATTEMPTS_FAILED, CONNECTIONS_ENDED, HOLD, REFUSED, RESYNCS, TRIED_AGAIN, UNCLAIMED, served,
};
use crate::policy::ActivePolicy;
use crate::series::{EXPECTED, FOUND, NOT_EXPECTED, NOT_FOUND, REQUESTS};
use metrics::{counter, histogram};
use std::sync::Arc;
use warmpath_core::routing::input::Failure;

/// What clients are told most often when they get no answer.
const CODES: [&str; 6] = [
    "InvalidArgument",
    "DeadlineExceeded",
    "ResourceExhausted",
    "Unavailable",
    "Unauthenticated",
    "Internal",
];
const LIMITS: [&str; 9] = [
    "connections",
    "connections_per_address",
    "handshake",
    "header",
    "empty_frames",
    "stall",
    "close",
    "tls",
    "accept",
];
const HOLD_ENDS: [&str; 6] =
    ["dispatched", "rejected", "aborted", "deadline_exceeded", "client_gone", "draining"];
const FAILURES: [Failure; 6] = [
    Failure::NotTaken,
    Failure::BeforeFirstToken,
    Failure::MidStream,
    Failure::NoHeaders,
    Failure::NoFirstToken,
    Failure::Stalled,
];
const RESYNC_WHY: [&str; 4] = ["gap", "digest", "decode", "lag"];

/// The series of the router itself, with the rule that it starts with.
pub fn router(policy: &ActivePolicy) {
    counter!(UNCLAIMED).increment(0);
    for why in LIMITS {
        counter!(CONNECTIONS_ENDED, "why" => why).increment(0);
    }
    for code in CODES {
        counter!(REFUSED, "policy" => Arc::clone(&policy.label), "code" => code).increment(0);
    }
    for outcome in HOLD_ENDS {
        // A histogram is there once it is named.
        let _ = histogram!(HOLD, "outcome" => outcome);
    }
    served::zero(policy);
}

/// The series of a worker that the router was told of.
pub fn worker(worker: &str, policy: &ActivePolicy) {
    let name = || worker.to_owned();
    for how in FAILURES {
        counter!(ATTEMPTS_FAILED, "worker" => name(), "how" => how.name()).increment(0);
    }
    for why in RESYNC_WHY {
        counter!(RESYNCS, "worker" => name(), "why" => why).increment(0);
    }
    counter!(TRIED_AGAIN, "worker" => name()).increment(0);
    for blocks in [EXPECTED, FOUND, NOT_FOUND, NOT_EXPECTED] {
        counter!(blocks, "worker" => name()).increment(0);
    }
    for outcome in ["finished", "worker_failed"] {
        let policy = Arc::clone(&policy.label);
        counter!(REQUESTS, "worker" => name(), "policy" => policy, "outcome" => outcome)
            .increment(0);
    }
}
