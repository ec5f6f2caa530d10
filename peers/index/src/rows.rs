//! The rows of the table.

use crate::sides::{Digests, Dynamo, Index, KvIndex, Ours};
use crate::workload::{self, Event, Workload};
use peers_table::{Good, Measured, Side, in_batches, per_second, per_second_warm, row};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;

const ROUNDS: usize = 9;
/// Look-ups of one side before the next side has its turn, where caches are to be cold.
const BATCH: usize = 1_000;

/// The same where their prompts are to be warm: a few hundred kilobytes of names.
const FEW: usize = 100;

/// What the cache has of the prompts when they are looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompts {
    /// What earlier rounds have left of them.
    AsTheyAre,
    /// All of their names: a router names a prompt just before it looks it up.
    JustRead,
}

/// Mooncake's conversation trace on 16 workers.
pub fn conversation(path: &Path) {
    let read = |room| workload::conversation(path, 16, room).expect("a trace that can be read");
    let load = read(usize::MAX);
    let trace = "conversation trace, 16 workers";
    look_ups(&load, trace);
    stored(&load, &format!("blocks stored, {trace}"), "1.5");
    memory(&load, trace, true);
    // 3,000,000 tokens in blocks of 512.
    let load = read(3_000_000 / 512 / 16);
    check(&load);
    stored(&load, &format!("blocks stored and removed, {trace}"), "1.5");
}

/// 10,000,000 memberships on 256 workers.
pub fn synthetic() {
    let load = workload::synthetic(256, 10_000_000, 100_000);
    let what = "10M memberships, 256 workers, 64 to 512 deep";
    look_ups(&load, what);
    stored(&load, &format!("blocks stored, {what}"), "4.1");
    memory(&load, what, false);
}

/// An index with all events of a workload.
fn filled<I: Index>(load: &Workload) -> I {
    let mut index = I::new(load.workers);
    load.events.iter().for_each(|event| index.apply(I::event(event)));
    index
}

/// Panics unless all indexes give the same answers.
fn check(load: &Workload) {
    fn answers<'a, I: Index + 'a>(
        load: &'a Workload,
    ) -> impl FnMut(&[u64]) -> Vec<(u32, u32)> + 'a {
        let mut index: I = filled(load);
        move |asked| index.overlap(I::ready(&I::query(asked)))
    }
    let (mut ours, mut digests) = (answers::<Ours>(load), answers::<Digests>(load));
    let (mut kv_index, mut dynamo) = (answers::<KvIndex>(load), answers::<Dynamo>(load));
    for asked in &load.look_ups {
        let found = ours(asked);
        assert_eq!(found, digests(asked), "ours, with digests");
        assert_eq!(found, kv_index(asked), "ours, {}", KvIndex::NAME);
        assert_eq!(found, dynamo(asked), "ours, {}", Dynamo::NAME);
    }
}

fn look_ups(load: &Workload, what: &str) {
    check(load);
    let (ours, kv_index, dynamo) =
        (Asked::<Ours>::new(load), Asked::<KvIndex>::new(load), Asked::<Dynamo>::new(load));
    let sides = |batch, prompts| {
        let (ours, kv_index) = (ours.side(batch, prompts), kv_index.side(batch, prompts));
        vec![ours, kv_index, dynamo.side(batch, prompts)]
    };
    let all = load.look_ups.len();
    let warm = per_second_warm(ROUNDS, sides(all, Prompts::AsTheyAre));
    row(&format!("look-ups, {what}, warm"), "a second", Good::High, &warm, "2");
    let cold = in_batches(ROUNDS, all / BATCH, sides(BATCH, Prompts::AsTheyAre));
    row(&format!("look-ups, {what}, cold"), "a second", Good::High, &cold, "2");
    let named = in_batches(ROUNDS, all / FEW, sides(FEW, Prompts::JustRead));
    let what = format!("look-ups, {what}, cold, prompts just read");
    row(&what, "a second", Good::High, &named, "2");
}

/// A full index and its prompts.
struct Asked<I: Index> {
    index: RefCell<I>,
    queries: Vec<I::Query>,
}

impl<I: Index> Asked<I> {
    fn new(load: &Workload) -> Self {
        let queries = load.look_ups.iter().map(|asked| I::query(asked)).collect();
        Self { index: RefCell::new(filled(load)), queries }
    }

    /// Looks `batch` prompts up in each round, and the ones after them in the next round.
    fn side(&self, batch: usize, prompts: Prompts) -> Side<'_> {
        let ready = Rc::new(RefCell::new(Vec::with_capacity(batch)));
        let prepared = Rc::clone(&ready);
        let mut next = 0;
        let round = move || {
            let mut index = self.index.borrow_mut();
            let asked: Vec<I::Ready<'_>> = ready.take();
            let count = asked.len();
            asked.into_iter().for_each(|query| _ = black_box(index.look_up(query)));
            count as f64
        };
        Side::new(I::NAME, round).prepared(move || {
            if next + batch > self.queries.len() {
                next = 0;
            }
            let some = &self.queries[next..next + batch];
            if prompts == Prompts::JustRead {
                some.iter().for_each(|query| _ = black_box(I::read(query)));
            }
            prepared.borrow_mut().extend(some.iter().map(I::ready));
            next += batch;
        })
    }
}

fn stored(load: &Workload, what: &str, wanted: &str) {
    let sides = vec![fed::<Digests>(load), fed::<KvIndex>(load), fed::<Dynamo>(load)];
    row(what, "blocks a second", Good::High, &per_second(ROUNDS, sides), wanted);
}

/// Feeds a new index with all events in each round.
fn fed<I: Index + 'static>(load: &Workload) -> Side<'_> {
    type Prepared<I> = Option<(I, Vec<<I as Index>::Event>)>;
    let state: Rc<Cell<Prepared<I>>> = Rc::default();
    let prepared = Rc::clone(&state);
    let round = move || {
        let (mut index, events) = state.take().expect("a round is prepared");
        events.into_iter().for_each(|event| index.apply(event));
        // It is dropped before the next round, when no clock runs.
        state.set(Some((index, Vec::new())));
        load.moved as f64
    };
    Side::new(I::NAME, round).prepared(move || {
        drop(prepared.take());
        let events = load.events.iter().map(I::event).collect();
        prepared.set(Some((I::new(load.workers), events)));
    })
}

/// Bytes that a full index asked the allocator for, and what is left after every block is removed.
fn memory(load: &Workload, what: &str, and_removed: bool) {
    let removal = if and_removed { load.removal() } else { Vec::new() };
    let sides = [
        held::<Digests>(load, &removal),
        held::<KvIndex>(load, &removal),
        held::<Dynamo>(load, &removal),
    ];
    let figures = |pick: fn(&Held) -> f64| -> Vec<Measured> {
        sides.iter().map(|held| Measured::new(held.name, vec![pick(held)])).collect()
    };
    let a_member = figures(|held| held.a_member);
    row(&format!("memory a membership, {what}"), "bytes", Good::Low, &a_member, "2.4");
    if and_removed {
        let left = figures(|held| held.left * 100.0);
        let what = format!("heap kept after everything is removed, {what}");
        row(&what, "% of the full index", Good::Low, &left, "5 %");
    }
}

struct Held {
    name: &'static str,
    a_member: f64,
    /// The part of the full index that is left after `removal`.
    left: f64,
}

fn held<I: Index>(load: &Workload, removal: &[Event]) -> Held {
    let mut index = None;
    let full = allocation_counter::measure(|| index = Some(filled::<I>(load))).bytes_current;
    let mut index = index.expect("it was filled");
    let change = allocation_counter::measure(|| {
        removal.iter().for_each(|event| index.apply(I::event(event)));
    });
    let left = (full + change.bytes_current) as f64 / full as f64;
    if !removal.is_empty() {
        let found = load.look_ups.iter().map(|asked| index.look_up(I::ready(&I::query(asked))));
        assert_eq!(found.sum::<usize>(), 0, "{}: everything was removed", I::NAME);
    }
    Held { name: I::NAME, a_member: full as f64 / load.members as f64, left }
}
