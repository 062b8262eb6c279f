//! Subcommands apart from `run` and `check`, one file each.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod dump;
mod help;
mod output;
mod progress;
mod reload;
mod restore;
mod socket;
mod state;
mod stored;

pub use dump::{Dump, Format};
pub use help::Help;
pub use reload::Reload;
pub use restore::Restore;
pub use state::State;

/// Something was found that a person should look at: damage, or lines that were refused.
const FOUND: u8 = 1;
/// The command could not do what it was asked for.
const FAILED: u8 = 2;

/// Runs `stickd state`.
pub fn state(arguments: &State) -> ExitCode {
    end(state::run(arguments))
}

/// Runs `stickd dump`.
pub fn dump(arguments: &Dump) -> ExitCode {
    end(dump::run(arguments))
}

/// Runs `stickd help`.
pub fn help(arguments: &Help) -> ExitCode {
    help::run(arguments)
}

/// Runs `stickd reload`.
pub fn reload(arguments: &Reload) -> ExitCode {
    end(reload::run(arguments))
}

/// Runs `stickd restore`.
pub fn restore(arguments: &Restore) -> ExitCode {
    end(restore::run(arguments))
}

fn end(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let is_closed = error.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        });
        // Whoever reads has read enough.
        if !is_closed {
            eprintln!("stickd: {error:#}");
        }
        ExitCode::from(FAILED)
    })
}

/// Where tables are.
enum Place {
    /// A directory of a `state` line.
    Directory(PathBuf),
    /// A runtime socket.
    Socket(socket::Address),
}

impl Place {
    /// A directory, the path of a socket with or without `unix@`, or `HOST:PORT`.
    fn parse(text: &str) -> anyhow::Result<Self> {
        if Path::new(text).is_dir() {
            return Ok(Self::Directory(text.into()));
        }
        socket::Address::parse(text).map(Self::Socket)
    }
}
