//! The log: lines for events of sessions and of the process, nothing for updates.
//!
//! Whoever logs formats the line and puts it into a bounded `Queue`; a thread for each output writes it. So a log that nobody
//! reads stops nothing: the queue fills, further lines are counted and left out, and a line says how many once there is
//! room again. Each line is one line: whatever cannot be printed is escaped here, the last place before the output.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::config::{LogFormat, LogLevel, LogOutput, LogTarget};

mod escape;
mod queue;
mod writer;

use escape::Escape;
use queue::{Queue, Urgency};

/// Where lines go when the configuration has no `log` line.
const DEFAULT: LogTarget =
    LogTarget { output: LogOutput::Stderr, format: LogFormat::Plain, level: LogLevel::Info };
/// How long the end of the process waits for lines to be read.
const FLUSH: Duration = Duration::from_millis(500);

/// The log of the process. Dropped at its end, it waits until everything is written, for half a second at most: nobody may be
/// reading.
#[must_use]
pub struct Log {
    stdout: Arc<Queue>,
    stderr: Arc<Queue>,
}

/// What is taken of the log's room, over both outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Bytes that wait to be written.
    pub waiting: u64,
    /// Most bytes that may wait.
    pub limit: u64,
    /// Lines that found no room, or could not be written.
    pub lost: u64,
}

/// The queues of the process, for [`usage`].
static QUEUES: OnceLock<[Arc<Queue>; 2]> = OnceLock::new();

impl Log {
    /// Starts logging as the `log` lines say; to standard error without any. Once for each process.
    ///
    /// # Errors
    /// When the system gives no thread or no file descriptor.
    pub fn start(targets: &[LogTarget]) -> io::Result<Self> {
        let targets = if targets.is_empty() { &[DEFAULT] } else { targets };
        let stdout = writer::start("stdout", io::stdout())?;
        let stderr = writer::start("stderr", io::stderr())?;
        let layers: Vec<_> = targets
            .iter()
            .map(|target| {
                let queue = match target.output {
                    LogOutput::Stdout => &stdout,
                    LogOutput::Stderr => &stderr,
                };
                layer(target, Arc::clone(queue))
            })
            .collect();
        tracing_subscriber::registry().with(layers).init();
        let _ = QUEUES.set([Arc::clone(&stdout), Arc::clone(&stderr)]);
        Ok(Self { stdout, stderr })
    }

    /// Writes a text to standard error, as it is, behind the lines that wait there.
    pub fn print(&self, text: &str) {
        for line in text.split_inclusive('\n') {
            self.stderr.push(line.as_bytes().to_vec(), Urgency::High);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        for queue in [&self.stdout, &self.stderr] {
            queue.wait_empty(deadline);
        }
    }
}

/// What is taken of the log's room at this moment.
pub fn usage() -> LogUsage {
    let queues = QUEUES.get().map_or(&[][..], |queues| queues);
    queues.iter().fold(LogUsage::default(), |sum, queue| {
        let usage = queue.usage();
        LogUsage {
            waiting: sum.waiting + usage.waiting,
            limit: sum.limit + usage.limit,
            lost: sum.lost + usage.lost,
        }
    })
}

/// Whether any target takes lines of this level. A line that none takes must cost nothing of a quota.
pub(crate) fn takes(level: Level) -> bool {
    level <= LevelFilter::current()
}

thread_local! {
    /// How many locks this thread holds under which nothing is logged.
    static QUIET: Cell<u32> = const { Cell::new(0) };
}

/// While one lives, its thread logs nothing: formatting a line takes time that others would wait for a lock. Debug builds
/// check this at every line.
pub(crate) struct Quiet(());

impl Quiet {
    /// Begins.
    pub(crate) fn begin() -> Self {
        QUIET.set(QUIET.get() + 1);
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(QUIET.get() - 1);
    }
}

fn layer(target: &LogTarget, queue: Arc<Queue>) -> Box<dyn Layer<Registry> + Send + Sync> {
    let escape = if target.format == LogFormat::Json { Escape::Json } else { Escape::Text };
    let lines = fmt::layer().with_writer(Lines { queue, escape }).with_target(false).with_ansi(false);
    let lines = lines.log_internal_errors(false);
    let filter = LevelFilter::from_level(level(target.level));
    match target.format {
        LogFormat::Plain => lines.with_filter(filter).boxed(),
        LogFormat::Raw => lines.without_time().with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

const fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Emergency | LogLevel::Alert | LogLevel::Critical | LogLevel::Error => Level::ERROR,
        LogLevel::Warning => Level::WARN,
        LogLevel::Notice | LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    }
}

/// Gives each line the way into the queue that its level has.
struct Lines {
    queue: Arc<Queue>,
    escape: Escape,
}

/// Takes one line.
struct Line<'a> {
    lines: &'a Lines,
    urgency: Urgency,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, urgency: Urgency::Low }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let urgency = if *metadata.level() <= Level::WARN { Urgency::High } else { Urgency::Low };
        Line { lines: self, urgency }
    }
}

impl io::Write for Line<'_> {
    /// Takes all of it: the formatter writes a line in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        debug_assert!(
            QUIET.get() == 0 || std::thread::panicking(),
            "a line is logged under a lock: {}",
            String::from_utf8_lossy(line)
        );
        self.lines.queue.push(self.lines.escape.line(line), self.urgency);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
