//! Log lines about strangers, at most one a minute for each.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use stick_table::Millis;

/// Pause between two lines about the same stranger, in ms.
const PAUSE_MS: u64 = 60_000;
/// Strangers kept in mind; beyond that they share one line a minute.
const MAX_STRANGERS: usize = 4096;
/// Bytes of a name that tell strangers of one address apart.
const NAME_BYTES: usize = 64;

/// A stranger by address and the name it gave; all beyond the limit are one.
type Stranger = Option<(Option<IpAddr>, Box<[u8]>)>;

/// When each stranger was reported last.
#[derive(Default)]
pub(super) struct Refusals {
    reported: Mutex<HashMap<Stranger, Millis>>,
}

impl Refusals {
    /// Whether a line about somebody from this address and of this name is due now.
    pub(super) fn is_due(&self, address: Option<IpAddr>, name: &str, now: Millis) -> bool {
        let mut reported = self.reported.lock();
        if reported.len() >= MAX_STRANGERS {
            reported.retain(|_, at| now < *at + PAUSE_MS);
        }
        let name = &name.as_bytes()[..name.len().min(NAME_BYTES)];
        let stranger: Stranger = (reported.len() < MAX_STRANGERS).then(|| (address, name.into()));
        let due = reported.get(&stranger).is_none_or(|at| now >= at + PAUSE_MS);
        if due {
            reported.insert(stranger, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_for_each_address_and_name() {
        let refusals = Refusals::default();
        let one = Some(IpAddr::from([127, 0, 0, 1]));
        let two = Some(IpAddr::from([127, 0, 0, 2]));
        assert!(refusals.is_due(one, "a", 1_000));
        assert!(refusals.is_due(one, "b", 1_000));
        assert!(refusals.is_due(two, "a", 1_000));
        assert!(!refusals.is_due(one, "a", 60_999));
        assert!(refusals.is_due(one, "a", 61_000));
    }

    #[test]
    fn a_flood_of_strangers_shares_a_line_and_is_forgotten() {
        let refusals = Refusals::default();
        let lines = (0..20_000u32).filter(|n| refusals.is_due(None, &n.to_string(), 5)).count();
        assert_eq!(lines, MAX_STRANGERS + 1);
        assert!(refusals.is_due(None, "late", 5 + PAUSE_MS));
        assert!(refusals.reported.lock().len() < 10);
    }
}
