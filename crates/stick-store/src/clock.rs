//! How much time passed since something was written.

use stick_table::Millis;

use crate::BootId;

/// The clocks of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The clock of the tables, in ms.
    pub now: Millis,
    /// The time of day, in ms since 1970. It may be set.
    pub wall: u64,
    /// Time since the machine started, in ms; it goes on in a suspend.
    pub boot: u64,
    /// Which start of the machine that was: [`boot`](Self::boot) is compared only within one.
    pub boot_id: BootId,
}

/// The clocks that a block was written by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) wall: u64,
    pub(crate) boot: u64,
    /// `None` when it is not known.
    pub(crate) boot_id: Option<BootId>,
}

impl Clocks {
    /// Time since `written`, in ms. Since another start of the machine the time of day says it, and where that was set back, no
    /// time passed.
    pub(crate) fn since(&self, written: Written) -> u64 {
        if written.boot_id == Some(self.boot_id) {
            self.boot.saturating_sub(written.boot)
        } else {
            self.wall.saturating_sub(written.wall)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_by_the_clock_that_can_be_trusted() {
        let clocks = Clocks { now: 5, wall: 1_000_000, boot: 9_000, boot_id: [1; 16] };
        let written = Written { wall: 400_000, boot: 8_000, boot_id: Some([1; 16]) };
        assert_eq!(clocks.since(written), 1_000, "the time of day was set");
        assert_eq!(clocks.since(Written { boot_id: Some([2; 16]), ..written }), 600_000);
        assert_eq!(clocks.since(Written { boot_id: None, ..written }), 600_000);
        assert_eq!(clocks.since(Written { boot_id: None, wall: 1_000_001, boot: 0 }), 0, "set back");
    }
}
