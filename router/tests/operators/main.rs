//! What operators read and deploy: dashboards, alerts, the chart. A check that needs a tool which is not installed
//! counts as ignored, never as passed.

mod alerts;
mod chart;
mod fleet;
mod image;
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
        with(&["promtool"], "the_queries_of_the_dashboards_parse", series::queries_parse),
        with(&["promtool"], "promtool_accepts_the_alerts", alerts::are_accepted),
        with(&["promtool"], "alerts_fire_when_they_should", alerts::fire),
        with(&["promtool"], "prometheus_takes_its_file", image::prometheus_takes_its_file),
        with(&["hadolint"], "the_dockerfile_lints", image::lints),
        with(&["check-jsonschema"], "compose_fits_its_schema", image::compose_fits_its_schema),
        test("the_processes_take_what_compose_gives_them", image::compose_fits_the_processes),
        test("the_chart_brings_the_dashboards_and_alerts", chart::brings_the_same_files),
        with(&["helm"], "the_chart_lints_and_renders", chart::renders),
        with(&["helm"], "values_that_cannot_be_are_refused_by_name", chart::refuses_by_name),
        with(&["helm"], "the_processes_take_what_the_chart_gives_them", chart::fits_the_processes),
        with(
            &["helm", "kubernetes-validate"],
            "kubernetes_accepts_what_the_chart_renders",
            chart::is_accepted_by_kubernetes,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn test(name: &str, check: fn()) -> Trial {
    Trial::test(name, move || {
        check();
        Ok(())
    })
}

/// A test that needs programs on the `PATH`. It is ignored if one is missing. `deploy/tools.sh` brings them.
fn with(programs: &[&str], name: &str, check: fn()) -> Trial {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    test(name, check).with_ignored_flag(!programs.iter().all(is_there))
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
