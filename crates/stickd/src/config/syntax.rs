//! HAProxy's syntax, and nothing of stickd's own.

pub mod words;
