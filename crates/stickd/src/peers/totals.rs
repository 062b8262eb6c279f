//! What a section counts over all its connections.

use std::sync::atomic::{AtomicU64, Ordering};

use haproxy_peers::{DecodeErrorKind, EndReason, Session, SessionError, SessionEvent};

/// Counts over all sessions that have ended, and of connections that never became one.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections refused or dropped before a session.
    pub refused_connections: AtomicU64,
    /// Connections that were attempted or accepted.
    pub connections: AtomicU64,
    /// Updates received.
    pub updates_received: AtomicU64,
    /// Updates that found their table full.
    pub updates_refused: AtomicU64,
    /// Updates sent.
    pub updates_sent: AtomicU64,
    /// Lessons received to their end.
    pub lessons_learned: AtomicU64,
    /// Lessons given and confirmed.
    pub lessons_taught: AtomicU64,
    /// Sessions closed because of malformed messages.
    pub protocol_errors: AtomicU64,
    /// Connections closed before their hello because others needed the place.
    pub handshakes_dropped: AtomicU64,
    /// Connections closed because their hello did not come in time.
    pub handshakes_timed_out: AtomicU64,
    /// Connections closed at once because of `maxconn`.
    pub connections_over_limit: AtomicU64,
    /// Hellos of peers that might have joined if there had been a place.
    pub dynamic_peers_refused: AtomicU64,
    /// Messages over `tune.bufsize`.
    pub oversized_messages: AtomicU64,
    /// Strings of `server_key` that were too long to be kept.
    pub ignored_strings: AtomicU64,
    /// Sessions that one of several processes of the same name took from another.
    pub namesakes: AtomicU64,
    /// Lines of the log that were left out.
    pub lines_left_out: AtomicU64,
    /// How often a table made from a definition could not grow, as far as that was logged.
    pub table_shortages: AtomicU64,
}

impl Totals {
    pub(super) fn refused(&self) {
        count(&self.refused_connections);
    }

    /// Adds what a session counted that has ended.
    pub(super) fn add_session(&self, session: &Session, reason: &EndReason) {
        let (received, sent) = (session.received(), session.sent());
        add(&self.updates_received, received.updates);
        add(&self.updates_refused, received.refused_updates);
        add(&self.updates_sent, sent.live_updates + sent.lesson_updates);
        add(&self.ignored_strings, received.ignored_strings);
        if let EndReason::Error(SessionError::Malformed(error)) = reason {
            count(&self.protocol_errors);
            if matches!(error.kind, DecodeErrorKind::PayloadTooLarge { .. }) {
                count(&self.oversized_messages);
            }
        }
    }

    /// Counts an event of a session.
    pub(super) fn note_event(&self, event: &SessionEvent) {
        match event {
            SessionEvent::LessonLearned { .. } => count(&self.lessons_learned),
            SessionEvent::LessonTaught => count(&self.lessons_taught),
            _ => {}
        }
    }
}

/// Counts one.
pub(super) fn count(total: &AtomicU64) {
    add(total, 1);
}

fn add(total: &AtomicU64, count: u64) {
    total.fetch_add(count, Ordering::Relaxed);
}
