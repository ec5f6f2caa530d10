//! What the texts of one user's session have said before: how much of a recorded prompt its own
//! earlier requests had already.

use crate::hash::Map;
use crate::rng::hash_words;
use crate::tokens::Segment;

/// The texts of one session as a tree of segments.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By a segment and all before it: the most tokens of that segment that any text had. Only
    /// looked up.
    longest: Map<u64, u32>,
}

impl Seen {
    /// How many tokens of this prompt an earlier text begins with. Then remembers it.
    pub fn tell(&mut self, text: &[Segment]) -> u32 {
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
    fn a_prompt_is_known_as_far_as_any_text_before_it() {
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
            // The second segment stands behind another length of the first.
            (&[text(1, 40), text(4, 8)], 40),
        ];
        for (i, (text, known)) in cases.into_iter().enumerate() {
            assert_eq!(seen.tell(text), known, "text {i}");
        }
    }
}
