//! Measures code side by side and prints a row for each comparison.
//!
//! All sides of a comparison run in one process, in turns: side one, side two, side one again. So a machine
//! that slows down slows all of them. A figure is the median of the rounds, with the lowest and the highest
//! round behind it. Time is the CPU time of the process, of all its threads: what others do on the machine
//! costs cache and clock speed, but no time.

mod trace;

use cpu_time::ProcessTime;
pub use trace::trace_path;

/// One side of a comparison: a name with a version, and a program that does a fixed amount of work.
pub struct Side<'a> {
    name: String,
    /// Prepares a round. It is not timed.
    before: Box<dyn FnMut() + 'a>,
    /// Does one round. Returns how much was done, in the unit of the row.
    round: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Side<'a> {
    /// `round` does the work of one round and returns how much that was, such as 1,000 look-ups. It is
    /// timed as a whole: what only prepares belongs before it.
    pub fn new(name: impl Into<String>, round: impl FnMut() -> f64 + 'a) -> Self {
        Self { name: name.into(), before: Box::new(|| ()), round: Box::new(round) }
    }

    /// The same with a step before each round that is not timed.
    #[must_use]
    pub fn prepared(self, before: impl FnMut() + 'a) -> Self {
        Self { before: Box::new(before), ..self }
    }

    /// One round: how much was done, and the CPU seconds that it took.
    fn timed(&mut self) -> (f64, f64) {
        (self.before)();
        let start = ProcessTime::now();
        let done = (self.round)();
        (done, start.elapsed().as_secs_f64())
    }
}

/// What the rounds of one side gave.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The side's name.
    pub name: String,
    /// One figure a round, from the lowest to the highest.
    figures: Vec<f64>,
}

impl Measured {
    /// Figures that need no rounds, such as bytes, or that were measured in another way.
    pub fn new(name: impl Into<String>, mut figures: Vec<f64>) -> Self {
        assert!(!figures.is_empty(), "a side has a round");
        figures.sort_by(f64::total_cmp);
        Self { name: name.into(), figures }
    }

    /// The middle figure; of an even number of rounds, the lower of the two.
    pub fn median(&self) -> f64 {
        self.figures[(self.figures.len() - 1) / 2]
    }

    fn range(&self) -> String {
        let (low, high) = (self.figures[0], self.figures[self.figures.len() - 1]);
        if low == high { String::new() } else { format!(" ({}..{})", short(low), short(high)) }
    }

    fn text(&self) -> String {
        format!("{}{}", short(self.median()), self.range())
    }
}

/// Work done per second of CPU, by each side in turns. One round of each before that is not counted.
pub fn per_second(rounds: usize, sides: Vec<Side<'_>>) -> Vec<Measured> {
    in_batches(rounds, 1, sides)
}

/// Uncounted rounds of a side before a counted one, where caches are to be warm. After one or two, figures of
/// look-ups still rose.
const WARMING: usize = 4;

/// The same with caches as warm as they can be: each counted round follows uncounted ones of the same
/// side.
pub fn per_second_warm(rounds: usize, mut sides: Vec<Side<'_>>) -> Vec<Measured> {
    let mut figures = vec![Vec::with_capacity(rounds); sides.len()];
    for _ in 0..rounds {
        for (side, figures) in sides.iter_mut().zip(&mut figures) {
            (0..WARMING).for_each(|_| _ = side.timed());
            let (done, took) = side.timed();
            figures.push(done / took);
        }
    }
    measured(sides, figures)
}

/// The same with cold caches: a round is `batches` calls of a side, and between two of them each other
/// side has a call. The calls of a side should walk through its work.
pub fn in_batches(rounds: usize, batches: usize, mut sides: Vec<Side<'_>>) -> Vec<Measured> {
    let mut figures = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..=rounds {
        let mut sums = vec![(0.0, 0.0); sides.len()];
        for _ in 0..batches {
            for (side, (done, took)) in sides.iter_mut().zip(&mut sums) {
                let (more, longer) = side.timed();
                (*done, *took) = (*done + more, *took + longer);
            }
        }
        for ((done, took), figures) in sums.into_iter().zip(&mut figures) {
            if round > 0 {
                figures.push(done / took);
            }
        }
    }
    measured(sides, figures)
}

fn measured(sides: Vec<Side<'_>>, figures: Vec<Vec<f64>>) -> Vec<Measured> {
    let named = |(side, figures): (Side<'_>, _)| Measured::new(side.name, figures);
    sides.into_iter().zip(figures).map(named).collect()
}

/// CPU seconds for one unit of work, by each side in turns, as [`per_second`].
pub fn seconds_each(rounds: usize, sides: Vec<Side<'_>>) -> Vec<Measured> {
    let inverse = |side: Measured| {
        let figures = side.figures.iter().map(|figure| 1.0 / figure).collect();
        Measured::new(side.name, figures)
    };
    per_second(rounds, sides).into_iter().map(inverse).collect()
}

/// Whether a row's figure is good when it is high or when it is low.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Good {
    /// Rates.
    High,
    /// Times and bytes.
    Low,
}

/// The first lines of the table.
pub fn head() {
    println!("| row | unit | warmpath | best peer | ratio | wanted |");
    println!("|---|---|---|---|---|---|");
}

/// Prints one row. `ours` is the first side. The best of the others is the peer. The ratio is how many
/// times better ours is: of rates ours over theirs, of times and bytes theirs over ours. Without a peer,
/// there is no ratio. `wanted` says what we aim at, in words such as `2` or `under 10`.
pub fn row(what: &str, unit: &str, good: Good, sides: &[Measured], wanted: &str) {
    let (ours, theirs) = sides.split_first().expect("our side comes first");
    let better = |a: &&Measured, b: &&Measured| match good {
        Good::High => a.median().total_cmp(&b.median()),
        Good::Low => b.median().total_cmp(&a.median()),
    };
    let (peer, ratio) = match theirs.iter().max_by(better) {
        Some(best) => {
            let ratio = match good {
                Good::High => ours.median() / best.median(),
                Good::Low => best.median() / ours.median(),
            };
            (format!("{}: {}", best.name, best.text()), format!("{ratio:.2}"))
        }
        None => ("-".to_owned(), "-".to_owned()),
    };
    println!("| {what} | {unit} | {} | {peer} | {ratio} | {wanted} |", ours.text());
}

/// Three digits and a suffix: `1.21 M`, `680`, `4.10`.
fn short(figure: f64) -> String {
    let (figure, suffix) = match figure.abs() {
        large if large >= 1e9 => (figure / 1e9, " G"),
        large if large >= 1e6 => (figure / 1e6, " M"),
        large if large >= 1e3 => (figure / 1e3, " k"),
        _ => (figure, ""),
    };
    let decimals = match figure.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.decimals$}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::{Measured, short};

    #[test]
    fn figures_are_short() {
        let all = [0.5, 12.34, 680.4, 1_210.0, 83_000.0, 1_680_000.0, 2.5e9].map(short);
        assert_eq!(all, ["0.50", "12.3", "680", "1.21 k", "83.0 k", "1.68 M", "2.50 G"]);
    }

    #[test]
    fn a_side_has_a_median_and_a_range() {
        let side = Measured::new("a 1.0", vec![3.0, 1.0, 2.0]);
        assert_eq!(side.median(), 2.0);
        assert_eq!(side.text(), "2.00 (1.00..3.00)");
    }
}
