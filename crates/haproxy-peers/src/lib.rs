//! The peers protocol.
