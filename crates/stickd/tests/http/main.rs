//! HTTP against the running daemon: who gets in, what is answered, what is changed, and what hostile clients cannot do.

mod access;
mod bans;
mod client;
mod dataplane;
mod entries;
mod events;
mod hostile;
mod metrics;
mod node;
mod takeover;
