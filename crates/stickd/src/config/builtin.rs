//! The configuration that serves when no file is given.

/// Peers of this machine may connect under any name, and tables are created from what they define. The runtime
/// socket is made in the working directory, for the user who started stickd.
pub const TEXT: &str = "\
global
    stats socket unix@stickd.sock mode 600 level admin

peers stickd
    bind 127.0.0.1:10000
    dynamic-peers from 127.0.0.0/8 ::1/128
    dynamic-tables
";

/// The name its text has in messages.
pub const NAME: &str = "built-in configuration";
