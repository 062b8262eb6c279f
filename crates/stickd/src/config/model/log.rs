//! Where log lines go and how they look.

/// A `log` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where lines go.
    pub output: LogOutput,
    /// How they look.
    pub format: LogFormat,
    /// The least severe level that is written; `info` when the line names none.
    pub level: LogLevel,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level and text: `plain`, and the default.
    #[default]
    Plain,
    /// Level and text without a time: HAProxy's `raw` and `short`, for collectors that add the time.
    Raw,
    /// One JSON object a line.
    Json,
}

/// HAProxy's levels of log lines, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "syslog's own words")]
pub enum LogLevel {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}
