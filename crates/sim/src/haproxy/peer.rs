//! A peer: what is known of it while it is away, and its session.

use haproxy_peers::{Definition, LastStatus, Status};
use stick_table::Millis;

use super::HaproxyTable;
use super::release::{HALF, Quirks};
use super::table::Table;
use crate::Link;

/// Pause after which a heartbeat is sent, in ms (peers-protocol §3).
const HEARTBEAT_MS: Millis = 3_000;

pub(super) struct Peer {
    pub(super) name: String,
    /// Whether it bears this process's own name: the process before or after this one.
    pub(super) is_local: bool,
    pub(super) status: LastStatus,
    /// When it may be connected to again, and when its liveness is looked at; `None` for at once.
    pub(super) reconnect: Option<Millis>,
    /// The connection that counts, established or not.
    pub(super) link: Option<Link>,
    pub(super) session: Option<Session>,
    /// Whether 2.0 is spoken to it (§2.4).
    pub(super) downgraded: bool,
    pub(super) tables: Vec<Shared>,
}

/// How far a lesson to the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teaching {
    No,
    Running,
    /// The end was sent; until it is confirmed no update is.
    Finished,
}

/// An established session.
pub(super) struct Session {
    pub(super) alive: bool,
    pub(super) heartbeat_at: Millis,
    pub(super) sends_heartbeat: bool,
    pub(super) sends_request: bool,
    pub(super) confirms: u32,
    pub(super) teaching: Teaching,
    pub(super) learning: bool,
    pub(super) not_up_to_date: bool,
    /// The table that received updates are about.
    pub(super) current: Option<usize>,
    /// The table that sent updates are about.
    pub(super) last_pushed_table: Option<usize>,
}

/// The part of a lesson that a table is in (§13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Up to the end of the ids; the next one to look at.
    Upper(u32),
    /// From their start to where the lesson began.
    Lower(u32),
    #[default]
    Done,
}

/// A table as shared with a peer (§12.3).
#[derive(Default)]
pub(super) struct Shared {
    /// Last id acknowledged. Survives sessions.
    pub(super) update: u32,
    pub(super) last_pushed: u32,
    pub(super) teaching_origin: u32,
    pub(super) stage: Stage,
    pub(super) last_get: u32,
    pub(super) last_acked: u32,
    /// The peer's id of the table and how it defined it. Survives sessions (§11.2).
    pub(super) remote: Option<Definition>,
}

impl Peer {
    /// A peer without a session (§12.3).
    pub(super) fn new(name: String, is_local: bool, tables: &[HaproxyTable]) -> Self {
        Self {
            name,
            is_local,
            status: LastStatus::None,
            reconnect: None,
            link: None,
            session: None,
            downgraded: false,
            tables: tables.iter().map(|table| Shared::new(table.first_acked)).collect(),
        }
    }

    /// Begins a session.
    pub(super) fn establish(&mut self, now: Millis, accepted: bool, tables: &[Table], quirks: &Quirks) {
        self.status = LastStatus::Answered(Status::Accepted);
        self.session = Some(Session {
            alive: accepted,
            heartbeat_at: now + HEARTBEAT_MS,
            sends_heartbeat: false,
            sends_request: false,
            confirms: 0,
            teaching: Teaching::No,
            learning: false,
            not_up_to_date: false,
            current: None,
            last_pushed_table: None,
        });
        for (shared, table) in self.tables.iter_mut().zip(tables) {
            let newest = table.local_update();
            if quirks.resets_future_cursor && shared.update.wrapping_sub(newest).cast_signed() > 0 {
                shared.update = newest.wrapping_add(HALF);
            }
            shared.last_pushed = shared.update;
            shared.teaching_origin = shared.update;
            shared.stage = Stage::Done;
            (shared.last_get, shared.last_acked) = (0, 0);
        }
    }

    /// Begins a lesson to the peer (§13.2).
    pub(super) fn teach(&mut self, tables: &[Table], quirks: &Quirks) {
        let Some(session) = &mut self.session else { return };
        session.teaching = Teaching::Running;
        for (shared, table) in self.tables.iter_mut().zip(tables) {
            let origin = if quirks.teaches_from_acked { shared.update } else { table.update() };
            (shared.last_pushed, shared.teaching_origin) = (origin, origin);
            shared.stage = origin.checked_add(1).map_or(Stage::Lower(0), Stage::Upper);
        }
    }

    /// The lesson was confirmed; or so the peer says.
    pub(super) fn confirmed(&mut self) {
        if let Some(session) = &mut self.session {
            session.teaching = Teaching::No;
        }
        for shared in &mut self.tables {
            (shared.update, shared.last_pushed) = (shared.teaching_origin, shared.teaching_origin);
            shared.stage = Stage::Done;
        }
    }

    /// Whether a local change was not pushed yet.
    pub(super) fn lags(&self, tables: &[Table], quirks: &Quirks) -> bool {
        self.tables.iter().zip(tables).any(|(shared, table)| shared.lags(table, quirks))
    }

    /// Whether an attempt to connect is in order after what became of the last (§2.3).
    pub(super) fn may_be_called(&self) -> bool {
        !self.is_local
            && matches!(
                self.status,
                LastStatus::None
                    | LastStatus::Connecting
                    | LastStatus::Handshake
                    | LastStatus::Answered(Status::Accepted)
            )
    }

    /// Whether the timer for the next attempt has run out.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.reconnect.is_none_or(|at| at <= now)
    }
}

impl Session {
    pub(super) fn postpone_heartbeat(&mut self, now: Millis) {
        self.heartbeat_at = now + HEARTBEAT_MS;
    }
}

impl Shared {
    fn new(update: u32) -> Self {
        Self { update, last_pushed: update, teaching_origin: update, ..Self::default() }
    }

    /// Whether a local change was not pushed yet (§12.4).
    pub(super) fn lags(&self, table: &Table, quirks: &Quirks) -> bool {
        let distance = self.last_pushed.wrapping_sub(table.local_update()).cast_signed();
        if quirks.pushes_by_signed_distance { distance < 0 } else { distance != 0 }
    }
}
