//! The rules of the field, on small fleets worked by hand. Each test names the source that it follows.

mod bench;
mod dynamo;
