//! Text to token ids and back.
//!
//! - [`bytes`]: the built-in tokenizer, which needs no file.
//! - `files`: a `tokenizer.json` of the user's. `template`: the chat template beside it.
//! - [`TextStream`]: an answer's text, part by part.

pub mod bytes;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "files")]
mod template;

use crate::messages::Message;
use std::path::Path;

/// Why a text has no token ids, or a tokenizer cannot be used. One line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TokenizerError(pub String);

/// How messages become one text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChatStyle {
    /// The text ends where the answer begins.
    pub generation_prompt: bool,
    /// The last message stays open, and the answer goes on from it.
    pub continue_final: bool,
}

/// A tokenizer.
#[derive(Debug, Default)]
pub enum Tokenizer {
    #[default]
    Bytes,
    #[cfg(feature = "files")]
    Files(Box<files::Files>),
}

/// A text of this size is tokenized beside the threads that serve.
const LONG: usize = 16 << 10;

impl Tokenizer {
    /// The tokenizer of a folder with `tokenizer.json`, or of that file. The chat template is
    /// `chat_template` of `tokenizer_config.json`, or `chat_template.jinja`, in the same folder.
    #[cfg(feature = "files")]
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        files::Files::load(path).map(|files| Self::Files(Box::new(files)))
    }

    /// This build has no tokenizer but the one of bytes.
    #[cfg(not(feature = "files"))]
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let why = "built without the feature `tokenizers`, expected no file";
        Err(TokenizerError(format!("{}: {why}", path.display())))
    }

    /// The ids of a text. `special`: with the tokens that the tokenizer puts around each text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        match self {
            Self::Bytes => {
                let _ = special;
                Ok(bytes::encode(text))
            }
            #[cfg(feature = "files")]
            Self::Files(files) => files.encode(text, special),
        }
    }

    /// Whether this text takes so long that it must not hold up a thread that serves.
    pub fn is_long(&self, text: &str) -> bool {
        // Bytes take a nanosecond each.
        text.len() > LONG && !matches!(self, Self::Bytes)
    }

    /// Messages as the text of a prompt.
    pub(crate) fn chat(
        &self,
        messages: &[Message],
        style: ChatStyle,
    ) -> Result<String, TokenizerError> {
        match self {
            Self::Bytes => Ok(bytes::chat(messages, style)),
            #[cfg(feature = "files")]
            Self::Files(files) => files.chat(messages, style),
        }
    }

    /// The text of these ids.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = TextStream::new(self);
        let mut text = stream.push(self, ids);
        text.push_str(&stream.end(self));
        text
    }

    /// The text of one id alone.
    pub fn decode_one(&self, id: u32) -> String {
        self.decode(&[id])
    }
}

/// The text of an answer, part by part. A character whose bytes have not all come is held back.
#[derive(Debug)]
pub struct TextStream(Kind);

#[derive(Debug)]
enum Kind {
    Bytes(bytes::Decoder),
    #[cfg(feature = "files")]
    Files(files::Decoder),
}

impl TextStream {
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self(match tokenizer {
            Tokenizer::Bytes => Kind::Bytes(bytes::Decoder::default()),
            #[cfg(feature = "files")]
            Tokenizer::Files(_) => Kind::Files(files::Decoder::default()),
        })
    }

    /// The text that these ids add. Call it with the tokenizer that the stream was made for.
    pub fn push(&mut self, tokenizer: &Tokenizer, ids: &[u32]) -> String {
        match (&mut self.0, tokenizer) {
            (Kind::Bytes(decoder), _) => decoder.push(ids),
            #[cfg(feature = "files")]
            (Kind::Files(decoder), Tokenizer::Files(files)) => decoder.push(files, ids),
            #[cfg(feature = "files")]
            (Kind::Files(_), Tokenizer::Bytes) => String::new(),
        }
    }

    /// What was held back.
    pub fn end(&mut self, tokenizer: &Tokenizer) -> String {
        match (&mut self.0, tokenizer) {
            (Kind::Bytes(decoder), _) => decoder.end(),
            #[cfg(feature = "files")]
            (Kind::Files(decoder), Tokenizer::Files(files)) => decoder.end(files),
            #[cfg(feature = "files")]
            (Kind::Files(_), Tokenizer::Bytes) => String::new(),
        }
    }
}
