//! The settings that the sender and the receiver of blocks must have in common. Each call of the pool
//! service carries them, because either side may have restarted with other settings.

use crate::{HASH_SCHEME, v1};
use std::fmt::Display;
use tonic::Status;

/// The common settings.
#[derive(Clone, PartialEq, Debug)]
pub struct Agreement {
    /// The model's name.
    pub model: String,
    /// Tokens a block.
    pub block_size: u32,
    /// Model seconds a wall second.
    pub speedup: f64,
}

impl Agreement {
    /// Encodes the settings, with [`HASH_SCHEME`].
    pub fn to_wire(&self) -> v1::Agreement {
        v1::Agreement {
            model: self.model.clone(),
            block_size: self.block_size,
            hash_scheme: HASH_SCHEME.to_owned(),
            speedup: self.speedup,
        }
    }

    /// Compares the caller's settings with ours. The error has both values: FAILED_PRECONDITION, or
    /// INVALID_ARGUMENT if the settings are missing.
    pub fn check(&self, theirs: Option<&v1::Agreement>) -> Result<(), Status> {
        let theirs = theirs.ok_or_else(|| {
            Status::invalid_argument("agreement: missing, expected model, block size and speedup")
        })?;
        let differs = |what: &str, theirs: &dyn Display, ours: &dyn Display| {
            Err(Status::failed_precondition(format!("{what}: '{theirs}', expected '{ours}'")))
        };
        if theirs.hash_scheme != HASH_SCHEME {
            return differs("hash scheme", &theirs.hash_scheme, &HASH_SCHEME);
        }
        if theirs.block_size != self.block_size {
            return differs("block size", &theirs.block_size, &self.block_size);
        }
        if theirs.model != self.model {
            return differs("model", &theirs.model, &self.model);
        }
        if theirs.speedup != self.speedup {
            return differs("speedup", &theirs.speedup, &self.speedup);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_both_values() {
        let ours = Agreement { model: "m".to_owned(), block_size: 16, speedup: 2.0 };
        assert!(ours.check(Some(&ours.to_wire())).is_ok());
        let refused = |change: fn(&mut v1::Agreement)| {
            let mut theirs = ours.to_wire();
            change(&mut theirs);
            ours.check(Some(&theirs)).unwrap_err().message().to_owned()
        };
        assert_eq!(refused(|a| a.block_size = 32), "block size: '32', expected '16'");
        assert_eq!(refused(|a| a.speedup = 1.0), "speedup: '1', expected '2'");
        assert_eq!(refused(|a| a.model.clear()), "model: '', expected 'm'");
        assert!(refused(|a| a.hash_scheme.push('x')).contains(HASH_SCHEME));
        assert_eq!(ours.check(None).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
