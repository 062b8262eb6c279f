//! What a peer says: messages of the stream, and what each does.

use stick_table::{DataType, Millis};

use super::learner::Learning;
use super::{OwnValuesTaught, Role, Session, SessionError, SessionEvent, beside, levels};
use crate::{Ack, Control, DecodeError, ErrorMessage, Frame, UpdateForm, class, decode_frame, kind};

/// Bytes first tried to complete a message with.
const MIN_COMPLETION: usize = 256;

impl Session {
    /// Takes bytes from the peer. Changes are applied to the tables before it returns.
    ///
    /// # Errors
    /// When the peer sent something malformed, or is refused. What came before it is applied and stays; call
    /// [`poll_transmit`](Self::poll_transmit) once more for the protocol's error message, send it and close.
    pub fn handle_input(&mut self, now: Millis, input: &[u8]) -> Result<(), SessionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.teacher.begin();
        self.last_received = now;
        let before = self.learner.received;
        self.counters.bytes_received += input.len() as u64;
        self.learner.reconsider(now).into_iter().for_each(|event| self.note(event));
        let result = self.take_input(now, input);
        self.learner.apply(now);
        if std::mem::take(&mut self.learner.wants_lesson) {
            self.note(SessionEvent::LessonNeeded);
        }
        if std::mem::take(&mut self.learner.ids_start_over) {
            self.note(SessionEvent::IdsStartOver);
        }
        self.watch_lesson(now, before);
        match result {
            Ok(()) => {}
            Err(error @ SessionError::Malformed(malformed)) => {
                self.error_due = Some(malformed.wire_error());
                self.failed = Some(error);
            }
            Err(error) => self.failed = Some(error),
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Handles the complete messages in what is left of earlier input and in `input`, and keeps the rest.
    fn take_input(&mut self, now: Millis, input: &[u8]) -> Result<(), SessionError> {
        let Some(rest) = self.complete_message(now, input)? else { return Ok(()) };
        let taken = self.handle_messages(now, rest)?;
        self.partial.extend_from_slice(&rest[taken..]);
        Ok(())
    }

    /// Completes the message that earlier input began and handles it; returns what follows it, `None` when `input` does
    /// not complete it. Copies little more than that message.
    fn complete_message<'a>(
        &mut self,
        now: Millis,
        input: &'a [u8],
    ) -> Result<Option<&'a [u8]>, SessionError> {
        let before = self.partial.len();
        if before == 0 {
            return Ok(Some(input));
        }
        let mut bytes = std::mem::take(&mut self.partial);
        while bytes.len() < before + input.len() {
            let copied = bytes.len() - before;
            let end = input.len().min(copied + bytes.len().max(MIN_COMPLETION));
            bytes.extend_from_slice(&input[copied..end]);
            let taken = self.handle_messages(now, &bytes)?;
            if taken > 0 {
                bytes.clear();
                self.partial = bytes;
                return Ok(Some(&input[taken - before..]));
            }
        }
        self.partial = bytes;
        Ok(None)
    }

    /// Handles the complete messages in `bytes`; returns how many bytes they take.
    fn handle_messages(&mut self, now: Millis, bytes: &[u8]) -> Result<usize, SessionError> {
        let mut taken = 0;
        while let Some((frame, size)) = decode_frame(&bytes[taken..], self.offset, self.buffer_size)? {
            self.handle_frame(now, &frame)?;
            taken += size;
            self.offset += size as u64;
        }
        Ok(taken)
    }

    fn handle_frame(&mut self, now: Millis, frame: &Frame<'_>) -> Result<(), SessionError> {
        if self.unheard {
            self.unheard = false;
            let relays = frame.class == class::CONTROL && frame.kind == Control::Relay.kind();
            self.relays.note(self.origin, relays);
        }
        match frame.class {
            class::STICK_TABLE => {
                if let Some(form) = UpdateForm::from_kind(frame.kind) {
                    self.learner.update(form, frame, now)?;
                    return Ok(());
                }
                match frame.kind {
                    kind::DEFINE => self.handle_definition(frame, now)?,
                    kind::SWITCH => self.learner.switch(frame)?,
                    kind::ACK => {
                        self.teacher.acknowledge(Ack::decode(&mut frame.reader())?);
                    }
                    // Types of later versions are to be ignored (peers-protocol §4).
                    _ => {}
                }
            }
            class::CONTROL if frame.kind == levels::KIND && self.has_levels() => {
                self.tables.levels().note(self.origin, self.level, &mut frame.reader())??;
            }
            class::CONTROL if frame.kind == beside::KIND && self.is_beside() => {
                if let Some(taught) = OwnValuesTaught::decode(&mut frame.reader(), now)? {
                    self.note(SessionEvent::TaughtElsewhere(taught));
                }
            }
            class::CONTROL => self.handle_control(now, Control::from_kind(frame.kind)),
            class::ERROR => {
                let size_limit = ErrorMessage::from_kind(frame.kind) == Some(ErrorMessage::SizeLimit);
                self.note(SessionEvent::PeerReportsError { size_limit });
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_definition(&mut self, frame: &Frame<'_>, now: Millis) -> Result<(), DecodeError> {
        if let Some(ack) = Ack::from_1_6_dev(frame)
            && self.teacher.acknowledge(ack)
        {
            return Ok(());
        }
        if let Some(event) = self.learner.define(frame, now)? {
            self.note(event);
        }
        // Types from http_fail_cnt on came with 2.4, which reads every payload length right (peers-protocol §18.2).
        let newest = self.learner.current.map_or(0, |place| self.learner.bindings[place].data_types);
        if newest >> DataType::HttpFailCnt.number() != 0 {
            self.teacher.peer_reads_all_lengths();
        }
        Ok(())
    }

    fn handle_control(&mut self, now: Millis, control: Option<Control>) {
        match control {
            Some(Control::ResyncRequest) => {
                self.teacher.lesson_requested();
                self.note(SessionEvent::LessonRequested);
            }
            Some(end @ (Control::ResyncFinished | Control::ResyncPartial)) => {
                self.learner.apply(now);
                // Every end is confirmed, asked for or not: the teacher waits for it (peers-protocol §13.1).
                self.due.confirms = self.due.confirms.saturating_add(1);
                if self.learner.learning == Learning::Running {
                    self.learner.learning = Learning::Over;
                    let complete = end == Control::ResyncFinished;
                    if self.role == Role::Predecessor {
                        let lacking = self.learner.note_lacking().join(", ");
                        if !lacking.is_empty() {
                            self.events.push_back(SessionEvent::LessonLacks { lacking });
                        }
                    } else {
                        self.learner.note_told();
                    }
                    // At most once for each lesson asked for, and the section waits for it.
                    self.events.push_back(SessionEvent::LessonLearned { complete });
                }
            }
            Some(Control::ResyncConfirm) if self.teacher.confirmed() => {
                // At most once for each lesson given, and a stopping section waits for it.
                self.events.push_back(SessionEvent::LessonTaught);
            }
            Some(Control::Heartbeat) => self.counters.heartbeats_received += 1,
            // The first message of a session was looked at; a later announcement comes too late to mean anything.
            Some(Control::ResyncConfirm | Control::Relay) | None => {}
        }
    }
}
