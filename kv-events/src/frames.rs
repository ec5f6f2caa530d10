//! Messages of vLLM's two sockets, as lists of frames.
//!
//! The events' socket sends `[topic, number, payload]`. The replay socket is asked with
//! `["", first number]` and answers `["", topic, number, payload]` for each batch that it still has, then an
//! end with the number -1. Versions before 0.26 have no topic in the replay.

/// The number that ends a replay.
const END: [u8; 8] = [0xff; 8];

/// One batch on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// From 0 in each life of an engine.
    pub seq: u64,
    /// See [`crate::codec`].
    pub payload: Vec<u8>,
}

/// An answer of the replay socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    Batch(Numbered),
    End,
}

/// A message that is none of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a message has {0} frames, expected {1}")]
    Count(usize, &'static str),
    #[error("a number has {0} bytes, expected 8")]
    Number(usize),
}

fn number(frame: &[u8]) -> Result<[u8; 8], FrameError> {
    frame.try_into().map_err(|_| FrameError::Number(frame.len()))
}

/// The frames of a published batch.
pub fn published(topic: &str, seq: u64, payload: &[u8]) -> [Vec<u8>; 3] {
    [topic.into(), seq.to_be_bytes().into(), payload.into()]
}

/// Reads a published batch.
pub fn read_published(frames: Vec<Vec<u8>>) -> Result<Numbered, FrameError> {
    let frames: [Vec<u8>; 3] =
        frames.try_into().map_err(|all: Vec<_>| FrameError::Count(all.len(), "3"))?;
    let [_, seq, payload] = frames;
    Ok(Numbered { seq: u64::from_be_bytes(number(&seq)?), payload })
}

/// The frames of a request for all batches from `start` on.
pub fn replay_request(start: u64) -> [Vec<u8>; 2] {
    [Vec::new(), start.to_be_bytes().into()]
}

/// Reads such a request.
pub fn read_replay_request(frames: &[Vec<u8>]) -> Result<u64, FrameError> {
    match frames {
        [delimiter, start] if delimiter.is_empty() => Ok(u64::from_be_bytes(number(start)?)),
        other => Err(FrameError::Count(other.len(), "2, the first one empty")),
    }
}

/// The frames of one answer. `topic`: None, as before version 0.26.
pub fn replayed(topic: Option<&str>, batch: Option<(u64, &[u8])>) -> Vec<Vec<u8>> {
    let mut frames = vec![Vec::new()];
    // The end has an empty frame where the topic would be.
    frames.extend(topic.map(|topic| if batch.is_some() { topic.into() } else { Vec::new() }));
    match batch {
        Some((seq, payload)) => frames.extend([seq.to_be_bytes().into(), payload.into()]),
        None => frames.extend([END.into(), Vec::new()]),
    }
    frames
}

/// Reads an answer, with a topic or without.
pub fn read_replayed(mut frames: Vec<Vec<u8>>) -> Result<Replayed, FrameError> {
    let count = frames.len();
    if !matches!(count, 3 | 4) || !frames[0].is_empty() {
        return Err(FrameError::Count(count, "3 or 4, the first one empty"));
    }
    let payload = frames.pop().unwrap_or_default();
    let seq = number(&frames.pop().unwrap_or_default())?;
    if seq == END {
        return Ok(Replayed::End);
    }
    Ok(Replayed::Batch(Numbered { seq: u64::from_be_bytes(seq), payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_read_as_it_was_written() {
        let batch = Numbered { seq: 7, payload: vec![1, 2] };
        assert_eq!(read_published(published("t", 7, &[1, 2]).into()), Ok(batch.clone()));
        assert_eq!(read_replay_request(&replay_request(9)), Ok(9));
        for topic in [None, Some(""), Some("kv@w")] {
            let frames = replayed(topic, Some((7, &[1, 2])));
            assert_eq!(frames.len(), 3 + usize::from(topic.is_some()));
            assert_eq!(read_replayed(frames), Ok(Replayed::Batch(batch.clone())));
            assert_eq!(read_replayed(replayed(topic, None)), Ok(Replayed::End));
        }
    }

    #[test]
    fn other_messages_are_errors() {
        assert!(read_published(vec![Vec::new(); 2]).is_err());
        assert!(read_published(vec![Vec::new(); 3]).is_err(), "a number of no bytes");
        assert!(read_replay_request(&[vec![1], vec![0; 8]]).is_err());
        assert!(read_replayed(vec![Vec::new(); 5]).is_err());
        assert!(read_replayed(vec![vec![1], vec![0; 8], Vec::new()]).is_err());
        assert!(read_replayed(Vec::new()).is_err());
    }
}
