//! The `stickd` command.

mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use stickd::args::{Arguments, Command};
use stickd::tools;

fn main() -> ExitCode {
    let colors = std::io::stderr().is_terminal();
    match Arguments::from_command_line().command {
        Command::Check(arguments) => commands::check(arguments, colors),
        Command::Run(arguments) => commands::run(&arguments, colors),
        Command::Help(arguments) => tools::help(&arguments),
        Command::Reload(arguments) => tools::reload(&arguments),
        Command::State(arguments) => tools::state(&arguments),
        Command::Dump(arguments) => tools::dump(&arguments),
        Command::Restore(arguments) => tools::restore(&arguments),
    }
}
