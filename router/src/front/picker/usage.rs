//! What an answer says of its tokens, read out of its last bytes: a JSON object, or events with JSON.

/// The last bytes of an answer that are kept. A usage is at the end of it and has some hundred bytes.
const KEPT: usize = 4_096;

#[derive(Debug, Default)]
pub struct Usage {
    tail: Vec<u8>,
    /// Parts of the answer.
    parts: u32,
}

impl Usage {
    pub fn push(&mut self, bytes: &[u8]) {
        self.parts = self.parts.saturating_add(1);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
    }

    /// Answer tokens, and prompt tokens that were cached. An answer without a usage counts a token for each part of
    /// it, and no hit.
    pub fn tokens(&self) -> (u32, u32) {
        let tokens = self.last("\"completion_tokens\":").unwrap_or(self.parts);
        (tokens, self.last("\"cached_tokens\":").unwrap_or(0))
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

    #[test]
    fn tokens_are_read_from_the_end_of_an_answer() {
        let mut usage = Usage::default();
        usage.push(br#"{"choices":[{"text":"\"cached_tokens\": 9"}],"#);
        usage.push(
            br#""usage":{"completion_tokens": 7,"prompt_tokens_details":{"cached_tokens":48}}}"#,
        );
        assert_eq!(usage.tokens(), (7, 48));
        let mut none = Usage::default();
        none.push(&[b'x'; 10_000]);
        none.push(br#"data: {"text":"\"cached_tokens\": 9"}"#);
        assert_eq!(none.tokens(), (2, 0));
        assert!(none.tail.len() <= KEPT);
    }
}
