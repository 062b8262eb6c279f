//! The connections between members: each goes through a relay that can break it.

use std::net::SocketAddr;

use stickd_testkit::relay::Direction;
use stickd_testkit::{TcpRelay, ports};

use crate::cluster::MEMBERS;

/// Two members, the lower number first.
pub(crate) type Pair = (usize, usize);

/// Whose words a stalled link holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// What the first of the pair says.
    Forth,
    /// What the second says.
    Back,
    /// Both.
    Both,
}

/// A relay for each ordered pair of members: `from` looks for `to` at the relay's address.
#[derive(Debug)]
pub(crate) struct Links {
    relays: Vec<Vec<Option<TcpRelay>>>,
    broken: Vec<Pair>,
}

impl Links {
    /// Relays to members that listen, or will, at `own`.
    pub(crate) fn start(own: &[SocketAddr]) -> Self {
        let relay =
            |from, to| (from != to).then(|| TcpRelay::start_unrecorded(ports::free_address(), own[to]));
        let relays = (0..MEMBERS).map(|from| (0..MEMBERS).map(|to| relay(from, to)).collect()).collect();
        Self { relays, broken: Vec::new() }
    }

    /// Where `from` finds `to`; `None` when they are the same.
    pub(crate) fn address(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.relays[from][to].as_ref().map(TcpRelay::address)
    }

    /// How many links of a member are broken now.
    pub(crate) fn broken_at(&self, member: usize) -> usize {
        self.broken.iter().filter(|(a, b)| *a == member || *b == member).count()
    }

    /// How many links are broken now.
    pub(crate) fn broken(&self) -> usize {
        self.broken.len()
    }

    /// Whether a link is broken now.
    pub(crate) fn is_broken(&self, pair: Pair) -> bool {
        self.broken.contains(&pair)
    }

    /// Closes the connections of a link; new ones come through.
    pub(crate) fn cut(&self, pair: Pair) {
        self.both(pair).for_each(TcpRelay::cut);
    }

    /// Closes the connections of a link and lets no new ones through until it is healed.
    pub(crate) fn sever(&mut self, pair: Pair) {
        self.broken.push(pair);
        self.both(pair).for_each(TcpRelay::refuse);
        self.both(pair).for_each(TcpRelay::cut);
    }

    /// Holds back what is said until the link is healed.
    pub(crate) fn stall(&mut self, pair: Pair, way: Way) {
        self.broken.push(pair);
        let (a, b) = pair;
        for (from, to, says) in [(a, b, Way::Forth), (b, a, Way::Back)] {
            if way == says || way == Way::Both {
                self.relay(from, to).stall(Direction::ToTarget);
                self.relay(to, from).stall(Direction::FromTarget);
            }
        }
    }

    /// Makes a link whole.
    pub(crate) fn heal(&mut self, pair: Pair) {
        self.both(pair).for_each(TcpRelay::resume);
        self.broken.retain(|broken| *broken != pair);
    }

    fn both(&self, (a, b): Pair) -> impl Iterator<Item = &TcpRelay> {
        [self.relay(a, b), self.relay(b, a)].into_iter()
    }

    fn relay(&self, from: usize, to: usize) -> &TcpRelay {
        self.relays[from][to].as_ref().expect("a link joins two different members")
    }
}
