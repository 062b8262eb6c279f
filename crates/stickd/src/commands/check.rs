//! `stickd check`: says what a configuration means, or what is wrong with it.

use std::process::ExitCode;

use stickd::args::Check;
use stickd::config::Options;
use stickd::prepare;

pub(crate) fn check(arguments: Check, colors: bool) -> ExitCode {
    let Check { configuration, all } = arguments;
    let options = Options { local_peer: configuration.local_peer, ..Options::default() };
    let verdict = prepare::check(&configuration.files, &options, colors, all);
    if verdict.is_good {
        print!("{}", verdict.text);
        ExitCode::SUCCESS
    } else {
        eprint!("{}", verdict.text);
        ExitCode::FAILURE
    }
}
