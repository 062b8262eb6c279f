//! Where the demonstration is shown.

use super::paint::Paint;
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Smallest terminal for redrawing; a smaller one gets snapshots.
const COLUMNS: u16 = 96;
const ROWS: u16 = 28;

/// Steps of the whole demonstration.
const STEPS: usize = 10;

/// Time between two frames in place.
const REDRAW: Duration = Duration::from_millis(200);

/// Time between two snapshots one below the other.
const SNAPSHOT: Duration = Duration::from_secs(3);

/// Text one line after the other, and a frame that is redrawn in place on a terminal and printed now and then elsewhere.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) paint: Paint,
    redraws: bool,
    /// Lines of the frame above the cursor, 0 when the next frame starts afresh.
    drawn: usize,
    /// Number of the step shown.
    step: usize,
    shown: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let output = io::stdout();
        let fits = tcgetwinsize(&output).is_ok_and(|size| size.ws_col >= COLUMNS && size.ws_row >= ROWS);
        Self {
            paint: Paint::detect(),
            redraws: output.is_terminal() && fits,
            drawn: 0,
            step: 0,
            shown: Instant::now(),
        }
    }

    /// How long to wait between two calls of [`Self::frame`].
    pub(super) fn pause(&self) -> Duration {
        REDRAW
    }

    /// Prints a line below everything else.
    pub(super) fn say(&mut self, line: &str) {
        self.drawn = 0;
        put(&format!("{line}\n"));
    }

    /// Prints the heading of the next step.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        let title = format!("{} of {STEPS}: {title}", self.step);
        let heading = format!("── {title} {}", "─".repeat(92_usize.saturating_sub(title.chars().count())));
        self.say("");
        self.say(&self.paint.bold(&heading));
    }

    /// Prints what a user would type to see or do the same.
    pub(super) fn command(&mut self, command: &str) {
        self.say(&format!("  $ {}", self.paint.command(command)));
    }

    /// The next frame starts below what there is, and a snapshot is due in a moment.
    pub(super) fn open(&mut self) {
        self.drawn = 0;
        self.shown = Instant::now();
        self.say("");
    }

    /// Shows a frame over the one before; without redrawing, only when it is time for a snapshot.
    pub(super) fn frame(&mut self, lines: &[String]) {
        if self.redraws {
            self.draw(lines);
        } else if self.shown.elapsed() >= SNAPSHOT {
            self.snapshot(lines);
        }
    }

    /// Shows the last frame of its kind.
    pub(super) fn close(&mut self, lines: &[String]) {
        if self.redraws {
            self.draw(lines);
        } else {
            self.snapshot(lines);
        }
        self.drawn = 0;
    }

    /// One write for all of it, so that no half frame is seen. Lines do not wrap: what is too wide is cut off.
    fn draw(&mut self, lines: &[String]) {
        let mut text = String::from("\x1b[?2026h\x1b[?25l\x1b[?7l");
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            text.push_str(&format!("\r{line}\x1b[K\n"));
        }
        text.push_str("\x1b[J\x1b[?7h\x1b[?25h\x1b[?2026l");
        put(&text);
        self.drawn = lines.len();
    }

    fn snapshot(&mut self, lines: &[String]) {
        put(&(lines.join("\n") + "\n\n"));
        self.shown = Instant::now();
    }
}

/// A terminal that is gone (SIGHUP) must not keep us from stopping what we started.
fn put(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    let _ = output.flush();
}
