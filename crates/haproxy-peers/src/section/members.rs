//! Members that are not configured: how they come and go.
//!
//! A **dynamic** member comes by itself. A **discovered** one is listed by a name service: the driver adds it with
//! [`Section::discover`] and takes it back with [`Section::withdraw`]. Both are remembered without a session, as they may
//! come back to what they have not got yet, but not for ever: then they are forgotten.

use stick_table::Millis;

use super::peer::{Link, Peer};
use super::{Action, PeerId, PeerKind, Section};

/// Longest name of a member, in bytes.
pub(super) const MAX_NAME: usize = 255;

impl Section {
    /// Dynamic members, those without a session too.
    pub fn dynamic_peers(&self) -> usize {
        self.count(PeerKind::Dynamic)
    }

    /// Discovered members, those that were withdrawn and are not forgotten too.
    pub fn discovered_peers(&self) -> usize {
        self.count(PeerKind::Discovered)
    }

    /// Whether members may come that are not configured.
    pub(super) fn may_be_joined(&self) -> bool {
        self.config.max_dynamic_peers > 0 || self.config.discovers
    }

    fn count(&self, kind: PeerKind) -> usize {
        self.peers.iter().filter(|peer| peer.kind == kind).count()
    }

    /// Makes a name a discovered member, with its shard (0 for all): from now on it is connected to, as a configured one
    /// is. Called again for a member without a session, it is connected to at once: where to may have changed.
    ///
    /// A dynamic member of that name becomes the discovered one and keeps its session. Returns whether there is such a
    /// member now: a configured name stays what it is, a name may be none, no number may be left, and a
    /// section that stops takes nobody.
    pub fn discover(&mut self, now: Millis, name: &str, shard: u32) -> bool {
        if self.stop.is_some() {
            return false;
        }
        let place = match self.peers.iter().position(|peer| peer.name == name) {
            Some(place) if self.peers[place].kind == PeerKind::Dynamic => {
                // A session goes on as it began; the shard is the next one's.
                self.peers[place].kind = PeerKind::Discovered;
                place
            }
            Some(place) if self.peers[place].kind == PeerKind::Discovered => place,
            Some(_) => return false,
            None if is_good_name(name) => match self.join(name, PeerKind::Discovered, now) {
                Some(place) => place,
                None => return false,
            },
            None => return false,
        };
        let peer = &mut self.peers[place];
        peer.shard = shard;
        peer.is_called = true;
        peer.forget_at = None;
        if peer.link == Link::Idle {
            peer.connect_at = Some(now);
        }
        true
    }

    /// Takes a discovered member back. Its session goes on as long as it lasts; this side does not connect to it any more,
    /// and forgets it when it stays without a session. Other members are left alone.
    pub fn withdraw(&mut self, now: Millis, name: &str) {
        let discovered =
            |peer: &Peer| peer.kind == PeerKind::Discovered && peer.is_called && peer.name == name;
        let Some(place) = self.peers.iter().position(discovered) else { return };
        if self.peers[place].established().is_none() {
            self.close_link(place, now, "the peer is not listed any more");
        }
        let peer = &mut self.peers[place];
        peer.is_called = false;
        peer.connect_at = None;
        if peer.link == Link::Idle {
            peer.forget_at = Some(now + self.config.forget_ms);
        }
    }

    /// Removes the members whose time has come.
    pub(super) fn forget(&mut self, now: Millis) {
        let over = |peer: &Peer| peer.forget_at.is_some_and(|at| now >= at);
        if !self.peers.iter().any(over) {
            return;
        }
        let gone: Vec<_> = self.peers.extract_if(.., |peer| over(peer)).collect();
        gone.into_iter().for_each(|peer| self.gone(peer));
    }

    /// What is left to do for a member that is removed: what it told a hub counts no more, however long it would have.
    fn gone(&mut self, peer: Peer) {
        self.config.tables.forget(peer.origin);
        self.actions.push_back(Action::Forgotten { name: peer.name, kind: peer.kind });
    }

    /// The member of this name; a new dynamic one if it may join.
    pub(super) fn find_or_join(&mut self, name: &str, may_join: bool, now: Millis) -> Option<usize> {
        if let Some(place) = self.peers.iter().position(|peer| peer.name == name) {
            return Some(place);
        }
        if !may_join || !is_good_name(name) {
            return None;
        }
        if self.dynamic_peers() >= self.config.max_dynamic_peers {
            // The member that is away for the longest makes room.
            let away = self.peers.iter().enumerate().filter(|(_, peer)| peer.kind == PeerKind::Dynamic);
            let away = away.filter_map(|(place, peer)| Some((peer.forget_at?, place)));
            let (_, place) = away.min()?;
            let peer = self.peers.remove(place);
            self.gone(peer);
        }
        self.join(name, PeerKind::Dynamic, now)
    }

    /// Adds a member that was one of a process before, if members may come and there is a place: nobody makes room for it. It is
    /// forgotten unless it comes back.
    pub(super) fn join_without_session(&mut self, name: &str, now: Millis) -> Option<usize> {
        let kind = if self.dynamic_peers() < self.config.max_dynamic_peers {
            PeerKind::Dynamic
        } else if self.config.discovers {
            PeerKind::Discovered
        } else {
            return None;
        };
        let place =
            Some(name).filter(|name| is_good_name(name)).and_then(|name| self.join(name, kind, now))?;
        self.peers[place].forget_at = Some(now + self.config.forget_ms);
        Some(place)
    }

    /// Adds a member at the end, and returns its place; `None` when no number is left.
    fn join(&mut self, name: &str, kind: PeerKind, now: Millis) -> Option<usize> {
        let lease = self.config.tables.origins().take()?;
        let id = PeerId(self.next_peer);
        self.peers.push(Peer::new(id, name.to_owned(), kind, lease, now));
        self.next_peer += 1;
        Some(self.peers.len() - 1)
    }
}

/// Whether a member may have this name: it is shown as it is, and stands among the words of `show peers`.
pub(super) fn is_good_name(name: &str) -> bool {
    let stands_apart = |letter: char| letter.is_whitespace() || !crate::is_printable(letter);
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains(stands_apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EndReason, Greeting, Hello, Hub, Limits, ProtocolVersion, SectionConfig, TableSet};

    /// Numbers tell whose changes are whose: after some 65,000 members they are given again, but none that somebody has.
    #[test]
    fn no_two_members_have_one_number() {
        let config = SectionConfig {
            name: "p".into(),
            local_name: "n".into(),
            peers: vec![("h".to_owned(), 0).into(), ("i".to_owned(), 0).into()],
            max_dynamic_peers: 2,
            discovers: false,
            forget_ms: 1_000,
            relay: false,
            tables: TableSet::new("p", [], None, None, 1).unwrap().into(),
            limits: Limits::default(),
            expects_predecessor: false,
            pid: 1,
            seed: 1,
        };
        let mut section = Section::new(config, 0).unwrap();
        let greet = |section: &mut Section, name: &str| {
            let (target, sender) = ("n".to_owned(), name.to_owned());
            let hello = Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 };
            let Greeting::Welcome { id, peer, .. } = section.greet(0, &hello, true) else {
                panic!("{name} is refused")
            };
            (id, peer)
        };
        greet(&mut section, "stays");
        let gone = section.config.tables.origins().take().unwrap().origin().number();
        for number in 0..70_000 {
            let (id, peer) = greet(&mut section, &format!("m{number}"));
            section.session_ended(0, id, peer, &EndReason::Closed("over"));
            while section.poll_action().is_some() {}
            let mut numbers: Vec<_> = section.peers.iter().map(|peer| peer.origin.number()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!((numbers.len(), section.peers.len()), (5, 5), "after {number} members");
            assert!(
                number > 60_000 || !numbers.contains(&gone),
                "a number is given again after {number} members"
            );
        }
        assert!(section.peers.iter().any(|peer| peer.name == "stays"));
    }

    #[test]
    fn a_node_that_is_expected_counts_until_it_is_missed_for_too_long() {
        let hub = Hub { node_timeout: 500, ..Hub::default() };
        let tables = TableSet::new("p", [], None, None, 0).unwrap().with_hub(hub).unwrap();
        let config = SectionConfig {
            name: "p".into(),
            local_name: "me".into(),
            peers: vec![("A".to_owned(), 0).into()],
            max_dynamic_peers: 2,
            discovers: false,
            forget_ms: 1_000,
            relay: false,
            tables: tables.into(),
            limits: Limits::default(),
            expects_predecessor: false,
            pid: 1,
            seed: 1,
        };
        let mut section = Section::new(config, 0).unwrap();
        let origins = ["A", "x", "y"].map(|name| section.expect_node(0, name));
        assert!(origins.iter().all(Option::is_some), "{origins:?}");
        assert_eq!(section.expect_node(0, "z"), None, "there are two members");
        assert_eq!(section.expect_node(0, "me"), None, "a process of this node tells nothing");
        assert_eq!(section.nodes().len(), 3);
        assert_eq!((section.hub_state(true).expected, section.hub_state(true).nodes), (3, 0));
        section.handle_timeout(500);
        assert_eq!(section.hub_state(true).expected, 1, "only the configured one is missed");
        section.handle_timeout(1_000);
        assert_eq!(section.dynamic_peers(), 0);
        assert_eq!(section.nodes().len(), 1);
    }
}
