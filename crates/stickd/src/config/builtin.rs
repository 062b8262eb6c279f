//! The configuration that serves when no file is given.

/// The text, with or without the line for HTTP.
macro_rules! text {
    ($http:literal) => {
        concat!(
            "\
global
    stats socket unix@stickd.sock mode 600 level admin
",
            $http,
            "
peers stickd
    bind 127.0.0.1:10000
    dynamic-peers from 127.0.0.0/8 ::1/128
    dynamic-tables
"
        )
    };
}

/// Peers of this machine may connect under any name, and tables are created from what they define. The runtime
/// socket is made in the working directory, for the user who started stickd. HTTP is for this machine, and off when its port
/// is taken.
pub const TEXT: &str =
    if cfg!(feature = "http") { text!("    http bind 127.0.0.1:8404 level operator\n") } else { text!("") };

/// The name its text has in messages.
pub const NAME: &str = "built-in configuration";
