//! What the daemon does with HTTP at its start.

use anyhow::anyhow;
use tracing::warn;

use super::{Server, ServerError};
use crate::bind_hint::bind_hint;
use crate::config::builtin;
use crate::daemon::Daemon;
use crate::runtime::BindError;

impl Daemon {
    /// Binds the listeners; `None` without any.
    ///
    /// The built-in configuration is for people who look around: there HTTP is left out when another program has its port.
    ///
    /// # Errors
    /// When a file cannot be used, or an address not be bound.
    pub(crate) async fn bind_http(&self, predecessors: &[i32]) -> anyhow::Result<Option<Server>> {
        let http = &self.config.global.http;
        let Some(first) = http.binds.first() else { return Ok(None) };
        match Server::bind(&self.config, predecessors).await {
            Ok(server) => Ok(Some(server)),
            Err(error) if error.is_taken() && self.is_built_in() => {
                let address = &first.socket.address;
                warn!(%address, "HTTP is off, as another program listens there; give a configuration with another port");
                Ok(None)
            }
            Err(ServerError::Bind(BindError::Bind(name, fault))) => {
                let is_unix = name.starts_with("unix@");
                let hint = bind_hint(is_unix, &fault, predecessors);
                Err(anyhow!("HTTP has no socket: cannot listen on {name}: {fault}{hint}"))
            }
            Err(error) => Err(anyhow!("HTTP cannot be served: {error}")),
        }
    }

    fn is_built_in(&self) -> bool {
        self.config.sources.iter().any(|source| source.name() == builtin::NAME)
    }
}
