//! What a path asks of a worker.

use warmpath_openai::request::Kind;

/// What touches no worker's cache and says nothing of other clients.
const HARMLESS: [&str; 6] = [
    "/v1/models",
    "/version",
    "/tokenize",
    "/detokenize",
    "/v1/completions/render",
    "/v1/chat/completions/render",
];

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// An answer to a prompt, from the worker that the rule chooses.
    Answer(Kind),
    /// Whether a worker lives. Probes ask that, without a token.
    Health,
    /// What tenants may ask of any worker.
    Harmless,
    /// Anything else. Where tenants must be kept apart, no worker gets it: it may fill or show a cache that all share.
    Other,
}

impl Wanted {
    /// Engines decode a path before they look what it is, so `/v1/%63ompletions` is a completion too.
    pub fn of(path: &str) -> Self {
        let decoded = decoded(path);
        match decoded.as_slice() {
            b"/v1/completions" => Self::Answer(Kind::Completion),
            b"/v1/chat/completions" => Self::Answer(Kind::Chat),
            b"/health" => Self::Health,
            path if HARMLESS.iter().any(|harmless| harmless.as_bytes() == path) => Self::Harmless,
            _ => Self::Other,
        }
    }
}

/// The bytes that a path means. A `%` without two hex digits means itself.
fn decoded(path: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (mut decoded, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let (byte, length) = match escaped {
            Some((high, low)) => ((high * 16 + low) as u8, 3),
            None => (*first, 1),
        };
        decoded.push(byte);
        rest = &rest[length..];
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_path_is_what_it_means() {
        let (completion, chat) = (Wanted::Answer(Kind::Completion), Wanted::Answer(Kind::Chat));
        for (path, wanted) in [
            ("/v1/completions", completion),
            ("/v1/%63ompletions", completion),
            ("/v1%2fcompletions", completion),
            ("/v1/chat/completions", chat),
            ("/v1/chat%2Fcompletion%73", chat),
            ("/health", Wanted::Health),
            ("/%68ealth", Wanted::Health),
            ("/v1/models", Wanted::Harmless),
            // An engine decodes once.
            ("/v1/%2563ompletions", Wanted::Other),
            ("/v1/completions/", Wanted::Other),
            ("//v1/completions", Wanted::Other),
            ("/v1/completions%", Wanted::Other),
            ("/v1/completions%7", Wanted::Other),
            ("/v1/completions%zz", Wanted::Other),
            ("/v1/completions%ff", Wanted::Other),
            ("/v1/responses", Wanted::Other),
            ("", Wanted::Other),
        ] {
            assert_eq!(Wanted::of(path), wanted, "{path}");
        }
    }
}
