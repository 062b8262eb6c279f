//! What a session makes of what it receives.

use haproxy_peers::{
    Ack, Control, DecodeError, DefineOutcome, Definition, ErrorMessage, Frame, Switch, Update, UpdateForm,
    WireValue, class, decode_frame, kind,
};
use stick_table::{DataType, KeyType, Millis};

use super::Haproxy;
use super::peer::Teaching;
use super::rate::Rate;
use super::table::Told;

/// Largest payload accepted: `tune.bufsize`.
const BUFFER: usize = 16_384;
/// Lengths that 2.0 to 2.3 take for something else (peers-protocol §18.2).
const MISREAD: std::ops::Range<usize> = 128..240;
/// A heartbeat received puts the end of the peer off by this time, in ms (§3).
const RECONNECT_MS: Millis = 5_000;

impl Haproxy {
    /// Takes all complete messages; what is left is put back into `input`.
    ///
    /// # Errors
    /// What to tell the peer before the connection is closed.
    pub(super) fn take_messages(
        &mut self,
        now: Millis,
        peer: usize,
        input: &mut Vec<u8>,
    ) -> Result<(), ErrorMessage> {
        let mut at = 0;
        while let Some((frame, size)) =
            decode_frame(&input[at..], 0, BUFFER).map_err(|error| error.wire_error())?
        {
            if self.config.quirks.misreads_lengths && MISREAD.contains(&frame.payload().len()) {
                return Err(ErrorMessage::Protocol);
            }
            self.take_message(now, peer, &frame).map_err(|error| error.wire_error())?;
            at += size;
            if self.peers[peer].session.is_none() {
                return Ok(());
            }
        }
        input.drain(..at);
        Ok(())
    }

    fn take_message(&mut self, now: Millis, peer: usize, frame: &Frame<'_>) -> Result<(), DecodeError> {
        let is_known = match (frame.class, frame.kind) {
            (class::CONTROL, number) => {
                if let Some(control) = Control::from_kind(number) {
                    self.take_control(now, peer, control);
                }
                true
            }
            (class::STICK_TABLE, kind::DEFINE) => self.take_definition(peer, frame)?,
            (class::STICK_TABLE, kind::SWITCH) => {
                let id = Switch::decode(&mut frame.reader())?.table_id;
                let place = self.place_of(peer, id);
                if let Some(session) = &mut self.peers[peer].session {
                    session.current = place;
                }
                true
            }
            (class::STICK_TABLE, kind::ACK) => {
                self.take_ack(peer, Ack::decode(&mut frame.reader())?);
                true
            }
            (class::STICK_TABLE, number) => match UpdateForm::from_kind(number) {
                Some(form) => self.take_update(now, peer, form, frame)?,
                None => true,
            },
            _ => true,
        };
        if let Some(session) = &mut self.peers[peer].session
            && (is_known || !self.config.quirks.unknown_tables_are_no_life)
        {
            session.alive = true;
        }
        Ok(())
    }

    fn take_control(&mut self, now: Millis, peer: usize, control: Control) {
        match control {
            Control::ResyncRequest => self.peers[peer].teach(&self.tables, &self.config.quirks),
            Control::ResyncFinished | Control::ResyncPartial => {
                self.lesson_ended(now, peer, control == Control::ResyncFinished);
            }
            Control::ResyncConfirm if self.is_stopping() && self.peers[peer].is_local => {
                self.successor_is_taught();
            }
            Control::ResyncConfirm => self.peers[peer].confirmed(),
            Control::Heartbeat if self.config.quirks.sends_heartbeats => {
                self.peers[peer].reconnect = Some(now + RECONNECT_MS);
            }
            Control::Heartbeat | Control::Relay => {}
        }
    }

    fn take_ack(&mut self, peer: usize, ack: Ack) {
        let peer = &mut self.peers[peer];
        let is_taught = peer.session.as_ref().is_some_and(|session| session.teaching != Teaching::No);
        if is_taught && self.config.quirks.ignores_acks_while_teaching {
            return;
        }
        let place = usize::try_from(ack.table_id).ok().and_then(|id| id.checked_sub(1));
        if let Some(place) = place
            && let Some((shared, table)) = peer.tables.get_mut(place).zip(self.tables.get(place))
        {
            shared.update = table.config.by_wire(ack.update_id);
        }
    }

    /// The table that a peer knows by this id.
    fn place_of(&self, peer: usize, id: u32) -> Option<usize> {
        let has_id = |remote: &Option<Definition>| remote.as_ref().is_some_and(|remote| remote.id == id);
        self.peers[peer].tables.iter().position(|shared| has_id(&shared.remote))
    }

    /// Notes what the next updates are about (§7.3); `false` when it is none of the tables here.
    fn take_definition(&mut self, peer: usize, frame: &Frame<'_>) -> Result<bool, DecodeError> {
        let outcome = Definition::decode(&mut frame.reader())?;
        let (DefineOutcome::Usable(definition) | DefineOutcome::Unusable { definition, .. }) = &outcome;
        if let Some(bound) = self.place_of(peer, definition.id) {
            self.peers[peer].tables[bound].remote = None;
        }
        let place = self.tables.iter().position(|table| table.config.name.as_bytes() == definition.name);
        let mut current = None;
        if let (Some(place), DefineOutcome::Usable(definition)) = (place, outcome)
            && (definition.key_type, definition.key_size) == (self.tables[place].config.key_type, 4)
        {
            self.peers[peer].tables[place].remote = Some(definition);
            current = Some(place);
        }
        if let Some(session) = &mut self.peers[peer].session {
            session.current = current;
        }
        Ok(place.is_some())
    }

    /// Takes an update of the current table; `false` when there is none.
    fn take_update(
        &mut self,
        now: Millis,
        peer: usize,
        form: UpdateForm,
        frame: &Frame<'_>,
    ) -> Result<bool, DecodeError> {
        let quirks = &self.config.quirks;
        let Some(session) = &self.peers[peer].session else { return Ok(false) };
        let (current, learning) = (session.current, session.learning);
        let Some(place) = current else { return Ok(false) };
        let shared = &mut self.peers[peer].tables[place];
        let Some(definition) = &shared.remote else { return Ok(false) };
        let update = Update::decode(form, definition, KeyType::Integer, &mut frame.reader())?;
        if !(learning && quirks.acks_no_lessons) {
            let implied = shared.last_get.wrapping_add(1);
            let implied = if quirks.swaps_implied_ids { implied.swap_bytes() } else { implied };
            shared.last_get = update.header.id.unwrap_or(implied);
        }
        let mut told = Told { lifetime: update.header.remaining_ms(), ..Told::default() };
        told.key = update.key.iter().fold(0, |key, byte| key << 8 | u32::from(*byte));
        if let [WireValue::Unsigned(value)] = update.elements(DataType::Gpc0) {
            told.gpc0 = Some(*value);
        }
        if let [WireValue::Frequency(wire)] = update.elements(DataType::HttpReqRate) {
            told.rate = Some(Rate::from_wire(*wire, now as u32, quirks.learns_rates_of_the_future));
        }
        self.tables[place].learn(now, told, quirks);
        Ok(true)
    }
}
