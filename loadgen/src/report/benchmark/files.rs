//! The files of benchmark reports.
//!
//! llm-d's tools read one document a file. They compare treatments, which are folders: the files of a folder are
//! averaged. So several runs go into a folder for each policy.

use super::document::document;
use super::parts::Asked;
use crate::figures::RunReport;
use crate::files::{PendingFile, bad};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The file of `--benchmark-report`, or those beside it. The path is checked before the work begins.
#[derive(Debug)]
pub struct BenchmarkFiles {
    path: PathBuf,
    file: PendingFile,
}

impl BenchmarkFiles {
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), file: PendingFile::create(path)? })
    }

    /// Writes a run to the file, or several to folders beside it.
    pub fn finish(self, asked: &Asked, runs: &[RunReport]) -> Result<()> {
        if let [run] = runs {
            return self.file.finish(document(asked, run).document().as_bytes());
        }
        if self.path.exists() && !self.path.is_file() {
            let why = format!("is no regular file, but {} runs need a file each", runs.len());
            return Err(bad(format!("--benchmark-report: {} {why}", self.path.display())));
        }
        for (place, run) in places(&self.path, runs).into_iter().zip(runs) {
            if let Some(folder) = place.parent() {
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            PendingFile::create(&place)?.finish(document(asked, run).document().as_bytes())?;
        }
        Ok(())
    }
}

/// Where each run goes: FOLDER/LABEL/NAME.yaml. Live and simulated runs have folders of their own, so that they are
/// not averaged. The name says more where a folder has several runs.
fn places(path: &Path, runs: &[RunReport]) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
    let ending = ending.unwrap_or_default();
    let several_modes = runs.iter().any(|run| run.mode != runs[0].mode);
    let treatment = |run: &RunReport| match several_modes {
        true => folder_name(&format!("{}, {}", run.label(), run.mode.name())),
        false => folder_name(&run.label()),
    };
    let mut by_treatment: BTreeMap<String, Vec<&RunReport>> = BTreeMap::new();
    for run in runs {
        by_treatment.entry(treatment(run)).or_default().push(run);
    }
    let mut taken = BTreeSet::new();
    let place = |run: &RunReport| {
        let siblings = &by_treatment[&treatment(run)];
        let mut name = stem.clone();
        if siblings.iter().any(|other| other.rate_scale != run.rate_scale) {
            name.push_str(&format!("_{}x", run.rate_scale));
        }
        if siblings.iter().any(|other| other.seed != run.seed) {
            name.push_str(&format!("_seed{}", run.seed));
        }
        // Labels that differ may have one folder, and nothing is written over.
        let files = (1..).map(|number| match number {
            1 => format!("{name}{ending}"),
            _ => format!("{name}_{number}{ending}"),
        });
        let mut places = files.map(|file| folder.join(treatment(run)).join(file));
        places.find(|place| taken.insert(place.clone())).expect("some number is free")
    };
    runs.iter().map(place).collect()
}

/// A label as the name of a folder: a label may contain any character.
fn folder_name(label: &str) -> String {
    let name = label.replace(['/', '\\'], "_");
    if name.trim_matches('.').is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Mode, Profiles, RunId};
    use warmpath_core::report::{Recorder, Slo};

    fn run(variant: &str, mode: Mode, rate_scale: f64, seed: u64) -> RunReport {
        let id = RunId {
            policy: None,
            variant: Some(variant.to_owned()),
            mode,
            workload: "w".to_owned(),
            seed,
            rate_scale,
        };
        let figures = Recorder::default().figures(16, None, &Slo::default());
        RunReport::new(id, Profiles::default(), figures, 0.0)
    }

    #[test]
    fn each_policy_has_a_folder_and_names_say_what_differs() {
        let runs = [
            run("a/b", Mode::Live, 1.0, 1),
            run("a/b", Mode::Sim, 1.0, 1),
            run("a/b", Mode::Sim, 2.5, 2),
            run("a_b", Mode::Sim, 1.0, 1),
        ];
        let own = |folder: &str, name: &str| {
            PathBuf::from(format!(
                "out/(the target's), a_b{folder}/benchmark_report_v0.2,_x{name}.yaml"
            ))
        };
        let path = Path::new("out/benchmark_report_v0.2,_x.yaml");
        let live_and_sim = [
            own(", live", ""),
            own(", sim", "_1x_seed1"),
            own(", sim", "_2.5x_seed2"),
            own(", sim", "_1x_seed1_2"),
        ];
        assert_eq!(places(path, &runs), live_and_sim);
        let two = [run("a/b", Mode::Sim, 1.0, 1), run("a_b", Mode::Sim, 1.0, 1)];
        assert_eq!(places(path, &two), [own("", ""), own("", "_2")]);
        assert_eq!(folder_name(".."), "_..");
    }
}
