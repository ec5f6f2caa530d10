//! What operators read and deploy: dashboards, alerts. A check that needs a tool which is not installed
//! counts as ignored, never as passed.

mod alerts;
mod fleet;
mod promql;
mod series;

use libtest_mimic::{Arguments, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

fn main() -> ExitCode {
    let tests = vec![
        test("names_are_read_out_of_promql", promql::reads_names),
        test("dashboards_and_alerts_read_series_that_exist", series::exist),
        test("dashboards_can_be_imported", series::dashboards_are_whole),
        with("promtool", "promtool_accepts_the_alerts", alerts::are_accepted),
        with("promtool", "alerts_fire_when_they_should", alerts::fire),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn test(name: &str, check: fn()) -> Trial {
    Trial::test(name, move || {
        check();
        Ok(())
    })
}

/// A test that needs a program on the `PATH`. It is ignored if that is missing.
fn with(program: &str, name: &str, check: fn()) -> Trial {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    test(name, check).with_ignored_flag(!found)
}

/// A file or a folder of `deploy`.
fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// Runs a program that must succeed.
fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success(), "{command:?}: {said}");
    said
}
