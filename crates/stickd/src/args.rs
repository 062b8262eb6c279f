//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::Options;
use crate::tools::{Dump, Help, Reload, Restore, State};

mod haproxy;

/// How the process ends after a faulty command line.
const USAGE_ERROR: i32 = 2;

/// stickd: an open-source stick-table server, a peer that every HAProxy can talk to.
#[derive(Debug, Parser)]
#[command(name = "stickd", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run in the foreground, with the built-in configuration when no file is given.
    Run(Run),
    /// Check configuration files and say what they mean, or what is wrong with them.
    Check(Check),
    /// Reload a running stickd as SIGUSR2 does, and wait until the next process holds everything.
    Reload(Reload),
    /// Look at tables on disk (`state` in the configuration).
    State(State),
    /// Write the entries of tables as JSON lines or CSV, from a directory or a runtime socket.
    Dump(Dump),
    /// Put the entries of a dump into a running stickd, or into the directory of a stopped one.
    Restore(Restore),
    /// Show the page of a keyword of the configuration, or of a subcommand.
    Help(Help),
}

/// Arguments of `stickd check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Show everything that is wrong, instead of a screenful and a count.
    #[arg(long)]
    pub all: bool,
}

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub struct Configuration {
    /// Configuration file, or directory of .cfg files; may be repeated.
    #[arg(short = 'f', value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// HAProxy's configuration, as it is on all nodes: its peers sections that name this node and the tables shared there are taken.
    #[arg(long = "haproxy-cfg", value_name = "FILE|DIR", num_args = 1..)]
    pub haproxy_files: Vec<PathBuf>,
    /// Name of this node in peers sections; without it `localpeer`, else the host name.
    #[arg(short = 'L', value_name = "NAME")]
    pub local_peer: Option<String>,
}

/// Arguments of `stickd run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Write the process id to this file.
    #[arg(short = 'p', value_name = "PIDFILE")]
    pub pid_file: Option<PathBuf>,
    /// Take over from these processes: be taught everything they hold, then let them end. Written -sf as in HAProxy.
    #[arg(long = "sf", value_name = "PID", num_args = 0.., value_parser = clap::value_parser!(i32).range(1..))]
    pub take_over_from: Vec<i32>,
}

impl Configuration {
    /// What the configuration is read with.
    pub fn options(&self) -> Options {
        let (local_peer, haproxy_files) = (self.local_peer.clone(), self.haproxy_files.clone());
        Options { local_peer, haproxy_files, ..Options::default() }
    }

    /// The arguments that say the same.
    fn arguments(&self) -> Vec<OsString> {
        let files = self.files.iter().flat_map(|file| ["-f".into(), file.into()]);
        let haproxys = self.haproxy_files.iter().flat_map(|file| ["--haproxy-cfg".into(), file.into()]);
        let name = self.local_peer.iter().flat_map(|name| ["-L".into(), name.into()]);
        files.chain(haproxys).chain(name).collect()
    }
}

impl Run {
    /// Arguments that check what this process was started with.
    pub fn check_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["check".into()];
        arguments.extend(self.configuration.arguments());
        arguments
    }

    /// Arguments of a process like this one that takes over from `pid`.
    pub fn take_over_arguments(&self, pid: u32) -> Vec<OsString> {
        let mut arguments = vec!["run".into()];
        arguments.extend(self.configuration.arguments());
        arguments.extend(self.pid_file.iter().flat_map(|file| ["-p".into(), file.into()]));
        arguments.extend(["-sf".into(), pid.to_string().into()]);
        arguments
    }
}

impl Arguments {
    /// Reads the command line of the process, or ends it with an explanation.
    pub fn from_command_line() -> Self {
        let arguments: Vec<_> = std::env::args_os().collect();
        if let [_, only] = &arguments[..]
            && (only == "-v" || only == "-vv")
        {
            println!("stickd {}", env!("CARGO_PKG_VERSION"));
            std::process::exit(0);
        }
        let parsed = Self::try_parse_from(arguments.iter().cloned().map(long_form));
        parsed.unwrap_or_else(|error| {
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            match haproxy::advice(arguments.get(1..).unwrap_or_default()) {
                Some(advice) if !is_help => {
                    eprint!("error: these are arguments of HAProxy; {advice}\nFor more information, try '--help'.\n");
                    std::process::exit(USAGE_ERROR)
                }
                _ => error.exit(),
            }
        })
    }
}

/// HAProxy's long options have one dash.
fn long_form(argument: OsString) -> OsString {
    if argument == "-sf" { "--sf".into() } else { argument }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' ').map(|word| long_form(word.into())))
    }

    #[test]
    fn a_take_over_is_written_as_in_haproxy() {
        let Ok(Arguments { command: Command::Run(run) }) =
            parse("stickd run -f a.cfg -f conf.d -L hub -p /tmp/pid -sf 12 34")
        else {
            panic!("refused")
        };
        assert_eq!(run.take_over_from, [12, 34]);
        assert_eq!(run.configuration.files, [PathBuf::from("a.cfg"), PathBuf::from("conf.d")]);
        assert_eq!(run.configuration.local_peer.as_deref(), Some("hub"));
        assert!(parse("stickd run -sf").is_ok(), "no old process is fine: the first start of a script");
        assert!(parse("stickd run -sf 0").is_err());
        assert!(parse("stickd run -sf x").is_err());
    }

    #[test]
    fn the_next_process_is_started_as_this_one() {
        for line in [
            "run",
            "run -f a.cfg -f conf.d -L hub -p /tmp/pid -sf 12 34",
            "run -sf 5 -L n -f x",
            "run --haproxy-cfg h.cfg conf.d -L n -f x",
        ] {
            let again = |arguments: Vec<OsString>| {
                let program = std::iter::once("stickd".into());
                Arguments::try_parse_from(program.chain(arguments.into_iter().map(long_form)))
                    .unwrap()
                    .command
            };
            let Ok(Arguments { command: Command::Run(first) }) = parse(&format!("stickd {line}")) else {
                panic!("refused")
            };
            let Command::Run(next) = again(first.take_over_arguments(77)) else { panic!("another command") };
            assert_eq!(next.take_over_from, [77]);
            assert_eq!(next.pid_file, first.pid_file);
            let Command::Check(check) = again(first.check_arguments()) else { panic!("another command") };
            for configuration in [next.configuration, check.configuration] {
                assert_eq!(configuration.files, first.configuration.files);
                assert_eq!(configuration.haproxy_files, first.configuration.haproxy_files);
                assert_eq!(configuration.local_peer, first.configuration.local_peer);
            }
        }
    }
}
