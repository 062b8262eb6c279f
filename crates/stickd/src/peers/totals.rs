//! What a section counts over all its connections.

use std::sync::atomic::{AtomicU64, Ordering};

use haproxy_peers::{DecodeErrorKind, EndReason, Session, SessionError, SessionEvent};

use crate::metrics::counter::{Counter, Counts};

/// Counts over all sessions that have ended, and of connections that never became one.
#[derive(Debug, Default)]
pub struct Totals([AtomicU64; Counter::ALL.len()]);

impl Totals {
    /// Adds what was counted so far.
    pub(crate) fn add_to(&self, counts: &mut Counts) {
        for (counter, count) in Counter::ALL.iter().zip(&self.0) {
            counts.add(*counter, count.load(Ordering::Relaxed));
        }
    }

    /// Counts one.
    pub(super) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(super) fn add(&self, counter: Counter, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.count(Counter::RefusedConnections);
    }

    /// Adds what a session counted that has ended.
    pub(super) fn add_session(&self, session: &Session, reason: &EndReason) {
        let (received, sent) = (session.received(), session.sent());
        self.add(Counter::UpdatesReceived, received.updates);
        self.add(Counter::UpdatesRefused, received.refused_updates);
        self.add(Counter::UpdatesSent, sent.live_updates + sent.lesson_updates);
        self.add(Counter::IgnoredServerKeys, received.ignored_strings);
        if let EndReason::Error(SessionError::Malformed(error)) = reason {
            self.count(Counter::ProtocolErrors);
            if matches!(error.kind, DecodeErrorKind::PayloadTooLarge { .. }) {
                self.count(Counter::OversizedMessages);
            }
        }
    }

    /// Counts an event of a session.
    pub(super) fn note_event(&self, event: &SessionEvent) {
        match event {
            SessionEvent::LessonLearned { .. } => self.count(Counter::LessonsLearned),
            SessionEvent::LessonTaught => self.count(Counter::LessonsTaught),
            _ => {}
        }
    }
}
