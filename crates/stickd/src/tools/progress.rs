//! How far a command has come, on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on the standard error, which nobody sees unless that is a terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar that ends at `total`; one without an end when that is 0.
    pub(super) fn new(what: &str, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let form = match total {
            0 => "{msg} {spinner} {human_pos} entries, {per_sec}, {elapsed}",
            _ => "{msg} {wide_bar} {human_pos} of {human_len} entries, {per_sec}, {eta} left",
        };
        let bar = ProgressBar::with_draw_target(
            Some(total).filter(|&total| total > 0),
            ProgressDrawTarget::stderr_with_hz(10),
        );
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// One more.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    /// Writes a line to the standard error, above the bar.
    pub(super) fn line(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
