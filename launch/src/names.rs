//! Names of built-in things: when a text is a path instead, and what was meant by an unknown name.

use crate::terminal::escaped;

/// How much two names must be alike, from 0 to 1, for one to be a slip of the other.
const ALIKE: f64 = 0.6;
/// How many near names an error has at most.
const MOST: usize = 3;

/// Whether a text is the path of a file and not a name: it has a `/`, or ends in `.toml`.
pub fn is_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(".toml")
}

/// The known names that `name` may be a slip of, the nearest first.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_ascii_lowercase();
    let score = |known: &str| {
        let known = known.to_ascii_lowercase();
        // A part of a name is as good as a slip: `llama` of `llama-3.1-8b`.
        let is_part = name.len() >= 3 && (known.contains(&name) || name.contains(&known));
        let alike = strsim::normalized_damerau_levenshtein(&name, &known);
        if is_part { alike.max(ALIKE) } else { alike }
    };
    let mut scored: Vec<(f64, &str)> =
        known.into_iter().map(|known| (score(known), known)).collect();
    scored.retain(|(score, _)| *score >= ALIKE);
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().take(MOST).map(|(_, known)| known).collect()
}

/// The words that ask whether a near name was meant. Empty if there is none.
pub fn perhaps<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match near(name, known).as_slice() {
        [] => String::new(),
        near => format!(", perhaps you meant {}", near.join(" or ")),
    }
}

/// One line for a name that is not known, where a file could stand too.
pub fn unknown<'a>(
    kind: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let (perhaps, name) = (perhaps(name, known.clone()), escaped(name));
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "unknown {kind} '{name}'{perhaps}; expected one of: {known}; or a file: a path with a / or \
         the ending .toml"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["assistant", "chat", "llama-3.1-8b", "llama-70b-fp8-2xh100"];

    #[test]
    fn a_slip_finds_its_name_and_a_part_finds_the_whole() {
        assert_eq!(near("asistant", KNOWN), ["assistant"]);
        assert_eq!(near("Llama-3.1-8B", KNOWN)[0], "llama-3.1-8b");
        assert_eq!(near("70b-fp8", KNOWN), ["llama-70b-fp8-2xh100"]);
        assert!(near("zzz", KNOWN).is_empty() && near("", KNOWN).is_empty());
    }

    #[test]
    fn a_path_has_a_slash_or_an_ending() {
        assert!(is_path("./mine") && is_path("mine.toml") && is_path("/dev/stdin"));
        assert!(!is_path("llama-3.1-8b") && !is_path("mine"));
    }
}
