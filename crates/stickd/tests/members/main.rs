//! Members that come and go: DNS lists them, or they come by themselves.

mod crowd;
mod discovered;
mod hub;
mod real;

use std::net::SocketAddr;

use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";

/// A stickd whose section has some more lines.
struct Node {
    stickd: StickdProcess,
    bind: SocketAddr,
    config: String,
}

impl Node {
    fn start(lines: &str) -> Self {
        let bind = ports::free_address();
        Self::with(bind, config(bind, &[]) + lines + &table("t", TABLE))
    }

    fn with(bind: SocketAddr, config: String) -> Self {
        Self { stickd: StickdProcess::start(STICKD, Some(&config), &[]), bind, config }
    }

    /// The lines of a member in `show peers`.
    fn member(&self, name: &str) -> Option<String> {
        let text = self.stickd.cli().run("show peers");
        let start = text.find(&format!("id={name}("))?;
        let end = text[start..].find("\n  0x").map_or(text.len(), |end| start + end);
        Some(text[start..end].to_owned())
    }

    /// Waits until `show peers` has these words of a member.
    #[track_caller]
    fn wait_member(&self, name: &str, words: &[&str]) {
        self.wait(&format!("{words:?} of {name}"), || {
            let member = self.member(name)?;
            words.iter().all(|word| member.contains(word)).then_some(())
        });
    }

    #[track_caller]
    fn wait_info(&self, field: &str, expected: u64) {
        self.wait(&format!("{field} = {expected}"), || (self.info(field) == expected).then_some(()));
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait::until_or(SOON, what, || self.state(), look)
    }

    fn info(&self, field: &str) -> u64 {
        self.stickd.cli().info(field).and_then(|value| value.parse().ok()).expect("a number")
    }

    /// How often the log has a text.
    fn logged(&self, text: &str) -> usize {
        self.stickd.daemon().log().matches(text).count()
    }

    fn state(&self) -> String {
        self.stickd.cli().run("show peers") + &self.stickd.daemon().log()
    }
}
