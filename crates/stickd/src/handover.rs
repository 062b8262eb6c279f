//! The change from one process to the next.
//!
//! A new process binds the same addresses beside the old one, then signals it. The old one closes its listeners and its
//! sessions with remote peers, connects to its own address, where the new one answers by now, teaches it every entry with
//! its remaining lifetime, and ends. A new process that fails before it signals leaves the old one as it was.

use rustix::process::{Pid, Signal, kill_process};
use tracing::{info, warn};

/// Tells old processes that a new one is ready.
pub fn tell(pids: &[i32]) {
    for &pid in pids {
        let told =
            Pid::from_raw(pid).map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, Signal::USR1));
        match told {
            Ok(()) => info!(pid, "told the old process to hand over"),
            Err(error) => warn!(pid, %error, "cannot tell the old process to hand over"),
        }
    }
}
