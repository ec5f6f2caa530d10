//! The error of a trace reader.

/// A trace that cannot be read. The caller adds the file's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TraceError {
    /// The file has no request.
    #[error("no requests, expected at least one")]
    Empty,
    /// A field of a line is missing or has a bad value.
    #[error("line {line}: {field}: {why}")]
    Field {
        /// The line, from 1.
        line: usize,
        /// The path of the field in the line.
        field: String,
        /// The value and what was expected.
        why: String,
    },
    /// A line of a JSON format is not a JSON object.
    #[error("line {line}: not a JSON object: {why}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The JSON parser's message.
        why: String,
    },
    /// The worker's block size would split the blocks that the trace compares.
    #[error("block size {block_size}, expected a divisor of the trace's block size {trace_block}")]
    BlockSize {
        /// The worker's block size in tokens.
        block_size: u32,
        /// The trace's block size in tokens.
        trace_block: u32,
    },
}

impl TraceError {
    /// The line, from 1, and the rest of the message. None: the error is about no line.
    pub fn place(&self) -> Option<(usize, String)> {
        match self {
            Self::Field { line, field, why } => Some((*line, format!("{field}: {why}"))),
            Self::NotJson { line, why } => Some((*line, format!("not a JSON object: {why}"))),
            Self::Empty | Self::BlockSize { .. } => None,
        }
    }
}
