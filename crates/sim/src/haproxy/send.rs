//! What a session sends.

use haproxy_peers::{
    Ack, Control, Definition, DefinitionTail, Padding, Update, UpdateHeader, WireColumn, WireKeyType,
    WireValue,
};
use stick_table::{DataType, Millis};

use super::Haproxy;
use super::peer::{Stage, Teaching};
use super::resync::Phase;

/// Most bytes made in one pass: `tune.bufsize`.
const BUFFER: usize = 16_384;

/// Why updates are sent, which decides on which and in what form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Push {
    Live,
    Lesson,
}

/// Whether the pass may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    GoesOn,
    IsCut,
}

impl Haproxy {
    /// One pass over all there is to send to a peer, in the order of peers-protocol §13.3. Appends nothing when there is
    /// nothing.
    pub(super) fn send_pass(&mut self, now: Millis, peer: usize, out: &mut Vec<u8>) {
        let tables = self.tables.len();
        let Some(session) = &mut self.peers[peer].session else { return };
        if std::mem::take(&mut session.sends_heartbeat) {
            Control::Heartbeat.encode(out);
        }
        if std::mem::take(&mut session.sends_request) {
            Control::ResyncRequest.encode(out);
        }
        // The list of tables has the last one first, where it begins, and goes on after the one pushed last.
        let first = session.last_pushed_table.unwrap_or_else(|| tables.saturating_sub(1));
        for step in 1..=tables {
            let place = (first + tables - step) % tables;
            if out.len() >= BUFFER {
                return;
            }
            self.send_ack(peer, place, out);
            if self.send_table(now, peer, place, out) == Pass::IsCut {
                return;
            }
        }
        let is_up_to_date =
            self.resync.phase == Phase::Finished && !self.config.quirks.lessons_are_always_partial;
        let peer = &mut self.peers[peer];
        let all_taught = peer.tables.iter().all(|shared| shared.stage == Stage::Done);
        let Some(session) = &mut peer.session else { return };
        if session.teaching == Teaching::Running && all_taught {
            session.teaching = Teaching::Finished;
            let end = if is_up_to_date { Control::ResyncFinished } else { Control::ResyncPartial };
            end.encode(out);
        }
        for _ in 0..std::mem::take(&mut session.confirms) {
            if !self.config.confirms {
                break;
            }
            Control::ResyncConfirm.encode(out);
        }
    }

    fn send_ack(&mut self, peer: usize, place: usize, out: &mut Vec<u8>) {
        let shared = &mut self.peers[peer].tables[place];
        if let Some(remote) = &shared.remote
            && shared.last_get != shared.last_acked
        {
            Ack { table_id: remote.id, update_id: shared.last_get }.encode_unchecked(out);
            shared.last_acked = shared.last_get;
        }
    }

    fn send_table(&mut self, now: Millis, peer: usize, place: usize, out: &mut Vec<u8>) -> Pass {
        let Some(session) = &self.peers[peer].session else { return Pass::IsCut };
        match session.teaching {
            Teaching::Finished => Pass::GoesOn,
            Teaching::Running => {
                while self.peers[peer].tables[place].stage != Stage::Done {
                    if self.send_batch(now, peer, place, Push::Lesson, out) == Pass::IsCut {
                        return Pass::IsCut;
                    }
                }
                Pass::GoesOn
            }
            // Nothing is pushed to a peer that is learned from.
            Teaching::No if session.learning => Pass::GoesOn,
            Teaching::No => {
                let lags = self.peers[peer].tables[place].lags(&self.tables[place], &self.config.quirks);
                if lags { self.send_batch(now, peer, place, Push::Live, out) } else { Pass::GoesOn }
            }
        }
    }

    /// Sends updates of a table until there are no more in this stage, or the pass is cut.
    fn send_batch(&mut self, now: Millis, peer: usize, place: usize, push: Push, out: &mut Vec<u8>) -> Pass {
        self.send_definition(peer, place, out);
        let timed = push == Push::Lesson && self.config.quirks.speaks_2_1 && !self.peers[peer].downgraded;
        let most = self.config.quirks.max_updates_at_once.unwrap_or(usize::MAX);
        for sent in 0.. {
            let Some((id, key)) = self.next_update(peer, place, push) else { break };
            if sent >= most || out.len() >= BUFFER {
                return Pass::IsCut;
            }
            let last = self.peers[peer].tables[place].last_pushed;
            // A wrapped id is lower than the one before, so it is said (§8.2).
            let follows = last != 0 && last.checked_add(1) == Some(id);
            let is_implied = sent > 0 && follows && self.tables[place].config.id_stride == 1;
            self.send_update(now, place, key, (!is_implied).then_some(id), timed, out);
            self.tables[place].mark_seen(key);
            let shared = &mut self.peers[peer].tables[place];
            shared.last_pushed = id;
            shared.stage = match shared.stage {
                Stage::Upper(_) => id.checked_add(1).map_or(Stage::Lower(0), Stage::Upper),
                Stage::Lower(_) => id.checked_add(1).map_or(Stage::Done, Stage::Lower),
                Stage::Done => Stage::Done,
            };
        }
        let shared = &mut self.peers[peer].tables[place];
        match (push, shared.stage) {
            (Push::Live, _) => shared.last_pushed = self.tables[place].local_update(),
            (Push::Lesson, Stage::Upper(_)) => shared.stage = Stage::Lower(0),
            (Push::Lesson, _) => shared.stage = Stage::Done,
        }
        Pass::GoesOn
    }

    fn next_update(&self, peer: usize, place: usize, push: Push) -> Option<(u32, u32)> {
        let (shared, table) = (&self.peers[peer].tables[place], &self.tables[place]);
        match (push, shared.stage) {
            (Push::Live, _) => table.next_change(shared.last_pushed),
            (Push::Lesson, Stage::Upper(from)) => table.next_in(from, u32::MAX),
            (Push::Lesson, Stage::Lower(from)) => table.next_in(from, shared.teaching_origin),
            (Push::Lesson, Stage::Done) => None,
        }
    }

    /// Says which table the next updates are about, unless it is the same as before in this session (§7.6).
    fn send_definition(&mut self, peer: usize, place: usize, out: &mut Vec<u8>) {
        let Some(session) = &mut self.peers[peer].session else { return };
        if session.last_pushed_table.replace(place) == Some(place) {
            return;
        }
        let config = &self.tables[place].config;
        let rate = WireColumn {
            data_type: DataType::HttpReqRate,
            count: 1,
            period: u64::from(config.rate_period_ms),
        };
        let tail =
            DefinitionTail { expire_ms: u64::from(config.expire_ms.unwrap_or(0)), parameters: vec![rate] };
        Definition {
            id: wire_id(place),
            name: config.name.as_bytes().to_vec(),
            key_type: config.key_type,
            key_size: 4,
            data_types: DATA_TYPES,
            tail: self.config.quirks.sends_definition_tail.then_some(tail),
        }
        .encode_unchecked(Padding::None, out);
    }

    fn send_update(
        &self,
        now: Millis,
        place: usize,
        key: u32,
        id: Option<u32>,
        timed: bool,
        out: &mut Vec<u8>,
    ) {
        let table = &self.tables[place];
        let Some(entry) = table.get(key) else { return };
        let id = id.map(|id| table.config.to_wire(id));
        Update {
            header: UpdateHeader { id, lifetime_ms: timed.then(|| table.remaining(entry, now)) },
            key: key.to_be_bytes().to_vec(),
            values: vec![
                (DataType::Gpc0, vec![WireValue::Unsigned(entry.gpc0)]),
                (DataType::HttpReqRate, vec![WireValue::Frequency(entry.rate.to_wire(now as u32))]),
            ],
            trailing: Vec::new(),
        }
        .encode(&UPDATES, Padding::None, out)
        .unwrap();
    }
}

/// What updates are written by, whatever a table is defined as: integers, with the two data types there are.
const UPDATES: Definition = Definition {
    id: 1,
    name: Vec::new(),
    key_type: WireKeyType::INTEGER,
    key_size: 4,
    data_types: DATA_TYPES,
    tail: None,
};

/// The data types of every table.
const DATA_TYPES: u64 = 1 << DataType::Gpc0.number() | 1 << DataType::HttpReqRate.number();

/// Id of a table on the wire: from 1, in the order of registration (§7.4).
fn wire_id(place: usize) -> u32 {
    u32::try_from(place).map_or(u32::MAX, |place| place.saturating_add(1))
}
