//! `stickd check`: says what a configuration means, or what is wrong with it.

use std::process::ExitCode;

use stickd::args::Check;
use stickd::prepare;

pub(crate) fn check(arguments: Check, colors: bool) -> ExitCode {
    let Check { configuration, all } = arguments;
    let verdict = prepare::check(&configuration.files, &configuration.options(), colors, all);
    if verdict.is_good {
        print!("{}", verdict.text);
        ExitCode::SUCCESS
    } else {
        eprint!("{}", verdict.text);
        ExitCode::FAILURE
    }
}
