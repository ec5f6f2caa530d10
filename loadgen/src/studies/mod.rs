//! Questions that take many runs: what sharing is worth, cluster or devices, which generation of
//! chips, which policy over many reports; and two reports side by side.

pub mod advise;
mod deploy;
pub mod diff;
pub mod generations;
mod measure;
pub mod question;
pub mod rank;
pub mod regret;
pub mod sharing;
pub mod sweep;
pub mod tune;

use warmpath_sheet::Sheet;

/// Every table without rows, with all the columns that it can have.
pub fn blanks() -> Vec<Sheet> {
    [
        sharing::blanks(),
        advise::blanks(),
        generations::blanks(),
        rank::blanks().to_vec(),
        diff::blanks(),
        regret::blanks(),
    ]
    .concat()
}
