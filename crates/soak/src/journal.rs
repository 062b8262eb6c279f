//! What the run says: a line for each event, and on a terminal what is going on.

use std::fmt::Display;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Everything said, with the time since the start.
#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    bar: ProgressBar,
    lines: Vec<String>,
}

impl Journal {
    /// Nothing said yet; the run takes about `time`.
    pub(crate) fn new(time: Duration) -> Self {
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_bar} {msg}")
            .expect("the template above is well-formed");
        let bar = ProgressBar::new(time.as_secs().max(1)).with_style(style);
        bar.enable_steady_tick(Duration::from_secs(1));
        Self { started: Instant::now(), bar, lines: Vec::new() }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A line of its own.
    pub(crate) fn say(&mut self, what: impl Display) {
        let time = self.elapsed();
        let (minutes, seconds) = (time.as_secs() / 60, time.as_secs_f32() % 60.0);
        let line = format!("{minutes:>3}:{seconds:04.1}  {what}");
        self.bar.suspend(|| println!("{line}"));
        self.lines.push(line);
    }

    /// What is going on.
    pub(crate) fn progress(&self, what: String) {
        self.bar.set_position(self.elapsed().as_secs());
        self.bar.set_message(what);
    }

    /// Everything said.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
