//! The texts of one user's session so far. They tell how much of a recorded prompt an earlier request
//! of the session had.

use crate::hash::Map;
use crate::rng::hash_words;
use crate::tokens::Segment;

/// The texts of one session as a tree of segments.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The longest length of a segment in any text, by a hash of the segment and all before it.
    longest: Map<u64, u32>,
}

impl Seen {
    /// Adds a prompt, and returns the length of its longest common prefix with an earlier one.
    pub fn add(&mut self, text: &[Segment]) -> u32 {
        let mut covered = 0;
        let mut is_known = true;
        let mut before = 0;
        for segment in text.iter().filter(|segment| segment.tokens() > 0) {
            let (kind, seed) = match *segment {
                Segment::Text { seed, .. } => (1, seed),
                Segment::Answer { .. } => (2, 0),
            };
            let name = hash_words(&[before, kind, seed]);
            let longest = self.longest.entry(name).or_default();
            if is_known {
                covered += (*longest).min(segment.tokens());
                is_known = *longest >= segment.tokens();
            }
            *longest = (*longest).max(segment.tokens());
            before = hash_words(&[name, u64::from(segment.tokens())]);
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_known_as_far_as_an_earlier_text_agrees() {
        let text = |seed, tokens| Segment::Text { seed, tokens };
        let answer = |tokens| Segment::Answer { tokens };
        let mut seen = Seen::default();
        let cases: [(&[Segment], u32); 7] = [
            (&[text(1, 40), text(2, 8), answer(5)], 0),
            (&[text(1, 40), text(2, 8), answer(5), text(3, 9)], 53),
            (&[text(1, 30), text(4, 8)], 30),
            (&[text(1, 60), text(2, 8)], 40),
            (&[text(1, 60), text(2, 9)], 68),
            (&[text(2, 8)], 0),
            // The second segment follows another length of the first one.
            (&[text(1, 40), text(4, 8)], 40),
        ];
        for (i, (text, known)) in cases.into_iter().enumerate() {
            assert_eq!(seen.add(text), known, "text {i}");
        }
    }
}
