//! What is made of files, and made again when they change.

use super::TlsError;
use crate::clock::{now, since};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The files are looked at for a new connection, at most this often.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: inode, size and time of change. None: it cannot be read.
type Mark = Option<(u64, u64, i64, i64)>;
type Make<T> = Box<dyn Fn() -> Result<Arc<T>, TlsError> + Send + Sync>;

/// A value made of files. Clones are the same one.
pub struct Fresh<T>(Arc<Inner<T>>);

struct Inner<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    marks: Vec<Mark>,
    looked: Instant,
    /// What was wrong with the files when they were last read. It is said once.
    wrong: Option<TlsError>,
}

impl<T> Fresh<T> {
    /// Makes the value for the first time. The error is that of `make`.
    pub fn new(paths: Vec<PathBuf>, make: Make<T>) -> Result<Self, TlsError> {
        let (marks, looked) = (marks(&paths), now());
        let state = State { value: make()?, marks, looked, wrong: None };
        Ok(Self(Arc::new(Inner { paths, make, state: Mutex::new(state) })))
    }

    /// The value, made again if the files have changed. If they cannot be used, perhaps because not all of them have
    /// been replaced yet, the value stays as it is, and they are read again a second later.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state();
        if since(state.looked) >= LOOK {
            state.looked = now();
            let marks = marks(&self.0.paths);
            if marks != state.marks {
                self.read_again(&mut state, marks);
            }
        }
        Arc::clone(&state.value)
    }

    fn read_again(&self, state: &mut State<T>, marks: Vec<Mark>) {
        match (self.0.make)() {
            Ok(value) => {
                tracing::info!(file = %self.0.paths[0].display(), "certificates read again");
                (state.value, state.marks, state.wrong) = (value, marks, None);
            }
            Err(error) if state.wrong.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "new certificates cannot be used, the old ones stay");
                state.wrong = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn marks(paths: &[PathBuf]) -> Vec<Mark> {
    let mark = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    paths.iter().map(mark).collect()
}

impl<T> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fresh").field(&self.0.paths).finish()
    }
}
