//! Runs one scenario, for `cargo xtask instructions`: prints on how many updates it worked. `list` prints the scenarios.

use std::process::ExitCode;

use stickd_micro::{LARGEST, Scenario};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            Scenario::ALL.iter().for_each(|scenario| println!("{}", scenario.name));
            return ExitCode::SUCCESS;
        }
        [name, count] => {
            let count = count.parse().ok().filter(|count| (1..=LARGEST).contains(count));
            if let (Some(scenario), Some(count)) = (Scenario::named(name), count) {
                println!("{}", (scenario.run)(count));
                return ExitCode::SUCCESS;
            }
        }
        _ => {}
    }
    eprintln!("usage: instructions list | instructions SCENARIO COUNT (1 to {LARGEST})");
    ExitCode::FAILURE
}
