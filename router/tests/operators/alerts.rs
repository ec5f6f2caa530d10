//! The alert rules, by Prometheus' own tool.

use crate::{deploy, succeeds};
use std::process::Command;

fn promtool(args: &[&str]) -> String {
    succeeds(Command::new("promtool").args(args).current_dir(deploy("prometheus")))
}

pub fn are_accepted() {
    assert!(promtool(&["check", "rules", "alerts.yml"]).contains("SUCCESS"));
}

/// `alerts.test.yml` has series over which they must fire, and others over which they must not.
pub fn fire() {
    assert!(promtool(&["test", "rules", "alerts.test.yml"]).contains("SUCCESS"));
}
