//! One side of a session, driven as the daemon drives it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use haproxy_peers::{
    Ack, Control, Limits, PeerLevel, ProtocolVersion, Relays, Resume, Role, Session, SessionSetup, TableSet,
};
use stick_table::{DataType, Lifetime, Origin, Table};

use crate::{Kind, NOW, Sender};

/// Bytes that one read or write moves at most: the size of the daemon's buffers.
pub const CHUNK: usize = 64 * 1024;

/// A session with a peer that is only a number, and the tables it shares.
pub struct Node {
    tables: Arc<TableSet>,
    table: Arc<Table>,
    session: Session,
    output: Vec<u8>,
}

impl Node {
    /// An empty table of up to `size` entries, and a session with peer 1.
    pub fn new(kind: Kind, size: u32) -> Self {
        let table = Arc::new(Table::new(kind.definition(size), 1).unwrap());
        let tables = Arc::new(TableSet::new("mypeers", [(Arc::clone(&table), None)], None, None, 1).unwrap());
        Self::on(tables, table, 1)
    }

    /// As [`new`](Self::new), with the entries of these numbers, learned from peer 1, and a session with peer 2.
    pub fn filled(kind: Kind, size: u32, numbers: Range<u32>) -> Self {
        let mut node = Self::new(kind, size);
        node.learn(&Sender::new(kind).lesson(numbers), u64::MAX);
        node.connect(2)
    }

    /// A session with another peer on the same tables.
    pub fn connect(&self, peer: u16) -> Self {
        Self::on(Arc::clone(&self.tables), Arc::clone(&self.table), peer)
    }

    fn on(tables: Arc<TableSet>, table: Arc<Table>, peer: u16) -> Self {
        let setup = SessionSetup {
            tables: Arc::clone(&tables),
            version: ProtocolVersion::V2_1,
            role: Role::Remote,
            origin: Origin::peer(peer).unwrap(),
            shard: 0,
            level: PeerLevel::Below,
            up_to_date: Arc::new(AtomicBool::new(true)),
            limits: Limits::default(),
            resume: Resume::default(),
            relays: Relays::default(),
            awaits_values: Arc::default(),
        };
        let session = Session::new(setup, NOW);
        Self { tables, table, session, output: Vec::with_capacity(2 * CHUNK) }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Asks the peer for a lesson, so that what it sends with remaining lifetimes is taken as that.
    pub fn ask(&mut self) {
        self.session.request_lesson();
        self.answer();
    }

    /// Takes the peer's bytes, read by read, and makes the answers, until `count` updates were learned; returns how many
    /// were.
    ///
    /// # Panics
    /// When the bytes are malformed.
    pub fn learn(&mut self, stream: &[u8], count: u64) -> u64 {
        let before = self.session.received().updates;
        for chunk in stream.chunks(CHUNK) {
            if self.session.received().updates - before >= count {
                break;
            }
            self.session.handle_input(NOW, chunk).expect("the sender makes no malformed messages");
            self.answer();
        }
        self.session.received().updates - before
    }

    /// Gives a lesson until `count` entries were taught or all are; returns how many were.
    ///
    /// # Panics
    /// Never: the request is well formed.
    pub fn teach(&mut self, count: u64) -> u64 {
        let mut request = Vec::with_capacity(2);
        Control::ResyncRequest.encode(&mut request);
        self.session.handle_input(NOW, &request).expect("a request");
        let before = self.session.sent().lesson_updates;
        while self.answer() && self.session.sent().lesson_updates - before < count {}
        self.session.sent().lesson_updates - before
    }

    /// Changes the entries of these numbers locally, as HAProxy counts a request.
    ///
    /// # Panics
    /// When the table is full.
    pub fn change(&self, kind: Kind, numbers: Range<u32>) {
        for number in numbers {
            self.table
                .update(&kind.key(number), Origin::LOCAL, Lifetime::Restart, NOW, |entry| {
                    entry.count(DataType::ConnCnt, 0, 1);
                })
                .expect("there is room");
        }
    }

    /// Pushes local changes until `count` were pushed or all are, with an acknowledgement after each write; returns how
    /// many were.
    ///
    /// # Panics
    /// Never: acknowledgements are well formed.
    pub fn push(&mut self, count: u64) -> u64 {
        let before = self.session.sent().live_updates;
        let mut ack = Vec::with_capacity(16);
        loop {
            let more = self.answer();
            let pushed = self.session.sent().live_updates;
            ack.clear();
            // Ids of a new session start at 1.
            Ack { table_id: 1, update_id: pushed as u32 }.encode_unchecked(&mut ack);
            self.session.handle_input(NOW, &ack).expect("an acknowledgement");
            if !more || pushed - before >= count {
                return pushed - before;
            }
        }
    }

    /// Makes what is to be sent, and forgets it; whether there is more.
    fn answer(&mut self) -> bool {
        self.output.clear();
        while self.session.poll_event().is_some() {}
        self.session.poll_transmit(NOW, CHUNK, &mut self.output)
    }
}
