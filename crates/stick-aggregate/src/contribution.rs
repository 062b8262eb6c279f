//! What is told, what became of it, and how it is shown.

use stick_table::{DataType, Origin, Value};

/// How a node told its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Of its own accord, when they changed.
    Live,
    /// As part of a lesson, or repeated after one: of unknown age.
    Lesson,
}

/// What became of the changes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absorbed {
    /// The node had not told the key, or what it told was over.
    pub created: u64,
    /// The node had told the key.
    pub updated: u64,
    /// The key is new and the store is full; or the node tells too many different sets of columns.
    pub refused: u64,
    /// Changes without effect: already over, a repetition of what is not there, or by a process that does not know yet what
    /// it is being taught.
    pub skipped: u64,
}

/// What a [refresh](crate::Aggregate::refresh) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Keys looked at closely.
    pub keys: usize,
    /// Contributions that ended.
    pub ended: usize,
    /// Keys published again.
    pub published: usize,
    /// Whether all keys were gone over since the last call that said so.
    pub is_round: bool,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys that some node told.
    pub keys: u64,
    /// Contributions: one for each key and node, and another one where a former process of the node told the key as well.
    pub contributions: u64,
    /// Bytes of memory for them.
    pub bytes: u64,
    /// Bytes of memory for the results of these keys.
    pub result_bytes: u64,
}

/// What one node told of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The node.
    pub node: Origin,
    /// Remaining lifetime in ms; `None` when the source's entries do not expire.
    pub remaining: Option<u32>,
    /// Time since the node touched the key, in ms, as its remaining lifetime tells.
    pub age: u32,
    /// Whether a process told it that may not be the node's present one.
    pub former: bool,
    /// Data type, element and value of all that the node told, in the order of the source's layout.
    pub values: Vec<(DataType, u32, Value)>,
}
