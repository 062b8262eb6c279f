//! A process with one section.

use std::num::NonZeroU32;
use std::sync::Arc;

use haproxy_peers::{
    ConfiguredPeer, DynamicTables, EndReason, Hub, Limits, PeerLevel, Section, SectionConfig, SessionEvent,
    TableSet, UpdateIds,
};
use stick_table::{Millis, Origins, Table, TableDefinition};

/// How long members that are not configured are remembered.
pub(crate) const FORGET_MS: Millis = 60_000;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) section: Section,
    pub(crate) tables: Arc<TableSet>,
    /// How much its clock is ahead of the world's.
    pub(crate) skew: Millis,
    pub(crate) running: bool,
    pub(crate) listens: bool,
    pub(crate) may_join: bool,
    /// Members its section forgot.
    pub(crate) forgotten: Vec<String>,
    /// What its sessions reported, and why they ended.
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) ended: Vec<EndReason>,
    /// Hellos it sent.
    pub(crate) hellos: Vec<String>,
    /// Lessons its section asked for.
    pub(crate) requests: usize,
}

impl Node {
    /// Its clock.
    pub(crate) fn clock(&self, now: Millis) -> Millis {
        now + self.skew
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        Some(self.section.poll_timeout()?.saturating_sub(self.skew))
    }

    /// A table by its place.
    pub(crate) fn table(&self, place: usize) -> Arc<Table> {
        Arc::clone(self.tables.get(place).unwrap().table())
    }

    /// How often a kind of event happened.
    pub(crate) fn count(&self, wanted: impl Fn(&SessionEvent) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

/// What a node is made from.
pub(crate) struct Setup {
    name: String,
    peers: Vec<ConfiguredPeer>,
    tables: Vec<(Arc<Table>, Option<Arc<Table>>)>,
    open: Vec<String>,
    shards: Option<NonZeroU32>,
    dynamic: Option<DynamicTables>,
    max_dynamic_peers: usize,
    discovers: bool,
    relay: bool,
    hub: Option<Hub>,
    expects_predecessor: bool,
    limits: Limits,
    update_ids: UpdateIds,
    origins: Arc<Origins>,
}

impl Setup {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            peers: Vec::new(),
            tables: Vec::new(),
            open: Vec::new(),
            shards: None,
            dynamic: None,
            max_dynamic_peers: 0,
            discovers: false,
            relay: false,
            hub: None,
            expects_predecessor: false,
            limits: Limits::default(),
            update_ids: UpdateIds::default(),
            origins: Origins::shared(),
        }
    }

    pub(crate) fn peer(self, name: &str) -> Self {
        self.peer_of_shard(name, 0)
    }

    pub(crate) fn peer_of_shard(mut self, name: &str, shard: u32) -> Self {
        self.peers.push((name.to_owned(), shard).into());
        self
    }

    /// An upper hub.
    pub(crate) fn peer_above(self, name: &str) -> Self {
        self.peer_of_level(name, PeerLevel::Above)
    }

    /// A lower hub.
    pub(crate) fn lower_hub(self, name: &str) -> Self {
        self.peer_of_level(name, PeerLevel::Lower)
    }

    /// A hub of the same nodes.
    pub(crate) fn hub_beside(self, name: &str) -> Self {
        self.peer_of_level(name, PeerLevel::Beside)
    }

    fn peer_of_level(mut self, name: &str, level: PeerLevel) -> Self {
        self.peers.push(ConfiguredPeer { level, ..(name.to_owned(), 0).into() });
        self
    }

    /// One that is not called.
    pub(crate) fn awaited_peer(mut self, name: &str) -> Self {
        self.peers.push(ConfiguredPeer { is_called: false, ..(name.to_owned(), 0).into() });
        self
    }

    pub(crate) fn table(self, definition: TableDefinition) -> Self {
        self.table_and_copy(Table::new(definition, 5).unwrap().into(), None)
    }

    pub(crate) fn table_and_copy(mut self, table: Arc<Table>, copy: Option<Arc<Table>>) -> Self {
        self.tables.push((table, copy));
        self
    }

    /// A table whose data types the first peer says that defines it.
    pub(crate) fn open_table(mut self, definition: TableDefinition) -> Self {
        self.open.push(definition.name.clone());
        self.table(definition)
    }

    pub(crate) fn shards(mut self, count: u32) -> Self {
        self.shards = NonZeroU32::new(count);
        self
    }

    pub(crate) fn dynamic_tables(mut self, max_tables: usize) -> Self {
        let (max_bytes, max_server_key) = (1 << 20, 256);
        self.dynamic = Some(DynamicTables { size: 100, max_tables, max_bytes, max_server_key });
        self
    }

    pub(crate) fn dynamic_peers(mut self, most: usize) -> Self {
        self.max_dynamic_peers = most;
        self
    }

    pub(crate) fn discovers(mut self) -> Self {
        self.discovers = true;
        self
    }

    pub(crate) fn relay(mut self) -> Self {
        self.relay = true;
        self
    }

    pub(crate) fn hub(mut self, hub: Hub) -> Self {
        self.hub = Some(hub);
        self.dynamic_tables(10)
    }

    pub(crate) fn expects_predecessor(mut self) -> Self {
        self.expects_predecessor = true;
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn update_ids(mut self, ids: UpdateIds) -> Self {
        self.update_ids = ids;
        self
    }

    /// Another section of a process.
    pub(crate) fn origins(mut self, origins: &Arc<Origins>) -> Self {
        self.origins = Arc::clone(origins);
        self
    }

    pub(super) fn start(self, skew: Millis, now: Millis) -> Node {
        let tables = TableSet::new("p", self.tables, self.shards, self.dynamic, 3).unwrap();
        let tables = tables.with_open_tables(self.open.iter().map(String::as_str));
        let tables = tables.with_update_ids(self.update_ids).with_origins(self.origins);
        let tables = Arc::new(match self.hub {
            Some(hub) => tables.with_hub(hub).unwrap(),
            None => tables,
        });
        let config = SectionConfig {
            name: "p".into(),
            local_name: self.name.clone(),
            peers: self.peers,
            max_dynamic_peers: self.max_dynamic_peers,
            discovers: self.discovers,
            forget_ms: FORGET_MS,
            relay: self.relay,
            tables: Arc::clone(&tables),
            limits: self.limits,
            expects_predecessor: self.expects_predecessor,
            pid: 7,
            seed: 11 + skew,
        };
        Node {
            name: self.name,
            section: Section::new(config, now + skew).unwrap(),
            tables,
            skew,
            running: true,
            listens: true,
            may_join: true,
            forgotten: Vec::new(),
            events: Vec::new(),
            ended: Vec::new(),
            hellos: Vec::new(),
            requests: 0,
        }
    }
}
