//! A short soak, half a minute with one round of faults, so that the tool works when it is wanted. The long one is
//! `cargo xtask soak`.

use std::path::PathBuf;
use std::time::Duration;

use stickd_soak::Options;

#[test]
fn a_short_soak_is_clean() {
    let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let options = Options {
        stickd: PathBuf::from(env!("CARGO_BIN_EXE_stickd")),
        time: Duration::from_secs(10),
        seed: 1,
        logs,
    };
    let summary = stickd_soak::run(&options).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{summary}");
    assert!(summary.calm_points >= 2, "{summary}");
    assert!(summary.requests > 700, "{summary}");
    assert!(summary.entries > 10_000, "{summary}");
    assert!(!summary.events.is_empty(), "{summary}");
}
