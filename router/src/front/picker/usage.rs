//! What an answer says of its tokens, read out of its last bytes: a JSON object, or events with JSON.

use super::words::AnswerHead;

/// The last bytes of an answer that are kept. A usage is at the end of it and has some hundred bytes.
const KEPT: usize = 4_096;

/// The last event of a stream.
const DONE: &[u8] = b"data: [DONE]";

#[derive(Debug, Default)]
pub struct Usage {
    tail: Vec<u8>,
    /// Parts of the answer.
    parts: u32,
    is_stream: bool,
    /// Bytes that have not come yet. None: the answer's length is not known.
    left: Option<u64>,
}

/// What an answer says of itself. What it does not say is None.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    pub answer_tokens: Option<u32>,
    /// Prompt tokens that were cached.
    pub cached_tokens: Option<u32>,
}

impl Usage {
    /// Of an answer that begins so.
    pub fn of(head: &AnswerHead) -> Self {
        Self { is_stream: head.is_stream, left: head.length, ..Self::default() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.parts = self.parts.saturating_add(1);
        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
    }

    /// Whether nothing of the answer can follow. A client may leave then, before its connection ends.
    pub fn is_whole(&self) -> bool {
        self.left == Some(0) || (self.is_stream && self.is_done())
    }

    /// A line of its own: inside a text, the end of a line is escaped.
    fn is_done(&self) -> bool {
        let end = self.tail.trim_ascii_end();
        let before = end.strip_suffix(DONE);
        end.len() < self.tail.len() && before.is_some_and(|b| b.is_empty() || b.ends_with(b"\n"))
    }

    /// A stream without a usage has a token in each part, about; nothing else tells its length.
    pub fn told(&self) -> Told {
        let parts = self.is_stream.then_some(self.parts);
        Told {
            answer_tokens: self.last("\"completion_tokens\":").or(parts),
            cached_tokens: self.last("\"cached_tokens\":"),
        }
    }

    /// The number after the last such key. A text inside the answer has its quotes escaped, so it is no key.
    fn last(&self, key: &str) -> Option<u32> {
        let text = String::from_utf8_lossy(&self.tail);
        let after = text[text.rfind(key)? + key.len()..].trim_start();
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end].parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Usage {
        Usage::of(&AnswerHead { status: 200, length: None, is_stream: true })
    }

    #[test]
    fn tokens_are_read_from_the_end_of_an_answer() {
        let mut usage = Usage::default();
        usage.push(br#"{"choices":[{"text":"\"cached_tokens\": 9"}],"#);
        usage.push(
            br#""usage":{"completion_tokens": 7,"prompt_tokens_details":{"cached_tokens":48}}}"#,
        );
        let told = Told { answer_tokens: Some(7), cached_tokens: Some(48) };
        assert_eq!(usage.told(), told);
        let mut none = stream();
        none.push(&[b'x'; 10_000]);
        none.push(br#"data: {"text":"\"cached_tokens\": 9"}"#);
        assert_eq!(none.told(), Told { answer_tokens: Some(2), cached_tokens: None });
        assert!(none.tail.len() <= KEPT);
        // A worker that counts no hits, and one that counts nothing.
        let mut usage = Usage::default();
        usage.push(br#"{"usage":{"completion_tokens":7,"prompt_tokens_details":null}}"#);
        assert_eq!(usage.told(), Told { answer_tokens: Some(7), cached_tokens: None });
        let mut nothing = Usage::default();
        nothing.push(b"{}");
        assert_eq!(nothing.told(), Told { answer_tokens: None, cached_tokens: None });
    }

    #[test]
    fn an_answer_is_whole_after_its_last_event_or_its_last_byte() {
        let mut usage = stream();
        for (part, is_whole) in [
            ("data: {\"text\":\"data: [DONE]", false),
            ("\\n\"}\n\n", false),
            ("data: [DONE]", false),
            ("\n\n", true),
        ] {
            usage.push(part.as_bytes());
            assert_eq!(usage.is_whole(), is_whole, "{part:?}");
        }
        let mut usage = Usage::of(&AnswerHead { status: 200, length: Some(4), is_stream: false });
        usage.push(b"{ ");
        assert!(!usage.is_whole());
        usage.push(b" }");
        assert!(usage.is_whole());
        let mut usage = Usage::default();
        usage.push(b"data: [DONE]\n\n");
        assert!(!usage.is_whole(), "no stream");
    }
}
