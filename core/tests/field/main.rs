//! The rules of the field, on small fleets worked by hand. Each test names the source that it follows.

mod bench;
mod chwbl;
mod dualmap;
mod dynamo;
mod lmetric;
mod lpwl;
mod preble;
mod smetric;
