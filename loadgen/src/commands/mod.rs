//! One command a file: its arguments, its help and its run.

pub mod advise;
pub mod columns;
pub mod compare;
pub mod diff;
pub mod explain;
pub mod export;
pub mod fidelity;
mod finish;
pub mod fit;
mod fresh;
pub mod generations;
pub mod init;
pub mod list;
pub mod manual;
pub mod measure;
pub mod policies;
pub mod rank;
pub mod regret;
pub mod replay;
pub mod run;
pub mod sharing;
pub mod sim;
pub mod sweep;
pub mod trace;
pub mod tune;
