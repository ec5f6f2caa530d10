//! What `--version` says.

/// The version, and the commit that a release was built from.
///
/// The commit is read only where cargo builds a release, or where the build sets `WARMPATH_COMMIT`
/// (`build.rs`). A build for tests does not know it, so that a commit does not make it build anew.
pub const VERSION: &str = env!("WARMPATH_VERSION");
