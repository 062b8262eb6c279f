//! `cargo xtask demo`: two HAProxys and stickd share a stick table before your eyes.
//!
//! HTTP traffic fills the table; both HAProxys go, one of them by `kill -9`, and are given their entries back by stickd with
//! the lifetimes they had left; stickd itself is replaced with `-sf`; all three are killed, and everything comes back from
//! stickd's files. Then two HAProxys that know only a hub of stickd hold a limit together, also over a `kill -9`, and each a
//! limit of its own when the hub is gone. Everything runs on the loopback in temporary directories and is gone afterwards, also
//! after Ctrl-C or an error.

mod board;
mod cluster;
mod comparison;
mod hub;
mod interrupt;
mod paint;
mod power;
mod screen;
mod session;
mod snapshot;
mod stage;
mod story;

use crate::{build, setup};
use anyhow::{Result, anyhow, bail};
use cluster::Cluster;
use interrupt::Interrupt;
use screen::Screen;
use stage::Stage;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Sets up, builds, and tells the story; an error when something did not work.
pub(crate) fn run() -> Result<()> {
    setup::run(false)?;
    let [stickd] = &build::programs(&["stickd"], &[])?[..] else { bail!("cargo built no stickd") };
    let interrupt = Interrupt::watch()?;
    let screen = Screen::new();
    let told = without_panics(|| {
        // Dropped at the end of this function whatever happens, and every process with it.
        let begun = Instant::now();
        let mut stage = Stage::new(Cluster::start(stickd), screen, interrupt.clone());
        story::tell(&mut stage)?;
        power::cut(&mut stage)?;
        stage.cluster.stop();
        let mut stage = stage.then(|| hub::Cluster::start(stickd));
        hub::tell(&mut stage)?;
        end(&mut stage, begun)
    });
    // A process that Ctrl-C ended as well makes for odd messages: say what happened instead.
    interrupt.check().and(told)
}

/// The last step.
fn end(stage: &mut Stage<hub::Cluster>, begun: Instant) -> Result<()> {
    stage.screen.step("the end");
    let seconds = begun.elapsed().as_secs_f32();
    stage
        .screen
        .say(&format!("All processes are stopped, their directories go with us; {seconds:.0} s in all."));
    stage.conclude()
}

/// The test kit's helpers panic with the output of the process concerned: makes that an error like others.
fn without_panics(action: impl FnOnce() -> Result<()>) -> Result<()> {
    let message = Arc::new(Mutex::new(String::new()));
    let heard = message.clone();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(action));
    panic::set_hook(hook);
    outcome.unwrap_or_else(|_| Err(anyhow!("{}", message.lock().unwrap_or_else(PoisonError::into_inner))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let error = without_panics(|| panic!("lb1 ended")).unwrap_err();
        assert!(error.to_string().contains("lb1 ended"), "{error}");
        assert!(without_panics(|| Ok(())).is_ok());
    }
}
