//! Who makes changes: this process, a peer, a table that is copied, or a durable copy.

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

    /// What was read from a durable copy of the table. It is old: every lesson and every live update overwrites it. It is taught,
    /// and pushed to nobody. To be applied with [`Precedence::FillGaps`](crate::Precedence::FillGaps).
    pub const STORE: Self = Self(u16::MAX - 2);

    /// The first number that no peer gets: those from here on are for changes that no peer tells.
    const FIRST_RESERVED: u16 = u16::MAX - 15;

    /// A peer, by a number from 1 to 65,519; `None` for the others, which are this process and those that are no peers. Learned
    /// changes are not pushed live (peers-protocol §8.3.9), except where a section relays. Programs with more than one section take
    /// their numbers from one [`Origins`].
    ///
    /// ```
    /// use stick_table::Origin;
    ///
    /// assert_eq!(Origin::peer(1).map(Origin::number), Some(1));
    /// assert_eq!(Origin::peer(0), None, "that is `Origin::LOCAL`");
    /// assert_eq!(Origin::peer(Origin::COPY.number()), None);
    /// ```
    pub const fn peer(number: u16) -> Option<Self> {
        if number == 0 || number >= Self::FIRST_RESERVED { None } else { Some(Self(number)) }
    }

    /// The origin that [`number`](Self::number) is of: of a peer, or one of the constants.
    pub const fn with_number(number: u16) -> Self {
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

    /// A number that no peer may have would make its changes local ones, which are pushed live, or copies.
    #[test]
    fn peers_have_no_numbers_of_others() {
        for origin in [Origin::LOCAL, Origin::COPY, Origin::ITSELF] {
            assert_eq!(Origin::peer(origin.number()), None);
            assert_eq!(Origin::with_number(origin.number()), origin);
        }
        let numbers: Vec<u16> = (0..=u16::MAX).filter(|number| Origin::peer(*number).is_some()).collect();
        assert_eq!((numbers.first(), numbers.last()), (Some(&1), Some(&65_519)));
        assert_eq!(numbers.len(), 65_519);
    }

    #[test]
    fn a_number_rests_before_it_is_given_again() {
        let origins = Origins::shared();
        let stays = origins.take().unwrap();
        let mut given = VecDeque::new();
        for _ in 0..3 * usize::from(u16::MAX) {
            let lease = origins.take().unwrap();
            assert_ne!(lease.origin(), stays.origin());
            assert!(![Origin::LOCAL, Origin::COPY, Origin::ITSELF, Origin::STORE].contains(&lease.origin()));
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
