//! Control messages: class 0, two bytes, no payload (peers-protocol §6).

use crate::class;

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// The sender asks for a lesson.
    ResyncRequest,
    /// The lesson is over and the teacher was up to date.
    ResyncFinished,
    /// The lesson is over, but the teacher was not up to date itself.
    ResyncPartial,
    /// The learner has got a finished or partial lesson; until it comes the teacher sends no updates.
    ResyncConfirm,
    /// Nothing to say, but alive. Sent since 2.0, ignored before.
    Heartbeat,
    /// The sender passes live updates on from peer to peer. stickd's own, sent once and before anything else. Every
    /// HAProxy ignores it as a type it does not know (peers-protocol §4).
    Relay,
}

impl Control {
    /// The type byte.
    pub const fn kind(self) -> u8 {
        match self {
            Self::ResyncRequest => 0,
            Self::ResyncFinished => 1,
            Self::ResyncPartial => 2,
            Self::ResyncConfirm => 3,
            Self::Heartbeat => 4,
            Self::Relay => 0x72,
        }
    }

    /// The control message of a type byte; `None` for those this version does not know, which are to be ignored.
    pub const fn from_kind(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::ResyncRequest),
            1 => Some(Self::ResyncFinished),
            2 => Some(Self::ResyncPartial),
            3 => Some(Self::ResyncConfirm),
            4 => Some(Self::Heartbeat),
            0x72 => Some(Self::Relay),
            _ => None,
        }
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[class::CONTROL, self.kind()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_two_bytes() {
        for kind in [0, 1, 2, 3, 4, 0x72] {
            let mut out = Vec::new();
            Control::from_kind(kind).unwrap().encode(&mut out);
            assert_eq!(out, [0, kind]);
        }
        assert_eq!(Control::from_kind(5), None);
    }
}
