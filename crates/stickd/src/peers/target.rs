//! Where a section connects to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Address, RemotePeer};
use crate::tls::{Connector, Loaded, TlsError};

/// Where to connect to for a peer.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    /// Further addresses of the same host, tried in this order after that one.
    pub(super) others: Vec<SocketAddr>,
    /// Where the connection comes from.
    pub(super) source: Option<SocketAddr>,
    pub(super) connector: Option<Arc<Connector>>,
    /// The name for TLS where none is configured.
    pub(super) host: String,
}

impl Target {
    /// The targets of all configured peers that have an address, by name.
    ///
    /// # Errors
    /// When a TLS file cannot be loaded.
    pub(super) fn of_configured(
        remotes: &[RemotePeer],
        source: Option<SocketAddr>,
        files: &Loaded,
    ) -> Result<HashMap<String, Self>, TlsError> {
        let mut targets = HashMap::new();
        for remote in remotes {
            let Some(address) = &remote.address else { continue };
            let connector = remote.tls.as_ref().map(|tls| files.connector(tls)).transpose()?.map(Arc::new);
            let host = match address {
                Address::Ip(address) => address.ip().to_string(),
                Address::Host { host, .. } => host.clone(),
                Address::Unix(_) => "localhost".to_owned(),
            };
            let target = Self { address: address.clone(), others: Vec::new(), source, connector, host };
            targets.insert(remote.name.clone(), target);
        }
        Ok(targets)
    }
}
