//! The kinds of workers in a fleet, with sums over them.

use crate::event::WorkerInfo;

/// Workers that said the same of themselves, apart from their numbers and epochs.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// Kinds of equal numbers are the same.
    pub number: u32,
    /// What they said. Number and epoch are those of one of them, which may be gone.
    pub info: &'a WorkerInfo,
}

/// The kinds of workers that there are, and sums over all workers.
#[derive(Default, Debug)]
pub(super) struct Kinds {
    all: Vec<Counted>,
    queued: u64,
}

#[derive(Debug)]
struct Counted {
    info: WorkerInfo,
    workers: u32,
    /// Those without a request under way.
    idle: u32,
}

impl Kinds {
    pub fn get(&self, number: u32) -> Kind<'_> {
        Kind { number, info: &self.all[number as usize].info }
    }

    /// Those of which there are workers, and how many of these have no request under way.
    pub fn iter(&self) -> impl Iterator<Item = (Kind<'_>, u32)> {
        let kinds = self.all.iter().zip(0..).filter(|(kind, _)| kind.workers > 0);
        kinds.map(|(Counted { info, idle, .. }, number)| (Kind { number, info }, *idle))
    }

    /// Requests on all workers whose prompts are not yet computed.
    pub const fn queued(&self) -> u64 {
        self.queued
    }

    pub fn change_queued(&mut self, before: u32, after: u32) {
        self.queued = self.queued - u64::from(before) + u64::from(after);
    }

    pub fn change_idle(&mut self, number: u32, before: bool, after: bool) {
        let idle = &mut self.all[number as usize].idle;
        *idle = *idle - u32::from(before) + u32::from(after);
    }

    /// A worker joins. Returns the number of its kind.
    pub fn add(&mut self, info: &WorkerInfo) -> u32 {
        let alike = self.all.iter().position(|kind| kind.workers > 0 && kind.info.is_like(info));
        let number = alike.unwrap_or_else(|| {
            let new = Counted { info: info.clone(), workers: 0, idle: 0 };
            match self.all.iter().position(|kind| kind.workers == 0) {
                Some(free) => {
                    self.all[free] = new;
                    free
                }
                None => {
                    self.all.push(new);
                    self.all.len() - 1
                }
            }
        });
        self.all[number].workers += 1;
        self.all[number].idle += 1;
        number as u32
    }

    /// A worker is gone.
    pub fn remove(&mut self, number: u32, idle: bool) {
        let kind = &mut self.all[number as usize];
        kind.workers -= 1;
        kind.idle -= u32::from(idle);
    }
}
