//! What kind of failure a status code means, whatever protocol it came by.

use crate::call::FailureKind;
use tonic::Code;

pub const fn kind_of(code: Code) -> FailureKind {
    match code {
        Code::InvalidArgument => FailureKind::InvalidRequest,
        Code::NotFound => FailureKind::NotFound,
        Code::AlreadyExists => FailureKind::AlreadyExists,
        Code::FailedPrecondition => FailureKind::FailedPrecondition,
        Code::ResourceExhausted => FailureKind::ResourceExhausted,
        Code::OutOfRange => FailureKind::OutOfRange,
        Code::DeadlineExceeded => FailureKind::DeadlineExceeded,
        Code::Unimplemented => FailureKind::Unsupported,
        _ => FailureKind::Unavailable,
    }
}
