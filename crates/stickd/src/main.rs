//! The `stickd` command.

mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use stickd::args::{Arguments, Command};

fn main() -> ExitCode {
    let colors = std::io::stderr().is_terminal();
    match Arguments::from_command_line().command {
        Command::Check(arguments) => commands::check(arguments, colors),
        Command::Run(arguments) => commands::run(&arguments, colors),
    }
}
