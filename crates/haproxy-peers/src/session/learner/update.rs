//! An update: which change of a table it means, and which of two messages is newer.

use stick_table::defect::Defect;
use stick_table::{Batch, Lifetime, Millis, Precedence};

use super::{Learner, Learning};
use crate::session::plan::Plan;
use crate::session::relays::decode_writer;
use crate::session::repetition::Live;
use crate::{DecodeError, Frame, Reader, ReceiveDictionary, UpdateForm, UpdateHeader, decode_key};

impl Learner {
    /// Takes an update (peers-protocol §8.3). What was taken before stays when it is malformed.
    pub(crate) fn update(
        &mut self,
        form: UpdateForm,
        frame: &Frame<'_>,
        now: Millis,
    ) -> Result<(), DecodeError> {
        let Some(place) = self.current else {
            self.received.ignored_updates += 1;
            self.note_undefined();
            return Ok(());
        };
        let mut reader = frame.reader();
        let header = UpdateHeader::decode(form, &mut reader)?;
        let binding = &mut self.bindings[place];
        let id = header.id.unwrap_or_else(|| binding.last_id.wrapping_add(1));
        binding.last_id = id;
        let remaining = header.remaining_ms();
        // A lesson tells no usable lifetimes in a session of version 2.0, or when the sender's table does not expire.
        let untimed = !self.timed || binding.endless;
        let lesson = self.learning == Learning::Running && (remaining.is_some() || untimed);
        let mut live = Live::New;
        if lesson {
            let heard = binding.heard();
            binding.repetition.note_lesson(id, remaining.map(|left| now + Millis::from(left)), heard);
        } else {
            self.ids_start_over |= binding.note_live(id, self.learning == Learning::Not);
            live = binding.repetition.note_live(id);
        }
        let repeats = live != Live::New && remaining.is_none();
        if repeats {
            // It may have come before the lesson as well, and been acknowledged when the peer taught already: HAProxy does
            // not count that (peers-protocol §11.1), so the same id is acknowledged again. Otherwise its next session would
            // begin with it, and restart the lifetime.
            binding.sent_ack = id.wrapping_sub(1);
        }
        let told_left = match live {
            Live::FirstTold(Some(end)) if !untimed => {
                Some(u32::try_from(end.saturating_sub(now)).unwrap_or(u32::MAX))
            }
            _ => None,
        };
        let lifetime = match remaining.or(told_left) {
            Some(0) if binding.endless => Lifetime::Restart,
            Some(ms) => Lifetime::Exactly(ms),
            // A lesson that told no lifetimes gave the entry a whole one, or left it to somebody else's: nothing to keep.
            None if repeats && (!untimed || Defect::StaleRepetitions.is_on()) => Lifetime::Keep,
            None => Lifetime::Restart,
        };
        let precedence = match (lesson, repeats) {
            (true, _) if Defect::LessonOverwrites.is_on() => Precedence::Newest,
            (true, _) => Precedence::FillGaps,
            // The sender would push it now without the lesson. No age says otherwise.
            (false, true) if untimed && matches!(live, Live::FirstTold(_)) && !binding.is_summed() => {
                Precedence::Newest
            }
            (false, true) => Precedence::Repeated,
            (false, false) => Precedence::Newest,
        };
        let full = binding.is_full() || binding.precedence != precedence;
        if full && !binding.batch.is_empty() {
            self.received.refused_updates += binding.apply(self.times, now).refused;
        }
        binding.precedence = precedence;
        let key = decode_key(binding.shared.definition().key_type, &mut reader)?;
        if !binding.taken {
            // Its strings count all the same: later updates refer to them.
            self.received.ignored_updates += 1;
            push(&binding.plan, &mut binding.batch, key, lifetime, &mut reader, &mut self.dictionary, now)?;
            binding.batch.pop();
            return Ok(());
        }
        self.received.updates += 1;
        let relays = self.relays.as_ref().filter(|relays| relays.contains(self.origin));
        if let Some(relays) = relays {
            // Who made it stands behind the values.
            let mut ahead = reader.clone();
            push(&binding.plan, &mut binding.batch, key, lifetime, &mut ahead, &mut self.dictionary, now)?;
            binding.batch.pop();
            let made_by = |writer| relays.told_by(self.origin, writer, self.tables.origins());
            let writer = decode_writer(ahead.rest()).map_or(self.origin, made_by);
            if binding.writer != writer && !binding.batch.is_empty() {
                self.received.refused_updates += binding.apply(self.times, now).refused;
            }
            binding.writer = writer;
        }
        if let Some((plan, batch)) = &mut binding.copy {
            push(plan, batch, key, lifetime, &mut reader.clone(), &mut self.dictionary, now)?;
        }
        push(&binding.plan, &mut binding.batch, key, lifetime, &mut reader, &mut self.dictionary, now)
    }
}

/// Decodes the values of an update into a new change of a batch, and takes it back when they are malformed.
#[inline]
fn push(
    plan: &Plan,
    batch: &mut Batch,
    key: &[u8],
    lifetime: Lifetime,
    reader: &mut Reader<'_>,
    dictionary: &mut ReceiveDictionary,
    now: Millis,
) -> Result<(), DecodeError> {
    match plan.decode(reader, batch.push_canonical(key, lifetime), dictionary, now as u32) {
        Ok(None) => Ok(()),
        Ok(Some(string)) => {
            batch.set_string(&string);
            Ok(())
        }
        Err(error) => {
            batch.pop();
            Err(error)
        }
    }
}
