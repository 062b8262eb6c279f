//! Sections and sessions against each other and against scripted peers, in a world without sockets.

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod connecting;
mod hostile;
mod lessons;
mod live;
mod malformed;
mod random;
mod relaying;
mod replay;
mod sharing;
mod stopping;
mod tolerances;
mod versions;
