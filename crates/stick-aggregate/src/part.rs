//! One node's contribution to a key, in words.

/// Words of a part before its data: its head, and its deadline (or, in a source that does not expire, when it was touched).
pub(crate) const PART_HEAD: usize = 2;

/// Who told a part, in one word.
///
/// ```text
/// | flags: 4 bits | columns: 4 bits | session: 8 bits | generation of a node: 16 bits |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head(u32);

impl Head {
    /// A process told it that is gone; one that knew nothing of it tells a part of its own.
    pub(crate) const FORMER: u32 = 1 << 28;
    /// The node's present process is being taught it.
    pub(crate) const OFFERED: u32 = 1 << 29;
    /// A session before the present one told it, whatever the session's number says.
    pub(crate) const STALE: u32 = 1 << 30;
    /// Another hub taught the present process what former ones told: with a former part, whatever is no less than that holds it;
    /// alone, the part is what they told. Of the session that told it only.
    pub(crate) const KNOWN: u32 = 1 << 31;

    pub(crate) const fn new(generation: u16, session: u8, set: u8) -> Self {
        Self(generation as u32 | (session as u32) << 16 | ((set & 15) as u32) << 24)
    }

    #[inline]
    pub(crate) const fn of(part: &[u32]) -> Self {
        Self(part[0])
    }

    #[inline]
    pub(crate) const fn word(self) -> u32 {
        self.0
    }

    /// The generation of the node that told it, see [`Nodes`](crate::nodes::Nodes).
    #[inline]
    pub(crate) const fn generation(self) -> u16 {
        self.0 as u16
    }

    pub(crate) const fn of_generation(self, generation: u16) -> Self {
        Self(self.0 & !0xffff | generation as u32)
    }

    /// The node's session that told it, by its number modulo 256.
    #[inline]
    pub(crate) const fn session(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Which columns it has: a number of the generation's, see [`Nodes`](crate::nodes::Nodes).
    #[inline]
    pub(crate) const fn set(self) -> u8 {
        (self.0 >> 24) as u8 & 15
    }

    /// With all columns.
    pub(crate) const fn complete(self) -> Self {
        Self(self.0 & !(15 << 24))
    }

    #[inline]
    pub(crate) const fn is(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn with(self, flag: u32) -> Self {
        Self(self.0 | flag)
    }

    pub(crate) const fn without(self, flag: u32) -> Self {
        Self(self.0 & !flag)
    }

    /// As told by this session.
    pub(crate) const fn in_session(self, session: u8) -> Self {
        Self(self.0 & !(0xff << 16) | (session as u32) << 16).without(Self::STALE)
    }

    /// Whether it has what another hub taught the process of this session.
    #[inline]
    pub(crate) const fn is_known(self, session: u8) -> bool {
        self.is(Self::KNOWN) && !self.is_stale(session)
    }

    /// Whether a session before `session` told it.
    #[inline]
    pub(crate) const fn is_stale(self, session: u8) -> bool {
        self.is(Self::STALE) || self.session() != session
    }
}

/// Milliseconds from `now` to a tick, 0 when it is over.
#[inline]
pub(crate) fn left(tick: u32, now: u32) -> u32 {
    tick.wrapping_sub(now).cast_signed().max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_its_parts_apart() {
        let head = Head::new(65_535, 200, 15);
        assert_eq!((head.generation(), head.session(), head.set()), (65_535, 200, 15));
        for flag in [Head::FORMER, Head::OFFERED, Head::STALE, Head::KNOWN] {
            assert!(!head.is(flag) && head.with(flag).is(flag));
            assert_eq!(head.with(flag).without(flag), head);
        }
        assert!(!head.is_stale(200) && head.is_stale(201) && head.with(Head::STALE).is_stale(200));
        assert_eq!(head.complete(), Head::new(65_535, 200, 0));
        assert_eq!(head.of_generation(3), Head::new(3, 200, 15));
        let renewed = head.with(Head::STALE).in_session(7);
        assert_eq!((renewed.session(), renewed.generation(), renewed.is_stale(7)), (7, 65_535, false));
    }
}
