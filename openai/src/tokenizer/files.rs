//! A `tokenizer.json` of the user's.
//!
//! The simulated engine knows 128,256 ids. A tokenizer with fewer shows an id that it lacks as the id modulo
//! its size; one with more has its ids taken modulo 128,256 where a prompt comes in.

use super::template::Template;
use super::{ChatStyle, TokenizerError};
use crate::messages::Message;
use std::path::Path;
use tokenizers::Tokenizer;

/// A tokenizer and the chat template beside it.
#[derive(Debug)]
pub struct Files {
    tokenizer: Tokenizer,
    size: u32,
    /// An error says why there is none.
    template: Result<Template, TokenizerError>,
}

impl Files {
    /// From a folder with `tokenizer.json`, or from that file.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let failed = |why: String| TokenizerError(format!("{}: {why}", file.display()));
        let tokenizer = Tokenizer::from_file(&file).map_err(|error| failed(error.to_string()))?;
        let size = u32::try_from(tokenizer.get_vocab_size(true)).unwrap_or(u32::MAX);
        if size == 0 {
            return Err(failed("no tokens, expected some".to_owned()));
        }
        let template = Template::beside(&file)?;
        Ok(Self { tokenizer, size, template })
    }

    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.tokenizer.encode_fast(text, special);
        let encoding = encoding.map_err(|error| TokenizerError(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn chat(&self, messages: &[Message], style: ChatStyle) -> Result<String, TokenizerError> {
        self.template.as_ref().map_err(Clone::clone)?.render(messages, style)
    }

    /// Special tokens are shown, so that the text becomes the same ids when it comes back.
    fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, false).unwrap_or_default()
    }
}

/// Ids that are kept because the text of the next ones may depend on them.
const MOST_HELD: usize = 8;

/// Ids to text, part by part. The text of some ids depends on those before: their spaces, and bytes that are
/// no character alone. So the last ids are decoded again with the next ones.
#[derive(Default, Debug)]
pub struct Decoder {
    ids: Vec<u32>,
    /// How many of them have been told.
    told: usize,
}

impl Decoder {
    pub fn push(&mut self, files: &Files, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            self.ids.push(id % files.size);
            let held = self.ids.len() - self.told;
            text.push_str(&self.tell(files, held >= MOST_HELD));
        }
        text
    }

    pub fn end(&mut self, files: &Files) -> String {
        let text = self.tell(files, true);
        *self = Self::default();
        text
    }

    /// The text that is not told yet, unless it may end within a character and `all` is false.
    fn tell(&mut self, files: &Files, all: bool) -> String {
        let before = files.decode(&self.ids[..self.told]);
        let now = files.decode(&self.ids);
        if !all && (now.len() <= before.len() || now.ends_with(char::REPLACEMENT_CHARACTER)) {
            return String::new();
        }
        // The text of the ids before may change where a character was not whole.
        let at = now.floor_char_boundary(before.len());
        let text = now.get(at..).unwrap_or_default().to_owned();
        self.ids.drain(..self.told);
        self.told = self.ids.len();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TextStream, Tokenizer};
    use std::fs;

    /// A byte-level BPE without merges: `é` is two tokens.
    pub fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        // The alphabet of byte-level tokenizers: printable bytes as they are, others from U+0100 on.
        let mut vocab = serde_json::Map::new();
        let mut next = 256u32;
        for byte in 0..=255u8 {
            let plain = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let c = if plain { char::from(byte) } else { char::from_u32(next).unwrap() };
            next += u32::from(!plain);
            vocab.insert(c.to_string(), u32::from(byte).into());
        }
        let added = serde_json::json!([{"id": 256, "content": "<s>", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
        let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true});
        let json = serde_json::json!({"version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added, "normalizer": null, "pre_tokenizer": byte_level,
            "post_processor": null, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": []}});
        fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
        let config = serde_json::json!({"bos_token": {"content": "<s>"}, "chat_template":
            "{{ bos_token }}{% for m in messages %}\n[{{ m.role }}] {{ m.content.strip() }}\n{% endfor %}\n{% if add_generation_prompt %}[assistant] {% endif %}"});
        fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        folder
    }

    #[test]
    fn a_tokenizer_of_files_and_its_template() {
        let folder = folder();
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        let ids = tokenizer.encode("aé <s>", true).unwrap();
        assert_eq!(ids, [97, 0xC3, 0xA9, 32, 256]);
        assert_eq!(tokenizer.decode(&ids), "aé <s>");
        let mut stream = TextStream::new(&tokenizer);
        let parts: Vec<String> = ids.iter().map(|&id| stream.push(&tokenizer, &[id])).collect();
        assert_eq!(parts, ["a", "", "é", " ", "<s>"], "half a character is held back");
        // 300 is none of its ids.
        assert_eq!(tokenizer.decode(&[300]), tokenizer.decode(&[300 % 257]));
        // Bytes that are no character are told at last, and none of it twice.
        let broken = [0xC3; 20];
        let mut stream = TextStream::new(&tokenizer);
        let mut text: String = broken.iter().map(|&id| stream.push(&tokenizer, &[id])).collect();
        text += &stream.end(&tokenizer);
        assert!(text.chars().all(|c| c == '\u{fffd}') && !text.is_empty(), "{text:?}");
        let messages = serde_json::from_str::<Vec<_>>(
            r#"[{"role": "user", "content": [{"type": "text", "text": " hi "}]}]"#,
        );
        let style = super::ChatStyle { generation_prompt: true, continue_final: false };
        let text = tokenizer.chat(&messages.unwrap(), style).unwrap();
        assert_eq!(text, "<s>[user] hi\n[assistant] ");
    }

    #[test]
    fn what_cannot_be_loaded_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = Tokenizer::load(empty.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
        let folder = folder();
        fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        let style = super::ChatStyle { generation_prompt: true, continue_final: false };
        let error = tokenizer.chat(&[], style).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json"), "{error}");
    }
}
