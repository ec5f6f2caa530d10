//! Refusals as gRPC statuses.

use crate::refusal::Refusal;
use std::time::Duration;
use tonic::{Code, Status};
use warmpath_proto::status;

/// The status of a refusal.
pub fn of_refusal(refusal: Refusal) -> Status {
    let code = match refusal {
        Refusal::Submit(error) => return status::from_submit(error),
        Refusal::Fetch(error) => return status::from_fetch(error),
        // Another worker may take it at once.
        Refusal::Draining(_) => {
            let status = Status::unavailable(refusal.to_string());
            return status::with_pushback(status, Duration::ZERO);
        }
        Refusal::Stopped | Refusal::Torn { .. } => Code::Unavailable,
        Refusal::NameInUse(_) => Code::AlreadyExists,
        Refusal::Field { .. } => Code::InvalidArgument,
    };
    Status::new(code, refusal.to_string())
}
