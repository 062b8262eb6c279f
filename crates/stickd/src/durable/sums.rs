//! The contributions of hubs, of which their results are computed.

use std::sync::Arc;

use stick_store::{NodeNames, Sums};
use stick_table::{Origin, TableDefinition};

use crate::daemon::Daemon;
use crate::peers::Cluster;

/// The nodes of a hub.
struct Nodes(Arc<Cluster>);

impl NodeNames for Nodes {
    fn names(&self) -> Vec<(Origin, String)> {
        self.0.nodes()
    }

    fn returns(&self, name: &str) -> Option<Origin> {
        self.0.expect_node(name)
    }
}

impl Daemon {
    fn hubs(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.iter().filter(|cluster| cluster.tables().is_hub())
    }

    /// The sources of all hubs. Each has a name that tells its hub: two hubs may sum tables of one name.
    pub(super) fn kept_sums(&self) -> Vec<(String, Sums)> {
        let mut all = Vec::new();
        for cluster in self.hubs() {
            for shared in cluster.tables().all() {
                let Some(aggregate) = shared.aggregate().cloned() else { continue };
                let name = format!("{}:{}", cluster.config().name, shared.definition().network_name());
                let (source, nodes) = (Arc::clone(shared.table()), Arc::new(Nodes(Arc::clone(cluster))));
                all.push((name, Sums { aggregate, source, nodes }));
            }
        }
        all
    }

    /// The sums of a source that was kept under a name; they are made again as if a node defined it.
    pub(super) fn sums_again(&self, name: &str, definition: &TableDefinition) -> Option<Sums> {
        for cluster in self.hubs() {
            let section = &cluster.config().name;
            let of_it = name.strip_prefix(section.as_str()).and_then(|rest| rest.strip_prefix(':'));
            let Some(network_name) = of_it else { continue };
            let mut definition = definition.clone();
            definition.name = cluster.tables().local_name(network_name);
            let Ok(shared) = cluster.tables().create_again(&definition) else { continue };
            let Some(aggregate) = shared.aggregate().cloned() else { continue };
            let (source, nodes) = (Arc::clone(shared.table()), Arc::new(Nodes(Arc::clone(cluster))));
            return Some(Sums { aggregate, source, nodes });
        }
        None
    }
}
