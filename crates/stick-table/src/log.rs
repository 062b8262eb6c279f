//! The order of a table's changes, and those who read it.

pub(crate) mod cursor;
pub(crate) mod feed;
mod removals;
pub(crate) mod ring;
