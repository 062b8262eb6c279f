//! What the process counts. A counter is declared here and nowhere else: [`Totals`](crate::peers::Totals) counts it under its
//! name, `show info` and all other outputs show it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Unit;

/// Where and how a counter is shown.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// Its place in `show info`.
    pub place: u16,
    /// Its name in `show info`.
    pub name: &'static str,
    /// What it counts, as a phrase.
    pub help: &'static str,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident $place:literal $name:literal $help:literal;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Counter { $($(#[$doc])* $counter,)* }

        impl Counter {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$counter,)*];

            /// Where and how it is shown.
            pub const fn declared(self) -> Declared {
                match self {
                    $(Self::$counter => Declared { place: $place, name: $name, help: $help },)*
                }
            }
        }
    };
}

counters! {
    /// Connections that were attempted or accepted.
    Connections 18 "CumConns" "Connections so far";
    /// Updates received.
    UpdatesReceived 1003 "Stickd_updates_received" "Updates received from peers";
    /// Updates sent.
    UpdatesSent 1004 "Stickd_updates_sent" "Updates sent to peers";
    /// Updates that found their table full.
    UpdatesRefused 1005 "Stickd_updates_refused" "Updates that found their table full";
    /// Lessons received to their end.
    LessonsLearned 1006 "Stickd_lessons_learned" "Lessons learned to the end";
    /// Lessons given and confirmed.
    LessonsTaught 1007 "Stickd_lessons_taught" "Lessons taught to the end";
    /// Connections refused or dropped before a session: unknown peers, wrong hellos, too many at a time.
    RefusedConnections 1008 "Stickd_refused_connections" "Connections refused";
    /// Sessions closed because of malformed messages.
    ProtocolErrors 1009 "Stickd_protocol_errors" "Sessions closed for malformed messages";
    /// Connections closed at once because of `maxconn`.
    ConnectionsOverLimit 1020 "Stickd_peer_connections_refused" "Closed at that limit";
    /// Connections closed before their hello because others needed the place.
    HandshakesDropped 1023 "Stickd_handshakes_dropped" "Closed without a hello for a new one";
    /// Connections closed because their hello did not come in time.
    HandshakesTimedOut 1024 "Stickd_handshakes_timed_out" "Hellos that did not come in time";
    /// Hellos of peers that might have joined if there had been a place.
    DynamicPeersRefused 1026 "Stickd_dynamic_peers_refused" "Dynamic peers refused";
    /// Messages over `tune.bufsize`.
    OversizedMessages 1033 "Stickd_messages_oversized" "Messages over their limit";
    /// Strings of `server_key` that were too long to be kept.
    IgnoredServerKeys 1035 "Stickd_server_keys_ignored" "Strings over that limit";
    /// Sessions that one of several processes of the same name took from another.
    Namesakes 1038 "Stickd_namesakes" "Sessions taken by another process of the same name";
    /// Lines of the log that were left out because a peer caused too many.
    LogLinesLeftOut 1039 "Stickd_log_lines_left_out" "Lines of the log left out";
}

impl Counter {
    /// Counters are numbers of things so far.
    pub const UNIT: Unit = Unit::Count;
}

/// Counts at one moment; in JSON an object with a field for each counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<Counter, u64>);

impl Counts {
    /// How often it was counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(&counter).copied().unwrap_or(0)
    }

    /// Adds to a count.
    pub fn add(&mut self, counter: Counter, count: u64) {
        *self.0.entry(counter).or_default() += count;
    }
}
