//! What bytes can be in place of a batch.

/// Why bytes are no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("it is shorter than its lengths say")]
    Short,
    #[error("{0} bytes follow the batch")]
    Trailing(usize),
    #[error("it has a text that is not UTF-8")]
    Text,
    #[error("it has a byte that msgpack does not use")]
    Marker,
    #[error("it needs more than 64 MiB of memory")]
    TooMuch,
    #[error("{field}: expected {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error("an event has no name")]
    NoType,
    #[error("{event}: {field} is missing")]
    Missing { event: &'static str, field: &'static str },
}
