//! Sections and sessions against each other and against scripted peers, in a world without sockets.

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod beside;
mod connecting;
mod copies;
mod hostile;
mod hub;
mod hub_definitions;
mod hub_room;
mod lessons;
mod levels;
mod live;
mod malformed;
mod many;
mod members;
mod newest;
mod orders;
mod passing_nodes;
mod processes;
mod random;
mod relaying;
mod replay;
mod sharing;
mod stopping;
mod tolerances;
mod versions;
