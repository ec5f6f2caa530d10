//! The built-in tokenizer: an id below 256 is that byte of the text's UTF-8.
//!
//! The simulated engine draws its answers from a vocabulary of 128,256 ids. Each id from 256 on is one
//! character of Unicode's private use areas, which no other text has: so an answer that a client sends
//! back as a part of its next prompt becomes the same ids again, and its blocks are found in the cache.
//!
//! | ids | text |
//! |---|---|
//! | 0 to 255 | a byte; several in a row are a character if they are its UTF-8 |
//! | 256 to 65,789 | U+F0000 to U+FFFFD |
//! | 65,790 to 128,255 | U+100000 to U+10F401 |
//! | 128 to 255, where they are no UTF-8 | U+10FE80 to U+10FEFF |
//!
//! The way from ids to text and back is exact for all ids. The way from text to ids and back is exact for all
//! text without the characters of the last row.

use super::ChatStyle;
use crate::messages::Message;
use warmpath_core::tokens::VOCABULARY;

const BYTES: u32 = 256;
/// The first private character, and how many there are before the next area.
const FIRST: u32 = 0xF_0000;
const IN_FIRST: u32 = 0xFFFE;
const SECOND: u32 = 0x10_0000;
/// A byte that is no part of a character is this plus the byte.
const ALONE: u32 = 0x10_FE00;

/// The ids of a text.
pub fn encode(text: &str) -> Vec<u32> {
    // Private characters have four bytes and begin with one of these two.
    if !text.bytes().any(|byte| byte >= 0xF3) {
        return text.bytes().map(u32::from).collect();
    }
    let mut ids = Vec::with_capacity(text.len());
    for c in text.chars() {
        match private(u32::from(c)) {
            Some(id) => ids.push(id),
            None => ids.extend(c.encode_utf8(&mut [0; 4]).bytes().map(u32::from)),
        }
    }
    ids
}

/// The id of a private character.
const fn private(c: u32) -> Option<u32> {
    let id = match c {
        FIRST..=0xF_FFFD => BYTES + c - FIRST,
        SECOND..=0x10_F401 => BYTES + IN_FIRST + c - SECOND,
        0x10_FE80..=0x10_FEFF => return Some(c - ALONE),
        _ => return None,
    };
    if id < VOCABULARY { Some(id) } else { None }
}

/// The character of an id that is no byte. An id that the vocabulary does not have is U+FFFD.
fn character(id: u32) -> char {
    let code = match id - BYTES {
        _ if id >= VOCABULARY => u32::from(char::REPLACEMENT_CHARACTER),
        place @ 0..IN_FIRST => FIRST + place,
        place => SECOND + place - IN_FIRST,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Ids to text, part by part.
#[derive(Clone, Default, Debug)]
pub struct Decoder {
    /// The first bytes of a character.
    held: Vec<u8>,
}

impl Decoder {
    /// The text that these ids add.
    pub fn push(&mut self, ids: &[u32]) -> String {
        let mut text = String::with_capacity(4 * ids.len());
        for &id in ids {
            match u8::try_from(id) {
                Ok(byte) if byte.is_ascii() && self.held.is_empty() => text.push(char::from(byte)),
                Ok(byte) => {
                    self.held.push(byte);
                    self.settle(&mut text);
                }
                Err(_) => {
                    self.let_go(&mut text);
                    text.push(character(id));
                }
            }
        }
        text
    }

    /// What was held back.
    pub fn end(&mut self) -> String {
        let mut text = String::new();
        self.let_go(&mut text);
        text
    }

    /// Adds the characters that are whole now.
    fn settle(&mut self, text: &mut String) {
        while !self.held.is_empty() {
            match std::str::from_utf8(&self.held) {
                Ok(whole) => {
                    // Bytes that spell a private character stay bytes.
                    let c = whole.chars().next().filter(|&c| private(u32::from(c)).is_none());
                    match c {
                        Some(_) => text.push_str(whole),
                        None => self.held.iter().for_each(|&byte| alone(byte, text)),
                    }
                    self.held.clear();
                }
                Err(error) if error.error_len().is_none() => return,
                Err(_) => alone(self.held.remove(0), text),
            }
        }
    }

    fn let_go(&mut self, text: &mut String) {
        self.held.drain(..).for_each(|byte| alone(byte, text));
    }
}

/// Adds a byte that is no part of a character.
fn alone(byte: u8, text: &mut String) {
    if byte.is_ascii() {
        return text.push(char::from(byte));
    }
    text.push(char::from_u32(ALONE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// Messages as text: `<|role|>`, the content and a line break, for each. A conversation's text begins with the
/// text of the conversation before it, so its blocks are found in the cache.
pub(crate) fn chat(messages: &[Message], style: ChatStyle) -> String {
    let mut text = String::new();
    for (i, message) in messages.iter().enumerate() {
        text.push_str("<|");
        text.push_str(&message.role);
        text.push_str("|>\n");
        text.push_str(&message.text());
        if let Some(calls) = &message.tool_calls {
            text.push_str(calls.get());
        }
        if !(style.continue_final && i + 1 == messages.len()) {
            text.push('\n');
        }
    }
    if style.generation_prompt {
        text.push_str("<|assistant|>\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(ids: &[u32]) -> String {
        let mut decoder = Decoder::default();
        decoder.push(ids) + &decoder.end()
    }

    fn ids() -> impl Strategy<Value = Vec<u32>> {
        let byte = 0..256u32;
        let lead = 0xC0..0xF8u32;
        let more = 0x80..0xC0u32;
        proptest::collection::vec(prop_oneof![byte, lead, more, 0..VOCABULARY], 0..60)
    }

    proptest! {
        #[test]
        fn ids_survive_the_way_to_text_and_back(ids in ids()) {
            prop_assert_eq!(encode(&decode(&ids)), ids);
        }

        #[test]
        fn parts_add_up_to_the_whole(ids in ids(), size in 1..5usize) {
            let mut decoder = Decoder::default();
            let mut text: String = ids.chunks(size).map(|part| decoder.push(part)).collect();
            text += &decoder.end();
            prop_assert_eq!(text, decode(&ids));
        }

        #[test]
        fn text_survives_the_way_to_ids_and_back(text in ".{0,40}") {
            prop_assert_eq!(decode(&encode(&text)), text);
        }
    }

    #[test]
    fn every_id_of_the_vocabulary_survives() {
        let all: Vec<u32> = (0..VOCABULARY).collect();
        assert_eq!(encode(&decode(&all)), all);
        let mut texts: Vec<String> = (0..VOCABULARY).map(|id| decode(&[id])).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), VOCABULARY as usize, "two ids have the same text");
        assert_eq!(decode(&[VOCABULARY, u32::MAX]), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_character_is_held_back_until_it_is_whole() {
        let mut decoder = Decoder::default();
        let euro: Vec<u32> = "€".bytes().map(u32::from).collect();
        assert_eq!(decoder.push(&euro[..2]), "");
        assert_eq!(decoder.push(&euro[2..]), "€");
        assert_eq!(encode("a€"), [97, 0xE2, 0x82, 0xAC]);
    }
}
