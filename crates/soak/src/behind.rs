//! Entries that differ from what was sent, as the protocol allows until the next request: who is behind, and whether any member
//! that it could reach knew better.

use std::fmt;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use crate::cluster::is_haproxy;

/// Touches of two processes that are less than this apart no lifetime tells apart, as a live update of what was touched within the
/// last second has none (docs/peers-protocol.md §8.3, `Ages` of stick-table), with the time between two dumps.
const TOO_CLOSE: Duration = Duration::from_millis(1_600);

/// What an entry tells, from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Knowledge {
    /// There is no entry, or it has expired.
    Nothing,
    /// An older value: requests counted, and 0 of a table that counts none.
    Older(u64),
    /// What was sent.
    Right,
    /// More than that: requests which the key's owner lost when it was killed.
    Newer,
}

/// What a member has of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) knows: Knowledge,
    /// When its entry ends.
    pub(crate) ends: Option<Instant>,
}

impl Told {
    /// Whether this is newer than what another has.
    fn is_newer(&self, other: &Self) -> bool {
        self.knows > other.knows && self.knows != Knowledge::Newer
    }

    /// Whether the lifetimes do not say so.
    fn is_close(&self, other: &Self) -> bool {
        let apart = self.ends.zip(other.ends).map(|(this, other)| this.saturating_duration_since(other));
        apart.is_some_and(|apart| apart < TOO_CLOSE)
    }
}

/// Why an entry may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// HAProxy asks one peer only for a lesson, and lets a lesson overwrite newer values.
    Haproxy,
    /// A stickd knows what the key's owner lost when it was killed.
    Ahead,
    /// No member that the stickd could reach held a newer value.
    NobodyKnew,
    /// Members that the stickd could reach held a newer value, touched so soon after that no lifetime tells the two apart.
    TooClose,
    /// A member that the stickd could reach held a newer value: a fault of stickd.
    SomebodyKnew,
}

impl Reason {
    /// Why the entry of `member` differs; `told` is what each member has. At a calm point each member reaches all others.
    pub(crate) fn of(member: usize, told: &[Told]) -> Self {
        let own = &told[member];
        let mut newer = told.iter().filter(|other| other.is_newer(own)).peekable();
        if is_haproxy(member) {
            Self::Haproxy
        } else if own.knows == Knowledge::Newer {
            Self::Ahead
        } else if newer.peek().is_none() {
            Self::NobodyKnew
        } else if newer.all(|other| other.is_close(own)) {
            Self::TooClose
        } else {
            Self::SomebodyKnew
        }
    }
}

/// How many entries differ, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// At HAProxys.
    pub haproxys: u64,
    /// At stickds that know what the key's owner lost when it was killed.
    pub ahead: u64,
    /// At stickds, where no member that the stickd could reach held a newer value.
    pub nobody_knew: u64,
    /// At stickds, where some member that the stickd could reach held a newer value, touched within 1.6 s.
    pub too_close: u64,
    /// At stickds, where some member that the stickd could reach held a newer value.
    pub somebody_knew: u64,
}

impl Behind {
    pub(crate) fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Haproxy => &mut self.haproxys,
            Reason::Ahead => &mut self.ahead,
            Reason::NobodyKnew => &mut self.nobody_knew,
            Reason::TooClose => &mut self.too_close,
            Reason::SomebodyKnew => &mut self.somebody_knew,
        } += 1;
    }
}

impl AddAssign for Behind {
    fn add_assign(&mut self, other: Self) {
        self.haproxys += other.haproxys;
        self.ahead += other.ahead;
        self.nobody_knew += other.nobody_knew;
        self.too_close += other.too_close;
        self.somebody_knew += other.somebody_knew;
    }
}

impl fmt::Display for Behind {
    /// Names what there is only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.somebody_knew, "at stickds where a reachable member knew better"),
            (self.too_close, "at stickds where a newer touch was too close to tell"),
            (self.nobody_knew, "at stickds where nobody knew better"),
            (self.ahead, "at stickds ahead of the owner"),
            (self.haproxys, "at HAProxys"),
        ];
        let there: Vec<_> = all.iter().filter(|(count, _)| *count > 0).collect();
        if there.is_empty() {
            return f.write_str("none");
        }
        for (place, (count, what)) in there.into_iter().enumerate() {
            write!(f, "{}{count} {what}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_follow_what_others_know() {
        use Knowledge::{Newer, Nothing, Older, Right};
        for (member, known, reason) in [
            (0, [Older(1), Right, Right, Right, Right], Reason::Haproxy),
            (3, [Right, Right, Right, Older(1), Right], Reason::SomebodyKnew),
            (3, [Older(2), Nothing, Nothing, Older(1), Nothing], Reason::SomebodyKnew),
            (3, [Older(1), Nothing, Nothing, Older(1), Nothing], Reason::NobodyKnew),
            (3, [Nothing; 5], Reason::NobodyKnew),
            (4, [Right, Right, Right, Right, Newer], Reason::Ahead),
            (4, [Older(1), Older(1), Older(1), Newer, Older(1)], Reason::NobodyKnew),
        ] {
            let told = known.map(|knows| Told { knows, ends: None });
            assert_eq!(Reason::of(member, &told), reason, "{member} of {known:?}");
        }
    }

    #[test]
    fn touches_that_are_close_no_lifetime_tells_apart() {
        let now = Instant::now();
        let ends = |ms| Some(now + Duration::from_millis(ms));
        for (others, reason) in [(1_400, Reason::TooClose), (1_700, Reason::SomebodyKnew)] {
            let mut told = [Told { knows: Knowledge::Right, ends: ends(others) }; 5];
            told[3] = Told { knows: Knowledge::Older(2), ends: ends(0) };
            assert_eq!(Reason::of(3, &told), reason);
            told[3] = Told { knows: Knowledge::Nothing, ends: None };
            assert_eq!(Reason::of(3, &told), Reason::SomebodyKnew, "it holds nothing");
        }
    }

    #[test]
    fn counts_are_told_by_reason() {
        let mut behind = Behind::default();
        assert_eq!(behind.to_string(), "none");
        behind.count(Reason::SomebodyKnew);
        behind += Behind { haproxys: 2, ..Behind::default() };
        assert_eq!(behind.to_string(), "1 at stickds where a reachable member knew better, 2 at HAProxys");
    }
}
