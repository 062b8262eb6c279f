//! Log lines: a line for each event of a session, nothing for updates.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::config::{LogFormat, LogLevel, LogOutput, LogTarget};

/// Where lines go when the configuration has no `log` line.
const DEFAULT: LogTarget =
    LogTarget { output: LogOutput::Stderr, format: LogFormat::Plain, level: LogLevel::Info };

/// Starts logging as the `log` lines say; to standard error without any. Once for each process.
pub fn start(targets: &[LogTarget]) {
    let targets = if targets.is_empty() { &[DEFAULT] } else { targets };
    let layers: Vec<_> = targets.iter().map(layer).collect();
    tracing_subscriber::registry().with(layers).init();
}

fn layer(target: &LogTarget) -> Box<dyn Layer<Registry> + Send + Sync> {
    let writer = match target.output {
        LogOutput::Stdout => BoxMakeWriter::new(io::stdout),
        LogOutput::Stderr => BoxMakeWriter::new(io::stderr),
    };
    let lines = fmt::layer().with_writer(writer).with_target(false).with_ansi(false);
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
