//! The cells of a sweep in files, so that a sweep that was cut off goes on, and several processes share one.
//!
//! A cell is one rule at one point, with one rate and one seed. Each process writes a file of its own in the folder, a
//! JSON object a line. A cell is found by a hash of all that its result depends on: the program's version, the set-up,
//! the rule, the seed and the bytes of the trace.

use crate::args::PartArg;
use crate::figures::{Bounds, CourseFigures, Part, RunReport};
use crate::files::bad;
use crate::setup::{Course, Setup};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use warmpath_core::report::Figures;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_launch::version::VERSION;

/// What a hash is made of, so that a later format has other hashes.
const FORMAT: &str = "warmpath.sweep-cell.v1";

/// The result of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellResult {
    pub key: String,
    /// For the reader of the file; the key says which cell it is.
    pub point: String,
    pub policy: String,
    pub rate_scale: f64,
    pub seed: u64,
    pub figures: Figures,
    pub bounds: Option<Bounds>,
    pub course: Option<CourseFigures>,
    pub parts: Vec<Part>,
    pub invalid_because: Option<String>,
    pub wall_s: f64,
}

impl CellResult {
    pub fn of(key: String, point: &str, run: RunReport) -> Self {
        Self {
            key,
            point: point.to_owned(),
            policy: run.policy.map_or_else(String::new, |policy| policy.label),
            rate_scale: run.rate_scale,
            seed: run.seed,
            figures: run.figures,
            bounds: run.bounds,
            course: run.course,
            parts: run.parts,
            invalid_because: run.invalid_because,
            wall_s: run.wall_s,
        }
    }
}

/// A hash of all that a cell's result depends on. `stretch`: how many times as many requests a drawn workload has.
/// `requests`: a hash of the trace.
pub fn key(
    setup: &Setup,
    (stretch, course): (f64, Option<&Course>),
    policy: &NamedPolicy,
    (rate, seed): (f64, u64),
    requests: &str,
) -> Result<String> {
    // What other cells there are changes nothing.
    let alone = Setup {
        policies: vec![policy.clone()],
        baseline: policy.clone(),
        rates: vec![rate],
        seed,
        seeds: 1,
        capacity: false,
        ..setup.clone()
    };
    let phases = course.map(Course::phases);
    let bytes = serde_json::to_vec(&(FORMAT, VERSION, alone, stretch, phases, requests))?;
    Ok(blake3::hash(&bytes).to_hex()[..32].to_owned())
}

/// A hash of the files' bytes.
pub fn digest(paths: &[PathBuf]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// The cells that are there, and the file of this process.
pub struct Cells {
    known: HashMap<String, CellResult>,
    file: Mutex<Option<File>>,
    /// Lines of the files that are no cells: a process was killed while it wrote.
    pub broken: usize,
}

impl Cells {
    /// Without a folder, nothing is kept.
    pub fn open(folder: Option<&Path>, part: Option<PartArg>) -> Result<Self> {
        let mut cells = Self { known: HashMap::new(), file: Mutex::new(None), broken: 0 };
        let Some(folder) = folder else { return Ok(cells) };
        let err = |what: &Path| format!("--cells: '{}'", what.display());
        fs::create_dir_all(folder).with_context(|| err(folder)).map_err(plain)?;
        cells.read_all(folder)?;
        let name = match part {
            Some(PartArg { number, of }) => format!("cells-{number}-of-{of}.jsonl"),
            None => "cells.jsonl".to_owned(),
        };
        let path = folder.join(name);
        let file = append(&path).with_context(|| err(&path)).map_err(plain)?;
        cells.file = Mutex::new(Some(file));
        Ok(cells)
    }

    /// Takes in what is in the folder now, of all processes.
    pub fn read_all(&mut self, folder: &Path) -> Result<()> {
        self.broken = 0;
        let err = |what: &Path| format!("--cells: '{}'", what.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| err(folder)).map_err(plain)? {
            let path = entry.with_context(|| err(folder)).map_err(plain)?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                paths.push(path);
            }
        }
        // The same order on every machine.
        paths.sort();
        for path in &paths {
            let text = fs::read(path).with_context(|| err(path)).map_err(plain)?;
            self.read(&String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    fn read(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str::<CellResult>(line) {
                // Equal keys have equal results.
                Ok(cell) => drop(self.known.entry(cell.key.clone()).or_insert(cell)),
                Err(_) => self.broken += 1,
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&CellResult> {
        self.known.get(key)
    }

    /// Keeps a result in the file, at once. Gives it back as it is read from there: the last digits of numbers may
    /// differ, and a sweep that goes on prints what one in a single run does.
    pub fn keep(&self, cell: &CellResult) -> Result<CellResult> {
        let mut line = serde_json::to_string(cell)?;
        let kept = serde_json::from_str(&line)?;
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_mut() {
            file.write_all(line.as_bytes()).context("--cells")?;
        }
        Ok(kept)
    }

    /// Takes in what this process played.
    pub fn add(&mut self, cell: CellResult) {
        self.known.insert(cell.key.clone(), cell);
    }
}

/// The file, at its end. A line that was cut off gets an end of its own.
fn append(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// One line, as for other bad input.
fn plain(error: anyhow::Error) -> anyhow::Error {
    bad(format!("{error:#}"))
}
