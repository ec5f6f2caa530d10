//! Server-sent events, read from bytes that come in parts.

/// The data of events, one after the other. Each line of data is an event: OpenAI's HTTP has no others.
#[derive(Debug)]
pub struct EventStream {
    bytes: Vec<u8>,
    /// Up to here all lines are read.
    read: usize,
    /// From `read` up to here there is no end of a line.
    searched: usize,
    longest: usize,
}

impl EventStream {
    /// `longest`: the most bytes that may wait for the end of their line.
    pub const fn new(longest: usize) -> Self {
        Self { bytes: Vec::new(), read: 0, searched: 0, longest }
    }

    /// The next bytes. Read all events before.
    pub fn extend(&mut self, part: &[u8]) -> Result<(), String> {
        self.bytes.drain(..self.read);
        (self.read, self.searched) = (0, self.searched - self.read);
        if self.bytes.len() + part.len() > self.longest {
            return Err(format!("an event of more than {} bytes", self.longest));
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// The data of the next event. None: it has not come yet.
    pub fn next_data(&mut self) -> Option<&[u8]> {
        loop {
            let rest = &self.bytes[self.searched..];
            let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
                self.searched = self.bytes.len();
                return None;
            };
            let (start, end) = (self.read, self.searched + length);
            (self.read, self.searched) = (end + 1, end + 1);
            if self.bytes[start..end].starts_with(DATA) {
                let data = &self.bytes[start + DATA.len()..end];
                let data = data.strip_suffix(b"\r").unwrap_or(data);
                return Some(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
    }
}

/// Comments and other fields have no data.
const DATA: &[u8] = b"data:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_parts_end() {
        let text = b": hello\r\n\r\ndata: {\"a\":1}\r\n\r\nid: 3\ndata:two\n\ndata: [DONE]\n\n";
        for size in 1..=text.len() {
            let mut events = EventStream::new(64);
            let mut all = Vec::new();
            for part in text.chunks(size) {
                events.extend(part).unwrap();
                while let Some(data) = events.next_data() {
                    all.push(String::from_utf8(data.to_vec()).unwrap());
                }
            }
            assert_eq!(all, ["{\"a\":1}", "two", "[DONE]"], "parts of {size} bytes");
        }
    }

    #[test]
    fn an_event_without_end_is_an_error() {
        let mut events = EventStream::new(1_000);
        for _ in 0..10 {
            assert_eq!(events.extend(&[b'x'; 100]), Ok(()));
            assert_eq!(events.next_data(), None);
        }
        assert_eq!(events.extend(b"x"), Err("an event of more than 1000 bytes".to_owned()));
    }
}
