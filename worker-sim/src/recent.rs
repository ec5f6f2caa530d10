//! A bounded table by URL that forgets what was not used for longest.

use std::collections::HashMap;

/// The most peers or prefill workers that a worker keeps connections to. A fleet has fewer.
pub const MOST: usize = 4_096;

/// If the table is full, the entry that was not used for longest is forgotten.
#[derive(Debug)]
pub struct Recent<T> {
    most: usize,
    uses: u64,
    /// Each with the number of its last use.
    by_url: HashMap<String, (u64, T)>,
}

impl<T: Clone> Recent<T> {
    pub fn new(most: usize) -> Self {
        assert!(most > 0, "a table of 0 entries remembers nothing");
        Self { most, uses: 0, by_url: HashMap::new() }
    }

    /// The entry of a URL, made if it is not remembered. Also returns the entry that was forgotten
    /// for it.
    pub fn get_or_make<E>(
        &mut self,
        url: &str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Option<T>), E> {
        self.uses += 1;
        if let Some((used, known)) = self.by_url.get_mut(url) {
            *used = self.uses;
            return Ok((known.clone(), None));
        }
        let made = make()?;
        let forgotten = if self.by_url.len() < self.most { None } else { self.forget_oldest() };
        self.by_url.insert(url.to_owned(), (self.uses, made.clone()));
        Ok((made, forgotten))
    }

    /// Looks at all entries. That costs less than the connection that a new entry makes.
    fn forget_oldest(&mut self) -> Option<T> {
        let oldest = self.by_url.iter().min_by_key(|(_, (used, _))| *used);
        let url = oldest.map(|(url, _)| url.clone())?;
        self.by_url.remove(&url).map(|(_, forgotten)| forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_not_used_for_longest_is_forgotten() {
        let mut recent = Recent::new(2);
        let mut made = 0;
        let mut get = |url: &str| {
            let make = || {
                made += 1;
                Ok::<_, ()>(url.to_owned())
            };
            let (got, forgotten) = recent.get_or_make(url, make).unwrap();
            assert_eq!(got, url);
            forgotten
        };
        assert_eq!((get("a"), get("b"), get("a")), (None, None, None));
        assert_eq!(get("c").as_deref(), Some("b"));
        assert_eq!((get("a"), get("c")), (None, None));
        assert_eq!(get("b").as_deref(), Some("a"));
        assert_eq!(made, 4, "b twice");
        let failed = recent.get_or_make("d", || Err("no"));
        assert_eq!(
            (failed, recent.by_url.len()),
            (Err("no"), 2),
            "nothing is forgotten for an entry that was not made"
        );
    }
}
