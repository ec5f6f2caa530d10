//! The record of a simulated router.

use crate::figures::record_name;
use crate::files::{PendingFile, bad};
use anyhow::Result;
use std::path::Path;
use warmpath_core::routing::policy::NamedPolicy;
use warmpath_core::routing::record::{End, Entry, Header};
use warmpath_core::routing::{AdmissionLimits, QueueLimits, Reliability, Siblings};

/// A record that is kept in memory until it is complete.
pub struct Log {
    file: PendingFile,
    text: Vec<u8>,
    entries: u64,
}

impl Log {
    pub fn create(
        folder: &Path,
        policy: &NamedPolicy,
        variant: Option<&str>,
        seed: u64,
        (queue, reliability, admission): (QueueLimits, Reliability, Option<AdmissionLimits>),
        siblings: Siblings,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| bad(format!("{}: {error}", folder.display())))?;
        let file = PendingFile::create(&folder.join(record_name(policy, variant)))?;
        let header = Header::new(policy.policy, seed).with_queue_limits(queue);
        let header = header.with_reliability(reliability).with_admission(admission);
        let header = header.with_siblings(siblings);
        let mut text = serde_json::to_vec(&header)?;
        text.push(b'\n');
        Ok(Self { file, text, entries: 0 })
    }

    pub fn push(&mut self, entry: &Entry) {
        serde_json::to_writer(&mut self.text, entry).expect("an entry has a JSON form");
        self.text.push(b'\n');
        self.entries += 1;
    }

    pub fn finish(mut self) -> Result<()> {
        serde_json::to_writer(&mut self.text, &End { end: self.entries })?;
        self.text.push(b'\n');
        self.file.finish(&self.text)
    }
}
