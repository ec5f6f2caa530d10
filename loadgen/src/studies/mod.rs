//! Questions that take many runs: what sharing is worth, cluster or devices, which generation of
//! chips.

pub mod advise;
mod deploy;
pub mod generations;
mod measure;
pub mod question;
pub mod sharing;
