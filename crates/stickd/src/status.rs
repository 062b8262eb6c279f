//! The daemon as the runtime API and other outputs see it: fills in the [`view`](crate::view).

mod hubs;
mod peers;
mod process;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use haproxy_peers::{Order, OrderError, Orders, PeerLevel, SharedTable};
use stick_aggregate::Aggregate;
use stick_table::{Millis, Table};

use crate::daemon::Daemon;
use crate::peers::Cluster;
use crate::runtime::Context;
use crate::view::{HubView, ProcessView, SectionView, StoreView};

/// The runtime API's view of the daemon.
pub struct Status {
    daemon: Arc<Daemon>,
}

impl Status {
    /// The view of a daemon.
    pub fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }
}

impl Context for Status {
    fn now(&self) -> Millis {
        self.daemon.clock.now()
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        self.daemon.all_tables()
    }

    fn shared(&self, table: &Table) -> Option<Arc<SharedTable>> {
        let name = &table.definition().name;
        self.daemon.clusters.iter().find_map(|cluster| cluster.tables().by_local_name(name))
    }

    fn changed(&self) {
        self.daemon.clusters.iter().for_each(|cluster| cluster.changed());
    }

    fn sections(&self) -> Vec<SectionView> {
        let now = self.now();
        let running = self.daemon.clusters.iter().map(|cluster| peers::section(cluster, now));
        let disabled = self.daemon.config.sections.iter().filter(|section| section.disabled);
        let disabled = disabled.map(|section| SectionView {
            name: section.name.clone(),
            disabled: true,
            ..SectionView::default()
        });
        let mut all: Vec<_> = running.chain(disabled).collect();
        let place = |name: &str| self.daemon.config.sections.iter().position(|section| section.name == name);
        all.sort_by_key(|section| std::cmp::Reverse(place(&section.name)));
        all
    }

    fn hubs(&self) -> Vec<HubView> {
        let hubs = self.daemon.clusters.iter().filter(|cluster| cluster.tables().is_hub());
        hubs.map(|cluster| hubs::hub(cluster, self.now())).collect()
    }

    fn store(&self) -> Option<StoreView> {
        let line = self.daemon.config.global.state.as_ref()?;
        let usage = self.daemon.state.get()?;
        let (directory, report) = (line.directory.display().to_string(), usage.report.lock().clone());
        Some(StoreView { directory, numbers: usage.view(self.now()), report })
    }

    fn sum(&self, name: &str) -> Option<Arc<Aggregate>> {
        let sums = self.daemon.clusters.iter().flat_map(|cluster| cluster.tables().aggregates());
        sums.into_iter().find(|sum| sum.source().name == name || sum.output().definition().name == name)
    }

    fn orders<'o>(&self, sum: &Arc<Aggregate>, order: Order<'o>) -> Result<Orders<'o>, OrderError> {
        let is_its =
            |cluster: &&Arc<Cluster>| cluster.tables().aggregates().iter().any(|it| Arc::ptr_eq(it, sum));
        let cluster = self.daemon.clusters.iter().find(is_its).ok_or(OrderError::Gone)?;
        let view = cluster.view();
        let at = |level| view.peers.iter().filter(move |peer| peer.level == level);
        let lower: Vec<_> = at(PeerLevel::Lower).map(|peer| peer.name.as_str()).collect();
        if !lower.is_empty() {
            return Err(OrderError::LowerHubs(lower.join(", ")));
        }
        let connections = cluster.connections();
        // Those that have the table.
        let nodes = at(PeerLevel::Below).filter(|peer| {
            let connection = peer.session.and_then(|session| connections.get(&session));
            let Some(established) = connection.and_then(|connection| connection.established()) else {
                return false;
            };
            let tables = established.session.lock().view().tables;
            tables.iter().any(|table| table.name == sum.source().name && table.remote_id != 0)
        });
        let nodes = nodes.map(|peer| peer.origin).collect();
        cluster.tables().orders(sum, nodes, order)
    }

    fn max_server_key(&self) -> u64 {
        self.daemon.config.global.max_server_key.into()
    }

    fn is_stopping(&self) -> bool {
        self.daemon.stopping.load(Ordering::Relaxed)
    }

    fn process(&self) -> ProcessView {
        process::process(&self.daemon)
    }
}
