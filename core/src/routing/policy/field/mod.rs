//! Rules of routers that people deploy, and of published research, each with its authors' defaults.

pub(super) mod chwbl;
pub(super) mod dualmap;
pub(super) mod dynamo;
pub(super) mod lmetric;
pub(super) mod lpwl;
pub(super) mod preble;
pub(super) mod preble_tree;
pub(super) mod smetric;
