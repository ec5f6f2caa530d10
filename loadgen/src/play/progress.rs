//! Progress bars on standard error. Without a terminal there are none.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug, Default)]
pub struct Progress;

/// The bar of one run. Dropping it removes it.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Progress {
    /// Starts a bar. `what` is the unit.
    pub fn start(&self, total: u64, label: &str, what: &str) -> Bar {
        // A bar draws only on a terminal, at most ten times per second.
        let bar =
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        let template = format!(
            "{{msg:<24}} {{wide_bar}} {{pos}}/{{len}} {what}, {{elapsed}} of about {{duration}}"
        );
        let style = ProgressStyle::with_template(&template);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        Bar(bar)
    }
}

impl Bar {
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
