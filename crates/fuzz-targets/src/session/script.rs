//! What happens in the life of a session.

use arbitrary::Arbitrary;
use haproxy_peers::Role;
use stick_table::KeyType;

/// What a session is made with.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Options {
    role: u8,
    pub(super) is_v2_0: bool,
    pub(super) relay: bool,
    pub(super) other_relay: bool,
    pub(super) up_to_date: bool,
    pub(super) dynamic: bool,
    pub(super) shards: bool,
    pub(super) shard: u8,
    pub(super) small_buffer: bool,
    pub(super) updates: u8,
}

impl Options {
    pub(super) fn role(&self) -> Role {
        match self.role % 4 {
            0 | 1 => Role::Remote,
            2 => Role::Predecessor,
            _ => Role::Successor,
        }
    }
}

/// One thing that happens.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Step {
    /// The peer says these next bytes of the input.
    Raw(u16),
    /// The peer says something well formed.
    Say(Said),
    /// So many bytes of what the peer said arrive.
    Give(u16),
    /// The clock moves, in ms.
    Wait(u32),
    /// The clock moves to where the session wants to be called.
    WaitForTimeout,
    /// Entries change here, or because of another peer.
    Change { table: u8, key: u8, count: u8, value: u32, origin: u8 },
    /// An entry is removed.
    Remove { table: u8, key: u8 },
    /// Entries that are over are freed.
    Sweep,
    /// Output is asked for once, with room for so many bytes.
    Poll(u16),
    /// Output is asked for until there is no more.
    PollAll(u16),
    /// The section asks for a lesson.
    RequestLesson,
    /// Events are taken.
    TakeEvents,
    /// The session is looked at.
    Look,
    /// The peer connects anew.
    Reconnect,
}

/// Something well formed that a peer says.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Said {
    /// Defines this side's table as this side does, under an id of the peer's.
    Define { table: u8, id: u8, variant: u8 },
    /// Selects a table.
    Switch { id: u8 },
    /// An update of the table that was defined last.
    Update { key: u8, id: Option<u32>, lifetime: Option<u32>, value: u64, width: u8 },
    /// Acknowledges the last update it got of a table, or one before it.
    Ack { table: u8, before: u8 },
    /// Acknowledges anything.
    WrongAck { table: u8, id: u32 },
    /// A control message.
    Control(u8),
    /// An error message.
    Error(u8),
}

/// A key by its number; every fourth string is as long as may be.
pub(super) fn key(key_type: KeyType, number: u8) -> Vec<u8> {
    match key_type {
        KeyType::String { max_len } if number % 4 == 3 => {
            vec![b'a' + number % 26; max_len as usize]
        }
        KeyType::String { max_len } => {
            let mut key = number.to_string().into_bytes();
            key.truncate(max_len as usize);
            key
        }
        other => {
            let mut key = vec![0; other.max_bytes()];
            if let Some(last) = key.last_mut() {
                *last = number;
            }
            key
        }
    }
}
