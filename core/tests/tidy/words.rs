//! Plain words in code, comments and docs. Readers whose English is not native must not stumble.

use crate::files::{files_below, read, root, shown};

/// Words that are not used, and what to write instead. Each is one word, or words in a row.
const NOT_USED: &[(&str, &str)] = &[
    ("whence", "from where; or name the source"),
    ("whoever", "name the part or the person"),
    ("whomever", "name the part or the person"),
    ("whom", "name the part or the person"),
    ("thereby", "so"),
    ("therein", "in it"),
    ("thence", "from there"),
    ("henceforth", "from now on"),
    ("nobody", "no worker, no request, ..: name it"),
    ("somebody", "a worker, a request, ..: name it"),
    ("gone on with", "resumed"),
    ("by lot", "at random"),
    ("draws lots", "chooses at random"),
    ("is reckoned", "is computed"),
    ("are reckoned", "are computed"),
    ("reckons", "computes"),
];

/// The uses of such words in `text`, as "line: word (instead)".
fn found_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for (word, instead) in NOT_USED {
            let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let whole = |at: usize| {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                !letter(before.chars().next_back()) && !letter(after.chars().next())
            };
            if line.match_indices(word).any(|(at, _)| whole(at)) {
                found.push(format!("{}: \"{word}\" ({instead})", i + 1));
            }
        }
    }
    found
}

#[test]
fn the_words_are_plain() {
    let mut found = Vec::new();
    for file in files_below(&root(), &["rs", "md", "toml", "proto", "yaml"]) {
        // This file lists them.
        if !file.ends_with("tidy/words.rs") {
            let path = shown(&file);
            found.extend(found_in(&read(&file)).into_iter().map(|use_| format!("{path}:{use_}")));
        }
    }
    assert!(found.is_empty(), "{} uses:\n{}\n", found.len(), found.join("\n"));
}

#[test]
fn each_word_is_found_and_no_longer_word_is() {
    for (word, _) in NOT_USED {
        let planted = format!("fine\n// It stands here: {}.\n", word.to_uppercase());
        let found = found_in(&planted);
        assert!(found.len() == 1 && found[0].starts_with("2: "), "{word}: {found:?}");
    }
    assert!(found_in("wholesome, the whomping willow, nobody_else\n").is_empty());
}
