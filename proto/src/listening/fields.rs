//! A generate request that no check would accept is refused while it comes, before it is held in memory.
//!
//! Only a prompt may be large. A message of many small parts takes many times its bytes once it is decoded,
//! so what is not prompt has few bytes, and a prompt few ids.

use crate::generate::{MAX_MODEL_LEN, MAX_NAME_BYTES};
use crate::packed::ids_in;
use tonic::Status;

const TOKEN_IDS: u32 = 4;
/// The fields that return to the client, and their names.
const NAMES: [(u32, &str); 3] = [(1, "request_id"), (2, "model"), (13, "session_id")];
/// All fields together that are not the prompt.
const MAX_OTHER_BYTES: u64 = 256 << 10;

/// Reads the fields of one message, part by part.
#[derive(Debug, Default)]
pub struct Fields {
    state: State,
    /// The number that is being read, and how many bits of it are here.
    number: u64,
    bits: u32,
    other: u64,
    ids: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Key,
    Number,
    Length(u32),
    Skip(u64),
    Ids(u64),
    /// Not a message. The decoder says it better.
    Broken,
}

impl Fields {
    /// The next bytes of the message.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while let Some(&byte) = bytes.first() {
            match self.state {
                State::Broken => return Ok(()),
                State::Skip(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[skipped as usize..];
                    self.state =
                        if skipped == left { State::Key } else { State::Skip(left - skipped) };
                    continue;
                }
                State::Ids(left) => {
                    let (here, rest) = bytes.split_at((left.min(bytes.len() as u64)) as usize);
                    self.count_ids(here)?;
                    bytes = rest;
                    let left = left - here.len() as u64;
                    self.state = if left == 0 { State::Key } else { State::Ids(left) };
                    continue;
                }
                State::Key | State::Number | State::Length(_) => {}
            }
            bytes = &bytes[1..];
            self.other += 1;
            let Some(number) = self.take(byte) else { continue };
            self.state = match self.state {
                State::Key => self.after_key(number),
                State::Length(field) => self.after_length(field, number)?,
                _ => State::Key,
            };
            if self.other > MAX_OTHER_BYTES {
                let why = format!("more than {MAX_OTHER_BYTES} bytes beside token_ids");
                return Err(Status::invalid_argument(format!("message: {why}, expected fewer")));
            }
        }
        Ok(())
    }

    /// One more byte of a number. Returns it when it is whole.
    fn take(&mut self, byte: u8) -> Option<u64> {
        if self.bits > 63 {
            self.state = State::Broken;
            return None;
        }
        self.number |= u64::from(byte & 0x7f) << self.bits;
        self.bits += 7;
        if byte & 0x80 != 0 {
            return None;
        }
        self.bits = 0;
        Some(std::mem::take(&mut self.number))
    }

    const fn after_key(&mut self, key: u64) -> State {
        match key & 7 {
            0 => State::Number,
            1 => State::Skip(8),
            2 => State::Length((key >> 3) as u32),
            // The fields of a group are read like the others.
            3 | 4 => State::Key,
            5 => State::Skip(4),
            _ => State::Broken,
        }
    }

    fn after_length(&mut self, field: u32, length: u64) -> Result<State, Status> {
        if field == TOKEN_IDS {
            return Ok(if length == 0 { State::Key } else { State::Ids(length) });
        }
        let name = NAMES.iter().find(|(number, _)| *number == field);
        if let Some((_, name)) = name.filter(|_| length > MAX_NAME_BYTES as u64) {
            let why = format!("{length} bytes, expected at most {MAX_NAME_BYTES}");
            return Err(Status::invalid_argument(format!("{name}: {why}")));
        }
        self.other = self.other.saturating_add(length);
        Ok(if length == 0 { State::Key } else { State::Skip(length) })
    }

    /// A few bytes that end an id belong to none, so there is some room.
    fn count_ids(&mut self, bytes: &[u8]) -> Result<(), Status> {
        self.ids += ids_in(bytes) as u64;
        if self.ids > u64::from(MAX_MODEL_LEN) + 1_024 {
            let why = format!("more than {MAX_MODEL_LEN} ids, expected at most {MAX_MODEL_LEN}");
            return Err(Status::invalid_argument(format!("token_ids: {why}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vllm::{GenerateRequest, MediaItem, TokenIds, generate_request::Prompt};
    use prost::Message;

    fn read(request: &GenerateRequest, chunk: usize) -> Result<(), String> {
        let mut fields = Fields::default();
        let bytes = request.encode_to_vec();
        let mut parts = bytes.chunks(chunk);
        parts.try_for_each(|part| fields.read(part)).map_err(|status| status.message().to_owned())
    }

    fn with_ids(ids: Vec<u32>) -> GenerateRequest {
        let prompt = Some(Prompt::TokenIds(TokenIds { ids }));
        GenerateRequest { prompt, temperature: Some(1.0), priority: -1, ..Default::default() }
    }

    #[test]
    fn what_is_too_large_is_named_before_it_is_here() {
        let long = |n: usize| "x".repeat(n);
        for chunk in [1, 7, 1 << 20] {
            let good =
                GenerateRequest { request_id: long(1_024), ..with_ids((0..100_000).collect()) };
            assert_eq!(read(&good, chunk), Ok(()));
            let id = GenerateRequest { request_id: long(2_000), ..with_ids(vec![1]) };
            assert_eq!(
                read(&id, chunk).unwrap_err(),
                "request_id: 2000 bytes, expected at most 1024"
            );
            let session = GenerateRequest { session_id: Some(long(5_000)), ..with_ids(vec![1]) };
            assert!(read(&session, chunk).unwrap_err().starts_with("session_id: 5000 bytes"));
            let text =
                GenerateRequest { prompt: Some(Prompt::Text(long(300_000))), ..with_ids(vec![]) };
            assert!(read(&text, chunk).unwrap_err().starts_with("message: more than 262144 bytes"));
        }
    }

    /// 2 bytes on the wire, 100 and more in memory.
    #[test]
    fn many_small_parts_are_refused() {
        let media = vec![MediaItem::default(); 200_000];
        let list = GenerateRequest { media, ..with_ids(vec![1]) };
        assert!(read(&list, 4_096).unwrap_err().starts_with("message: more than 262144 bytes"));
        let ids = with_ids(vec![1; MAX_MODEL_LEN as usize + 2_000]);
        assert!(read(&ids, 4_096).unwrap_err().starts_with("token_ids: more than 4194304 ids"));
        assert_eq!(read(&with_ids(vec![200; MAX_MODEL_LEN as usize]), 4_096), Ok(()));
    }

    #[test]
    fn no_bytes_confuse_it() {
        for bytes in [&[0xff; 20][..], &[0x07], &[0x22, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]] {
            assert!(Fields::default().read(bytes).is_ok());
        }
    }
}
