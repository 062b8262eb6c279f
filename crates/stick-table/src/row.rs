//! What one entry takes in memory: the words of its row, the blocks that rows lie in, and what does not fit into them.

pub(crate) mod chunks;
pub(crate) mod dictionary;
pub(crate) mod layout;
pub(crate) mod long_keys;
pub(crate) mod pages;
pub(crate) mod sought_key;
pub(crate) mod stamp;
