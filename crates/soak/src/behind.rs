//! Entries that differ from what was sent, as the protocol allows until the next request: who is behind, and whether any member
//! that it could reach knew better.

use std::fmt;
use std::ops::AddAssign;

use crate::cluster::is_haproxy;

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

/// Why an entry may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// HAProxy asks one peer only for a lesson, and lets a lesson overwrite newer values.
    Haproxy,
    /// A stickd knows what the key's owner lost when it was killed.
    Ahead,
    /// No member that the stickd could reach held a newer value.
    NobodyKnew,
    /// The stickd could have asked a member that held a newer value: a fault of stickd.
    SomebodyKnew,
}

impl Reason {
    /// Why the entry of `member` differs; `known` is what each member's entry tells. At a calm point each member reaches all others.
    pub(crate) fn of(member: usize, known: &[Knowledge]) -> Self {
        let own = known[member];
        if is_haproxy(member) {
            Self::Haproxy
        } else if own == Knowledge::Newer {
            Self::Ahead
        } else if known.iter().any(|other| *other > own && *other != Knowledge::Newer) {
            Self::SomebodyKnew
        } else {
            Self::NobodyKnew
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
    /// At stickds, where some member that the stickd could reach held a newer value.
    pub somebody_knew: u64,
}

impl Behind {
    pub(crate) fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Haproxy => &mut self.haproxys,
            Reason::Ahead => &mut self.ahead,
            Reason::NobodyKnew => &mut self.nobody_knew,
            Reason::SomebodyKnew => &mut self.somebody_knew,
        } += 1;
    }
}

impl AddAssign for Behind {
    fn add_assign(&mut self, other: Self) {
        self.haproxys += other.haproxys;
        self.ahead += other.ahead;
        self.nobody_knew += other.nobody_knew;
        self.somebody_knew += other.somebody_knew;
    }
}

impl fmt::Display for Behind {
    /// Names what there is only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.somebody_knew, "at stickds where a reachable member knew better"),
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
            assert_eq!(Reason::of(member, &known), reason, "{member} of {known:?}");
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
