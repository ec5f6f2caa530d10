//! Texts as tokens, where a file has texts. Each word is one token: a stretch of characters without a
//! space, or one character of a script that is written without spaces. Real tokenizers make more
//! tokens of the same text, about four for three English words.

use super::error::TraceError;
use super::line::{Fields, brief};
use crate::rng::hash_words;
use crate::tokens::Segment;
use serde_json::Value;

/// The words of a segment. Texts share whole segments from their start.
const WORDS: usize = 16;

/// A hash of a text.
pub fn hash_text(text: &str) -> u64 {
    hash_of(text.as_bytes(), text.len() as u64)
}

fn hash_of(bytes: &[u8], seed: u64) -> u64 {
    bytes.chunks(8).fold(hash_words(&[seed]), |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash_words(&[state, u64::from_le_bytes(word)])
    })
}

/// Appends a text's words to a prompt. `role` names the one who says it: the same words of another role
/// are another text.
pub fn push(prompt: &mut Vec<Segment>, role: &str, text: &str) {
    let mut seed = hash_text(role);
    let mut tokens = 0;
    let mut flush = |seed: u64, tokens: &mut u32| {
        prompt.extend((*tokens > 0).then_some(Segment::Text { seed, tokens: *tokens }));
        *tokens = 0;
    };
    each_word(text, |word| {
        seed = hash_of(word.as_bytes(), hash_words(&[seed, word.len() as u64]));
        tokens += 1;
        if tokens as usize == WORDS {
            flush(seed, &mut tokens);
        }
    });
    flush(seed, &mut tokens);
}

fn each_word(text: &str, mut each: impl FnMut(&str)) {
    for piece in text.split_whitespace() {
        let mut from = 0;
        for (at, character) in piece.char_indices().filter(|(_, c)| has_no_spaces(*c)) {
            if from < at {
                each(&piece[from..at]);
            }
            from = at + character.len_utf8();
            each(&piece[at..from]);
        }
        if from < piece.len() {
            each(&piece[from..]);
        }
    }
}

/// Whether a character is of a script that is written without spaces: Thai, Lao, Khmer, Burmese,
/// Chinese and Japanese.
const fn has_no_spaces(character: char) -> bool {
    matches!(
        character,
        '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{2e80}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}'
    )
}

/// A prompt that has at least one token. An empty one is played as one token of its own.
pub fn at_least_one(mut prompt: Vec<Segment>, line: usize) -> Vec<Segment> {
    if prompt.is_empty() {
        prompt.push(own(line, 1));
    }
    prompt
}

/// A text that no other prompt has.
pub fn own(line: usize, tokens: u32) -> Segment {
    Segment::Text { seed: hash_words(&[0x6f77_6e00, line as u64]), tokens }
}

/// Whether a prompt is the [`own`] text of a line.
pub fn is_own(prompt: &[Segment], line: usize) -> bool {
    matches!(prompt, [Segment::Text { tokens, .. }] if prompt[0] == own(line, *tokens))
}

/// The messages of a chat, as OpenAI's API has them: the role and the content of each.
pub fn messages(fields: &Fields<'_>, field: &str) -> Result<Vec<Segment>, TraceError> {
    let mut prompt = Vec::new();
    for (i, value) in fields.list(field, "messages")?.iter().enumerate() {
        let message = fields.item(field, i, value)?;
        let role = message.text("role")?;
        for call in ["tool_calls", "function_call"] {
            if let Some(call) = message.said(call) {
                push(&mut prompt, role, &call.to_string());
            }
        }
        content(&message, "content", role, &mut prompt)?;
    }
    Ok(at_least_one(prompt, fields.line()))
}

/// A text, or a list of texts in the form `{"type": "text", "text": ".."}`.
pub fn content(
    fields: &Fields<'_>,
    field: &str,
    role: &str,
    prompt: &mut Vec<Segment>,
) -> Result<(), TraceError> {
    match fields.said(field) {
        None => {}
        Some(Value::String(text)) => push(prompt, role, text),
        Some(Value::Array(parts)) => {
            for (i, part) in parts.iter().enumerate() {
                if let Value::String(text) = part {
                    push(prompt, role, text);
                    continue;
                }
                let part = fields.item(field, i, part)?;
                let kind = part.text("type")?;
                if !kind.ends_with("text") {
                    let why = format!("{kind:?}, expected \"text\": images and audio are not read");
                    return Err(part.err("type", why));
                }
                push(prompt, role, part.text("text")?);
            }
        }
        Some(other) => {
            let why = format!("{}, expected a string or a list of texts", brief(other));
            return Err(fields.err(field, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str) -> Vec<Segment> {
        let mut prompt = Vec::new();
        push(&mut prompt, "user", text);
        prompt
    }

    #[test]
    fn a_word_is_a_token_and_equal_beginnings_are_equal_segments() {
        let words = |n: usize| (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
        let (short, long) = (prompt(&words(20)), prompt(&words(35)));
        let lengths = |prompt: &[Segment]| prompt.iter().map(Segment::tokens).collect::<Vec<_>>();
        assert_eq!((lengths(&short), lengths(&long)), (vec![16, 4], vec![16, 16, 3]));
        assert_eq!(short[0], long[0]);
        assert_ne!(prompt("a bc"), prompt("ab c"));
        let mut other = Vec::new();
        push(&mut other, "assistant", "a bc");
        assert_ne!(other, prompt("a bc"));
        assert_eq!(prompt(" \n"), []);
    }

    #[test]
    fn a_character_of_a_script_without_spaces_is_a_word() {
        let count = |text| prompt(text).iter().map(Segment::tokens).sum::<u32>();
        assert_eq!([count("Name a colour."), count("你好 world"), count("한국어 글")], [3, 3, 2]);
        assert_eq!([count("ab你c"), count("")], [3, 0]);
    }
}
