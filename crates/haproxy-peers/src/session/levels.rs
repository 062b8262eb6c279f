//! Levels of hubs: who sums whom, and that nobody sums itself.
//!
//! A hub sums what lower hubs publish. If one of those sums what this one publishes, at once or over others, every number
//! goes round and grows without end. So:
//!
//! - Each process of a hub has a number of its own, drawn at random. The first thing it says in a session, before any update,
//!   is whether it takes the other one for a lower hub, an upper one, or one [beside](super::beside) it, followed by its own number and those of all hubs below it:
//!   all whose values are in its sums. It says so again when they change.
//! - A hub passes on what hubs say that its configuration calls lower ones, not what others make up.
//! - A hub refuses a peer below it whose sums have its own number in them, and forgets at once what that peer told. It also
//!   refuses one that takes it for a peer of the same level as it takes the other for: both cannot be above.
//!
//! Two hubs that sum each other notice in the first message, so no value goes round even once. Where a cycle has more hubs, the
//! numbers go round it like values do, so the hub that closes it learns of it as soon as it is closed.
//!
//! - Behind those numbers a lower hub says whether its sums have everything that its nodes tell: an upper one's do not otherwise.
//!
//! The message is stickd's own, of class 0 and a type that says nothing to others: every HAProxy passes over it
//! (peers-protocol §4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use stick_table::Origin;
use thiserror::Error;

use crate::{DecodeError, FrameWriter, Padding, PeerLevel, Reader, class, varint};

/// Type of the message.
pub(crate) const KIND: u8 = 0xf2;
/// Most hubs below one, itself included.
const MAX_HUBS: usize = 256;

/// What a hub takes another one for, by its byte on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// One that it sums, or a load balancer.
    Lower = 0,
    Upper = 1,
    /// One of the same nodes.
    Beside = 2,
}

impl Stand {
    const fn of(level: PeerLevel) -> Self {
        match level {
            PeerLevel::Above => Self::Upper,
            PeerLevel::Beside => Self::Beside,
            PeerLevel::Below | PeerLevel::Lower | PeerLevel::Itself => Self::Lower,
        }
    }

    const fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Lower,
            2 => Self::Beside,
            _ => Self::Upper,
        }
    }
}

/// Why a hub refuses a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LevelsError {
    #[error(
        "the levels of hubs form a cycle: what it sums contains what this hub sums; remove one of the \"down\" lines"
    )]
    Cycle,
    #[error(
        "it sums what this hub publishes, and this hub what it publishes; one of the two must call the other \"up\""
    )]
    BothBelow,
    #[error("both hubs call each other \"up\"; one of the two must call the other \"down\"")]
    BothAbove,
    #[error("only one of the two hubs calls the other one \"beside\"; hubs of the same nodes both do")]
    BesideOne,
    #[error("more than {MAX_HUBS} hubs would be in the sums of this one")]
    TooMany,
}

/// The hubs below a hub. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Levels(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    own: u64,
    /// By peer, the hubs in its sums.
    below: BTreeMap<u16, BTreeSet<u64>>,
    /// Peers that said last that their sums lack something.
    with_gaps: BTreeSet<u16>,
    /// Whether this hub's sums lack nothing.
    is_whole: bool,
    /// Counts changes; 0 for none.
    version: u64,
    /// The same with those of `is_whole`, which upper hubs are told.
    whole_version: u64,
}

impl Levels {
    /// Nobody is known to be below. `own` is this process's number; pass a random one.
    pub(crate) fn new(own: u64) -> Self {
        Self(Arc::new(Mutex::new(Known {
            own,
            below: BTreeMap::new(),
            with_gaps: BTreeSet::new(),
            is_whole: false,
            version: 1,
            whole_version: 1,
        })))
    }

    /// Notes whether this hub's sums have everything that its nodes tell; returns whether that is news.
    pub(crate) fn set_whole(&self, is_whole: bool) -> bool {
        let mut known = self.0.lock();
        let is_news = known.is_whole != is_whole;
        known.is_whole = is_whole;
        known.whole_version += u64::from(is_news);
        is_news
    }

    /// Whether a lower hub said last that its sums lack something.
    pub(crate) fn has_gaps(&self, peer: Origin) -> bool {
        self.0.lock().with_gaps.contains(&peer.number())
    }

    /// Sets this process's number, before the first session.
    pub(crate) fn begin(&self, own: u64) {
        self.0.lock().own = own;
    }

    /// Counts the changes of what a peer of this level is told; never 0.
    pub(crate) fn version(&self, level: PeerLevel) -> u64 {
        self.0.lock().version(level)
    }

    /// Appends what a peer of this level is told; returns the version that it is of.
    pub(crate) fn encode(&self, level: PeerLevel, out: &mut Vec<u8>) -> u64 {
        let known = self.0.lock();
        let below: BTreeSet<u64> = known.below.values().flatten().copied().collect();
        let hubs: Vec<u64> = std::iter::once(known.own).chain(below).collect();
        let mut frame = FrameWriter::begin(out, class::CONTROL, KIND);
        let payload = frame.payload();
        payload.push(Stand::of(level) as u8);
        varint::encode(hubs.len() as u64, payload);
        for hub in hubs {
            payload.extend_from_slice(&hub.to_be_bytes());
        }
        if level == PeerLevel::Above {
            payload.push(u8::from(known.is_whole));
        }
        frame.finish(Padding::ForOldReceivers);
        known.version(level)
    }

    /// Takes what a peer of this level said.
    ///
    /// # Errors
    /// When the payload is malformed, or the peer has to be refused.
    pub(crate) fn note(
        &self,
        peer: Origin,
        level: PeerLevel,
        reader: &mut Reader<'_>,
    ) -> Result<Result<(), LevelsError>, DecodeError> {
        let takes_us_for = Stand::of_byte(reader.bytes(1, "level")?[0]);
        let count = reader.varint_u32("number of hubs")?;
        let mut hubs = BTreeSet::new();
        for _ in 0..count {
            let (high, low) = (reader.u32_be("hub")?, reader.u32_be("hub")?);
            hubs.insert(u64::from(high) << 32 | u64::from(low));
        }
        // A hub of an earlier release says nothing of it.
        let has_gaps = takes_us_for == Stand::Upper
            && !reader.is_empty()
            && reader.bytes(1, "whether sums are whole")? == [0];
        let judged = self.judge(peer, level, takes_us_for, hubs);
        if judged.is_ok() && level == PeerLevel::Lower {
            let mut known = self.0.lock();
            if has_gaps {
                known.with_gaps.insert(peer.number())
            } else {
                known.with_gaps.remove(&peer.number())
            };
        }
        Ok(judged)
    }

    fn judge(
        &self,
        peer: Origin,
        level: PeerLevel,
        takes_us_for: Stand,
        hubs: BTreeSet<u64>,
    ) -> Result<(), LevelsError> {
        let mut known = self.0.lock();
        match (level, takes_us_for) {
            (PeerLevel::Itself, _) | (PeerLevel::Beside, Stand::Beside) => return Ok(()),
            (PeerLevel::Beside, _) | (_, Stand::Beside) => return Err(LevelsError::BesideOne),
            (PeerLevel::Below | PeerLevel::Lower, Stand::Lower) => return Err(LevelsError::BothBelow),
            (PeerLevel::Above, Stand::Upper) => return Err(LevelsError::BothAbove),
            (PeerLevel::Above, Stand::Lower) => return Ok(()),
            (PeerLevel::Below | PeerLevel::Lower, Stand::Upper) => {}
        }
        if hubs.contains(&known.own) {
            return Err(LevelsError::Cycle);
        }
        if level != PeerLevel::Lower {
            // Who is not said to be a hub has no say in who is below this one.
            return Ok(());
        }
        let others = known.below.iter().filter(|(other, _)| **other != peer.number());
        let all: BTreeSet<_> = others.flat_map(|(_, hubs)| hubs).chain(&hubs).collect();
        if all.len() >= MAX_HUBS {
            return Err(LevelsError::TooMany);
        }
        if known.below.get(&peer.number()) != Some(&hubs) {
            known.below.insert(peer.number(), hubs);
            known.version += 1;
        }
        Ok(())
    }

    /// A peer has no session any more.
    pub(crate) fn forget(&self, peer: Origin) {
        let mut known = self.0.lock();
        known.with_gaps.remove(&peer.number());
        if known.below.remove(&peer.number()).is_some() {
            known.version += 1;
        }
    }
}

impl Known {
    /// Counts the changes of what a peer of this level is told.
    fn version(&self, level: PeerLevel) -> u64 {
        if level == PeerLevel::Above { self.version + self.whole_version } else { self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `from` says to `to`, in which it is peer 1 of this level.
    fn say(from: &Levels, takes_for: PeerLevel, to: &Levels, level: PeerLevel) -> Result<(), LevelsError> {
        let mut out = Vec::new();
        from.encode(takes_for, &mut out);
        assert_eq!(out[..2], [0, KIND]);
        to.note(Origin::peer(1).unwrap(), level, &mut Reader::new(&out[3..], 3)).unwrap()
    }

    #[test]
    fn hubs_at_two_levels_go_well_and_the_lower_one_is_known_above() {
        let [low, high, top] = [1, 2, 3].map(Levels::new);
        assert_eq!(say(&low, PeerLevel::Above, &high, PeerLevel::Lower), Ok(()));
        assert_eq!(say(&high, PeerLevel::Below, &low, PeerLevel::Above), Ok(()));
        let before = high.version(PeerLevel::Below);
        assert_eq!(say(&low, PeerLevel::Above, &high, PeerLevel::Lower), Ok(()));
        assert_eq!(high.version(PeerLevel::Below), before, "nothing new");
        let mut out = Vec::new();
        high.encode(PeerLevel::Above, &mut out);
        assert_eq!(out[3..], [1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(say(&high, PeerLevel::Above, &top, PeerLevel::Lower), Ok(()));
        // Over two hubs.
        assert_eq!(say(&top, PeerLevel::Above, &low, PeerLevel::Lower), Err(LevelsError::Cycle));
        high.forget(Origin::peer(1).unwrap());
        assert_eq!(say(&high, PeerLevel::Above, &top, PeerLevel::Lower), Ok(()));
        assert_eq!(say(&top, PeerLevel::Above, &low, PeerLevel::Lower), Ok(()), "it is not below any more");
    }

    #[test]
    fn two_that_sum_each_other_notice_at_once() {
        let [one, two] = [1, 2].map(Levels::new);
        assert_eq!(say(&one, PeerLevel::Below, &two, PeerLevel::Below), Err(LevelsError::BothBelow));
        assert_eq!(say(&one, PeerLevel::Above, &two, PeerLevel::Above), Err(LevelsError::BothAbove));
    }

    #[test]
    fn hubs_side_by_side_both_say_so() {
        let [one, two] = [1, 2].map(Levels::new);
        assert_eq!(say(&one, PeerLevel::Beside, &two, PeerLevel::Beside), Ok(()));
        for other in [PeerLevel::Below, PeerLevel::Lower, PeerLevel::Above] {
            assert_eq!(say(&one, PeerLevel::Beside, &two, other), Err(LevelsError::BesideOne));
            assert_eq!(say(&one, other, &two, PeerLevel::Beside), Err(LevelsError::BesideOne));
        }
        assert_eq!(two.version(PeerLevel::Above), 2, "nobody is below because of that");
    }

    #[test]
    fn what_is_malformed_or_too_much_is_refused() {
        let hub = Levels::new(1);
        for payload in [&[][..], &[1], &[1, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(
                hub.note(Origin::peer(1).unwrap(), PeerLevel::Below, &mut Reader::new(payload, 0)).is_err()
            );
        }
        let mut payload = vec![1];
        varint::encode(MAX_HUBS as u64 + 1, &mut payload);
        (0..=MAX_HUBS as u64).for_each(|hub| payload.extend_from_slice(&(hub + 2).to_be_bytes()));
        let note = |level| hub.note(Origin::peer(1).unwrap(), level, &mut Reader::new(&payload, 0));
        assert_eq!(note(PeerLevel::Lower), Ok(Err(LevelsError::TooMany)));
        assert_eq!(note(PeerLevel::Below), Ok(Ok(())), "who is no hub is not believed to have some below");
        assert_eq!(hub.version(PeerLevel::Below), 1);
    }

    #[test]
    fn an_upper_hub_knows_whether_a_lower_one_lacks_something() {
        let [low, high] = [1, 2].map(Levels::new);
        let peer = Origin::peer(1).unwrap();
        assert_eq!(say(&low, PeerLevel::Above, &high, PeerLevel::Lower), Ok(()));
        assert!(high.has_gaps(peer), "it just began");
        let before = [PeerLevel::Above, PeerLevel::Below].map(|level| low.version(level));
        assert!(low.set_whole(true) && !low.set_whole(true));
        assert!(low.version(PeerLevel::Above) > before[0]);
        assert_eq!(low.version(PeerLevel::Below), before[1], "nodes are told by the status table");
        assert_eq!(say(&low, PeerLevel::Above, &high, PeerLevel::Lower), Ok(()));
        assert!(!high.has_gaps(peer));
        // One of before this message had that byte.
        assert!(low.set_whole(false));
        assert_eq!(say(&low, PeerLevel::Above, &high, PeerLevel::Lower), Ok(()));
        assert!(high.has_gaps(peer));
        high.forget(peer);
        assert!(!high.has_gaps(peer));
    }
}
