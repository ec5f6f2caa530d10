//! Progress on standard error: a bar on a terminal, else a line now and then.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use warmpath_launch::terminal::say;

/// Where there is no terminal, a line is written this often. Short work writes none.
const LINE_EVERY: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    is_quiet: bool,
}

/// The bar of one run. Dropping it removes it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// Where there is no terminal.
    lines: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    label: String,
    what: String,
    total: u64,
    began: Instant,
    last: Mutex<Instant>,
}

impl Progress {
    /// A quiet one writes nothing.
    pub const fn new(is_quiet: bool) -> Self {
        Self { is_quiet }
    }

    /// Starts a bar. `what` is the unit.
    pub fn start(&self, total: u64, label: &str, what: &str) -> Bar {
        // A bar draws only on a terminal, at most ten times per second.
        let target = match self.is_quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(10),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!(
            "{{msg:<24}} {{wide_bar}} {{pos}}/{{len}} {what}, {{elapsed}}, about {{eta}} left"
        );
        let style = ProgressStyle::with_template(&template);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        let now = Instant::now();
        let lines = (bar.is_hidden() && !self.is_quiet).then(|| Lines {
            label: label.to_owned(),
            what: what.to_owned(),
            total,
            began: now,
            last: Mutex::new(now),
        });
        Bar { bar, lines }
    }
}

impl Bar {
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(lines) = &self.lines {
            lines.write(done);
        }
    }
}

impl Lines {
    fn write(&self, done: u64) {
        // Another thread that is writing has the same to say.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let counts = (done, self.total);
            say(&line(&self.label, &self.what, counts, self.began.elapsed()));
        }
    }
}

fn line(label: &str, what: &str, (done, total): (u64, u64), elapsed: Duration) -> String {
    let elapsed = elapsed.as_secs_f64();
    let left = elapsed / done.max(1) as f64 * total.saturating_sub(done) as f64;
    format!("{label}: {done} of {total} {what}, {elapsed:.0} s, about {left:.0} s left")
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_and_what_remains() {
        let line = line("sim", "runs", (150, 600), Duration::from_secs(60));
        assert_eq!(line, "sim: 150 of 600 runs, 60 s, about 180 s left");
    }
}
