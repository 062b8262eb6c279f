//! The model of HAProxy: against itself, against this project's engine, by its quirks, and against captured streams.

mod captures;
mod net;
mod node;
mod pairs;
mod quirks;
mod rules;
mod shape;
mod wire;
