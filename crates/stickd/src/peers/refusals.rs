//! Log lines about unknown peers, at most one a minute for each.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use stick_table::Millis;

/// Pause between two lines about the same stranger, in ms.
const PAUSE_MS: u64 = 60_000;
/// Strangers kept in mind; beyond that they share one line a minute.
const MAX_STRANGERS: usize = 4096;

/// When each stranger was reported last.
#[derive(Default)]
pub(super) struct Refusals {
    reported: Mutex<HashMap<Option<IpAddr>, Millis>>,
}

impl Refusals {
    /// Whether a line about somebody from this address is due now.
    pub(super) fn is_due(&self, address: Option<IpAddr>, now: Millis) -> bool {
        let mut reported = self.reported.lock();
        if reported.len() >= MAX_STRANGERS {
            reported.retain(|_, at| now < *at + PAUSE_MS);
        }
        let address = if reported.len() >= MAX_STRANGERS { None } else { address };
        let due = reported.get(&address).is_none_or(|at| now >= at + PAUSE_MS);
        if due {
            reported.insert(address, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_for_each_address() {
        let refusals = Refusals::default();
        let one = Some(IpAddr::from([127, 0, 0, 1]));
        let two = Some(IpAddr::from([127, 0, 0, 2]));
        assert!(refusals.is_due(one, 1_000));
        assert!(refusals.is_due(two, 1_000));
        assert!(!refusals.is_due(one, 60_999));
        assert!(refusals.is_due(one, 61_000));
    }

    #[test]
    fn a_flood_of_addresses_shares_a_line_and_is_forgotten() {
        let refusals = Refusals::default();
        let lines =
            (0..20_000u32).filter(|&n| refusals.is_due(Some(IpAddr::from(n.to_be_bytes())), 5)).count();
        assert_eq!(lines, MAX_STRANGERS + 1);
        assert!(refusals.is_due(Some(IpAddr::from([9, 9, 9, 9])), 5 + PAUSE_MS));
        assert!(refusals.reported.lock().len() < 10);
    }
}
