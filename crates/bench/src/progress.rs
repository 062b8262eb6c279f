//! What is going on, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How long it has been going on, what is under way, and how many rounds are done; nothing is shown when standard error is no
/// terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Nothing done yet.
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise}, {pos} rounds done: {msg}")
            .expect("the template above is well-formed");
        let bar = ProgressBar::new_spinner().with_style(style);
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

    /// A line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| println!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
