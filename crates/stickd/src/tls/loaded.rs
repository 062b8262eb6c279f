//! What was loaded for the TLS lines of a configuration.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Acceptor, Connector, TlsError};
use crate::config::{BindTls, ServerTls};

/// What was loaded for the TLS lines of a configuration: the files of lines with the same parameters are read once, so what was
/// checked is what is used. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Loaded(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    acceptors: HashMap<BindTls, Acceptor>,
    connectors: HashMap<ServerTls, Connector>,
    /// Towards members that DNS lists.
    members: HashMap<ServerTls, Connector>,
}

/// The part for these parameters, loaded if it is not there.
fn part<K: Clone + Eq + Hash, V: Clone>(
    parts: &mut HashMap<K, V>,
    key: &K,
    load: impl FnOnce(&K) -> Result<V, TlsError>,
) -> Result<V, TlsError> {
    if let Some(part) = parts.get(key) {
        return Ok(part.clone());
    }
    let part = load(key)?;
    parts.insert(key.clone(), part.clone());
    Ok(part)
}

impl Loaded {
    /// As [`Acceptor::load`], the first time.
    ///
    /// # Errors
    /// As there. What cannot be loaded is tried again the next time.
    pub fn acceptor(&self, tls: &BindTls) -> Result<Acceptor, TlsError> {
        part(&mut self.0.lock().acceptors, tls, Acceptor::load)
    }

    /// As [`Connector::load`], the first time.
    ///
    /// # Errors
    /// As there.
    pub fn connector(&self, tls: &ServerTls) -> Result<Connector, TlsError> {
        part(&mut self.0.lock().connectors, tls, Connector::load)
    }

    /// As [`Connector::load_for_members`], the first time.
    ///
    /// # Errors
    /// As there.
    pub fn connector_for_members(&self, tls: &ServerTls) -> Result<Connector, TlsError> {
        part(&mut self.0.lock().members, tls, Connector::load_for_members)
    }
}
