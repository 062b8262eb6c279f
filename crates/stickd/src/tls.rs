//! placeholder
#![expect(missing_docs, reason = "placeholder")]
use crate::config::{BindTls, ServerTls};
pub struct Acceptor;
pub struct Connector;
#[derive(Debug, thiserror::Error)]
#[error("tls")]
pub struct TlsError;
impl Acceptor {
    pub fn load(_: &BindTls) -> Result<Self, TlsError> {
        Err(TlsError)
    }
    pub async fn accept<S>(&self, s: S) -> Result<S, std::io::Error> {
        Ok(s)
    }
}
impl Connector {
    pub fn load(_: &ServerTls) -> Result<Self, TlsError> {
        Err(TlsError)
    }
    pub async fn connect<S>(&self, s: S, _: &str) -> Result<S, std::io::Error> {
        Ok(s)
    }
}
