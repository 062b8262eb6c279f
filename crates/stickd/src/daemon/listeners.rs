//! The sockets that peers connect to: bound before anything happens that cannot be undone.

use anyhow::{Context as _, anyhow};

use super::Daemon;
use crate::bind_hint::bind_hint;
use crate::config::{Address, Bind};
use crate::net::Listener;
use crate::peers::Cluster;
use crate::tls::Acceptor;

/// Listening sockets, each with its TLS.
pub(super) type Listeners = Vec<(Listener, Option<Acceptor>)>;

/// All listening sockets.
pub(super) struct Bound {
    /// Those of each cluster.
    pub(super) own: Vec<Listeners>,
    /// Those of each [`SharedListener`](crate::config::SharedListener).
    pub(super) shared: Vec<Listeners>,
}

/// A listener that is about to be bound.
struct Unbound<'b> {
    bind: &'b Bind,
    acceptor: Option<Acceptor>,
    /// What an error begins with.
    cannot_listen: String,
}

impl Daemon {
    /// Binds the listeners of every cluster, and those of several.
    ///
    /// A peer's connection may reach a listener from the moment it is bound, so what else can fail comes first.
    pub(super) async fn bind(&self, predecessors: &[i32]) -> anyhow::Result<Bound> {
        let of_section =
            |cluster: &Cluster| format!("section {} {}", cluster.config().keyword(), cluster.name());
        let mut own = Vec::new();
        for cluster in &self.clusters {
            let user = of_section(cluster);
            own.push(self.load(cluster.config().local.listeners.iter(), &user)?);
        }
        let mut shared = Vec::new();
        for config in &self.config.global.shared {
            let user = format!("sections {}", config.sections.join(", "));
            shared.push(self.load(std::iter::once(&config.bind), &user)?);
        }
        Ok(Bound {
            own: self.listen(own, predecessors).await?,
            shared: self.listen(shared, predecessors).await?,
        })
    }

    /// What TLS of listeners needs.
    fn load<'b>(
        &self,
        binds: impl Iterator<Item = &'b Bind>,
        user: &str,
    ) -> anyhow::Result<Vec<Unbound<'b>>> {
        let unbound = binds.map(|bind| {
            let cannot_listen = format!(
                "{}: cannot listen on {} for {user}",
                self.config.sources.place(bind.span),
                bind.address
            );
            let acceptor = bind.tls.as_ref().map(|tls| self.config.tls.acceptor(tls)).transpose();
            let acceptor = acceptor.with_context(|| cannot_listen.clone())?;
            Ok(Unbound { bind, acceptor, cannot_listen })
        });
        unbound.collect()
    }

    async fn listen(
        &self,
        all: Vec<Vec<Unbound<'_>>>,
        predecessors: &[i32],
    ) -> anyhow::Result<Vec<Listeners>> {
        let mut bound = Vec::new();
        for unbound in all {
            let mut listeners = Vec::new();
            for Unbound { bind, acceptor, cannot_listen } in unbound {
                let sockets = Listener::bind(&bind.address, bind.families, predecessors).await;
                let sockets = sockets.map_err(|error| {
                    let is_unix = matches!(bind.address, Address::Unix(_));
                    let hint = bind_hint(is_unix, &error, predecessors);
                    anyhow!("{cannot_listen}: {error}{hint}")
                })?;
                listeners.extend(sockets.into_iter().map(|listener| (listener, acceptor.clone())));
            }
            bound.push(listeners);
        }
        Ok(bound)
    }
}
