//! Hostile peers and clients against the running daemon, with honest peers at work beside them.
//!
//! In each test an attack stays within its limit, the daemon answers `show info`, its memory does not grow with the attack,
//! and what one honest peer tells reaches the other one as before. Latencies are compared within a run and their bounds are
//! wide: the machine may be busy. `docs/testing/hostile.md` lists attacks, limits and tests.

mod attack;
mod connections;
mod honest;
mod injection;
mod log;
mod node;
mod runtime;
mod sessions;
mod tables;
