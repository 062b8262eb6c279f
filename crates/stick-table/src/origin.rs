//! Who makes changes: this process, a peer, or a table that is copied.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// A number that was given back is given again after so many others at least: what a member wrote must not pass for what
/// another one did that came soon after it.
const RESTING: usize = 4_096;

/// Who made a change. Peers have numbers of an [`Origins`] registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(u16);

impl Origin {
    /// This process: the runtime socket, an increment. Pushed live to peers, but for what expires
    /// ([`Lifetime::Exactly`](crate::Lifetime::Exactly)) or is removed before their sessions are polled; see
    /// [`Table::expire`](crate::Table::expire).
    pub const LOCAL: Self = Self(0);

    /// A copy of what a peer told of another table (`write-to`). No peer told it of this one, so none is left out when it is
    /// taught.
    pub const COPY: Self = Self(u16::MAX);

    /// The process before or after this one, which has the same name.
    pub const ITSELF: Self = Self(u16::MAX - 1);

    /// The first number that no peer gets: those from here on are for changes that no peer tells.
    const FIRST_RESERVED: u16 = u16::MAX - 15;

    /// A peer, by a number from 1 on. Learned changes are not pushed live (peers-protocol §8.3.9), but where a section
    /// relays. Programs with more than one section take their numbers from one [`Origins`].
    pub const fn peer(number: u16) -> Self {
        Self(number)
    }

    /// The peer's number, 0 for this process.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether this process made the change.
    pub const fn is_local(self) -> bool {
        self.0 == 0
    }

    /// Whether whoever has this origin may refresh what it wrote before: copies have one for all who told them.
    pub(crate) const fn is_one_writer(self) -> bool {
        self.0 != Self::COPY.0
    }
}

/// The numbers of all peers of a process: one registry for all of its sections, as a table may get changes from several.
///
/// ```
/// use stick_table::Origins;
///
/// let origins = Origins::shared();
/// let (one, other) = (origins.take().unwrap(), origins.take().unwrap());
/// assert_ne!(one.origin(), other.origin());
/// ```
#[derive(Debug)]
pub struct Origins(Mutex<Numbers>);

#[derive(Debug)]
struct Numbers {
    /// The lowest number that nobody ever had.
    fresh: u16,
    /// Given back, in that order.
    resting: VecDeque<u16>,
}

impl Origins {
    /// Most numbers that are given at the same time.
    pub const MAX: usize = Origin::FIRST_RESERVED as usize - 1 - RESTING;

    /// A registry to be shared by the sections of a process.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Numbers { fresh: 1, resting: VecDeque::new() })))
    }

    /// A number that nobody has, and nobody had lately; `None` when there are [`MAX`](Self::MAX) in use.
    pub fn take(self: &Arc<Self>) -> Option<OriginLease> {
        let mut numbers = self.0.lock();
        let number = if numbers.fresh < Origin::FIRST_RESERVED {
            numbers.fresh += 1;
            numbers.fresh - 1
        } else if numbers.resting.len() > RESTING {
            numbers.resting.pop_front()?
        } else {
            return None;
        };
        drop(numbers);
        Some(OriginLease { origins: Arc::clone(self), origin: Origin(number) })
    }
}

/// A peer's number, until this is dropped.
#[derive(Debug)]
pub struct OriginLease {
    origins: Arc<Origins>,
    origin: Origin,
}

impl OriginLease {
    /// Who has it.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl Drop for OriginLease {
    fn drop(&mut self) {
        self.origins.0.lock().resting.push_back(self.origin.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_number_rests_before_it_is_given_again() {
        let origins = Origins::shared();
        let stays = origins.take().unwrap();
        let mut given = VecDeque::new();
        for _ in 0..3 * usize::from(u16::MAX) {
            let lease = origins.take().unwrap();
            assert_ne!(lease.origin(), stays.origin());
            assert!(![Origin::LOCAL, Origin::COPY, Origin::ITSELF].contains(&lease.origin()));
            given.push_back(lease.origin());
            if given.len() > RESTING {
                given.pop_front();
            }
            assert!(!given.iter().rev().skip(1).any(|other| *other == lease.origin()));
        }
    }

    #[test]
    fn no_number_is_given_twice_at_once_and_there_is_an_end() {
        let origins = Origins::shared();
        let mut leases: Vec<_> = std::iter::from_fn(|| origins.take()).collect();
        let numbers: HashSet<_> = leases.iter().map(OriginLease::origin).collect();
        assert_eq!(numbers.len(), leases.len());
        leases.truncate(Origins::MAX);
        assert!(origins.take().is_none(), "the last ones given back rest");
        leases.pop();
        assert!(origins.take().is_some());
    }
}
