//! What is going on, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over all rounds with the one under way; nothing is shown when standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of `rounds` steps.
    pub(crate) fn new(rounds: usize) -> Self {
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}")
            .expect("the template above is well-formed")
            .progress_chars("=> ");
        let bar = ProgressBar::new(rounds as u64).with_style(style);
        bar.enable_steady_tick(Duration::from_secs(1));
        Self(bar)
    }

    /// Says what begins.
    pub(crate) fn begin(&self, what: String) {
        self.0.set_message(what);
    }

    /// A round is done.
    pub(crate) fn done(&self) {
        self.0.inc(1);
    }

    /// There is one round more than was thought.
    pub(crate) fn one_more(&self) {
        self.0.inc_length(1);
    }

    /// A line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| println!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
