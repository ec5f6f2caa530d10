//! Hit tokens by the requests that computed them.

use crate::request::Known;
use serde::{Deserialize, Serialize};

/// Cached tokens, or their share of all prompt tokens, by the requests that computed them. A token
/// that belongs to two groups counts for the first one in the order of the fields.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct ByOwner<T> {
    /// Earlier requests of the same user's session.
    pub own_session: T,
    /// The operator's public prefix.
    pub public: T,
    /// Other sessions that share the request's scope.
    pub other_session: T,
}

impl ByOwner<u32> {
    /// Splits the first `cached` tokens of a prompt.
    pub fn of(cached: u32, known: Known) -> Self {
        let own_session = cached.min(known.own_tokens);
        let public = cached.min(known.public_tokens).saturating_sub(own_session);
        Self { own_session, public, other_session: cached - own_session - public }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_split_by_the_requests_that_could_have_computed_it() {
        let known = |own_tokens, public_tokens| Known { own_tokens, public_tokens };
        let parts = |cached, known| {
            let ByOwner { own_session, public, other_session } = ByOwner::of(cached, known);
            assert_eq!(own_session + public + other_session, cached);
            (own_session, public, other_session)
        };
        assert_eq!(parts(100, known(0, 0)), (0, 0, 100));
        assert_eq!(parts(100, known(0, 32)), (0, 32, 68));
        assert_eq!(parts(16, known(0, 32)), (0, 16, 0));
        assert_eq!(parts(100, known(64, 32)), (64, 0, 36), "the own session comes first");
        assert_eq!(parts(100, known(16, 32)), (16, 16, 68));
        assert_eq!(parts(0, known(64, 32)), (0, 0, 0));
    }
}
