//! Rules of routers that people deploy, and of published research, each with its authors' defaults.

pub(super) mod dynamo;
