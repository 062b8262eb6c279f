//! A connection: two ends, and the bytes on the way to each.

use std::collections::VecDeque;

use haproxy_peers::{HelloParser, PeerId, Session, SessionId, StatusParser};
use stick_table::Millis;

use super::Node;

/// How a connection reaches a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As anybody's.
    Network,
    /// From the process before it, by a way that nobody else has.
    Predecessor,
}

pub(super) enum End {
    Dialing { node: usize, id: SessionId, peer: PeerId, parser: StatusParser },
    Greeting { node: usize, parser: HelloParser, way: Way },
    Live { node: usize, id: SessionId, peer: PeerId, session: Box<Session> },
    Scripted { received: Vec<u8>, closed: bool },
    Gone,
}

impl End {
    pub(super) fn scripted() -> Self {
        Self::Scripted { received: Vec::new(), closed: false }
    }

    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Self::Dialing { node, .. } | Self::Greeting { node, .. } | Self::Live { node, .. } => Some(*node),
            Self::Scripted { .. } | Self::Gone => None,
        }
    }
}

/// Bytes, or `None` for the end of the stream, with the time of their arrival.
type Queue = VecDeque<(Millis, Option<Vec<u8>>)>;

pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// What is on the way to each end.
    pub(super) queues: [Queue; 2],
}

impl Link {
    pub(super) fn new(near: End, far: End) -> Self {
        Self { ends: [near, far], queues: Default::default() }
    }

    /// Sends from a side to the other.
    pub(super) fn send(&mut self, side: usize, bytes: Option<Vec<u8>>, arrival: Millis) {
        self.queues[1 - side].push_back((arrival, bytes));
    }

    pub(super) fn take_due(&mut self, side: usize, now: Millis) -> Option<Option<Vec<u8>>> {
        self.queues[side].pop_front_if(|(at, _)| *at <= now).map(|(_, bytes)| bytes)
    }

    /// When something happens here.
    pub(super) fn times(&self, nodes: &[Node]) -> impl Iterator<Item = Millis> {
        let arrivals = self.queues.iter().filter_map(|queue| Some(queue.front()?.0));
        let timeouts = self.ends.iter().filter_map(|end| match end {
            End::Live { node, session, .. } => Some(session.poll_timeout().saturating_sub(nodes[*node].skew)),
            _ => None,
        });
        arrivals.chain(timeouts)
    }
}
