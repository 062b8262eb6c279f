//! What the runtime API shows and changes, as the daemon offers it.

use std::sync::Arc;
use std::time::SystemTime;

use haproxy_peers::{Order, OrderError, Orders, SharedTable};
use stick_aggregate::Aggregate;
use stick_table::{Millis, Table};

use crate::config::Global;
use crate::view::{HubView, ProcessView, SectionView, StoreView, TableView, View};

/// The daemon as seen from the runtime socket.
///
/// Methods are called from connection tasks and from blocking threads: they must return quickly and not call back.
pub trait Context: Send + Sync + 'static {
    /// Now on the clock of the tables, in ms.
    fn now(&self) -> Millis;

    /// Now on the wall clock, for the dates in `show peers`.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Every table in declaration order, those created from definitions of peers last.
    fn tables(&self) -> Vec<Arc<Table>>;

    /// The table of a full local name (`<section>/<name>`, or a proxy's name).
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables().into_iter().find(|table| table.definition().name == name)
    }

    /// What says the number behind `shard=` for the keys of a table; `None` when no section shares it. To be asked for once, and
    /// not for each entry: it is searched by name.
    fn shared(&self, table: &Table) -> Option<Arc<SharedTable>> {
        let _ = table;
        None
    }

    /// Called after `set table` changed an entry: wakes the sessions so that they push it.
    fn changed(&self);

    /// The `peers` sections, the most recently declared first, for `show peers`.
    fn sections(&self) -> Vec<SectionView>;

    /// The `aggregations` sections in declaration order.
    fn hubs(&self) -> Vec<HubView> {
        Vec::new()
    }

    /// Tables on disk; `None` when none are kept.
    fn store(&self) -> Option<StoreView> {
        None
    }

    /// The sums that a table of a hub is about, by its full local name or that of its source.
    fn sum(&self, name: &str) -> Option<Arc<Aggregate>> {
        let _ = name;
        None
    }

    /// Prepares an order to all nodes of a hub.
    ///
    /// # Errors
    /// When they cannot be told.
    fn orders<'o>(&self, sum: &Arc<Aggregate>, order: Order<'o>) -> Result<Orders<'o>, OrderError> {
        let _ = (sum, order);
        Err(OrderError::Gone)
    }

    /// Longest `server_key` kept, in bytes.
    fn max_server_key(&self) -> u64 {
        Global::MAX_SERVER_KEY.into()
    }

    /// Whether the process stops: what is changed from now on may be lost.
    fn is_stopping(&self) -> bool {
        false
    }

    /// What `show info` prints. Also gives `show version` its version.
    fn process(&self) -> ProcessView;

    /// Everything at this moment.
    fn view(&self) -> View {
        let sections = self.sections();
        View {
            process: self.process(),
            tables: TableView::all(&self.tables(), &sections),
            sections,
            hubs: self.hubs(),
        }
    }
}
