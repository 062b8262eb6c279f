//! What the simulated world asks of a process that takes part.

use stick_table::Millis;

/// A connection, by a number that the world gives; each end has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub u64);

/// What a process wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Connect to the process of this peer name; the answer is [`Process::connected`] or [`Process::closed`] with the same
    /// number.
    Connect {
        /// The new connection, by a number of the process with the highest bit set, so that it is none of the world's.
        link: Link,
        /// The peer to reach.
        peer: String,
    },
    /// Close a connection at once; what was handed over before is still sent.
    Close(Link),
}

/// A change that somebody makes at a process, as a request at a proxy would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Place of the table among those that all processes know.
    pub table: usize,
    /// The key.
    pub key: u32,
    /// The new value of `gpc0`.
    pub gpc0: u32,
    /// Events to count in `http_req_rate`.
    pub requests: u32,
}

/// What a process holds for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Value of `gpc0`.
    pub gpc0: u32,
    /// Events in the last period by `http_req_rate`, read at the moment of asking.
    pub rate: u32,
    /// Time until the entry is over, in ms; `None` when the table's entries do not expire.
    pub remaining_ms: Option<u32>,
}

/// One process without I/O, clock or randomness of its own.
///
/// `now` is the process's own clock: it may run at another speed than the world's, and jump. After each call the world takes
/// all of [`want`](Self::want), asks [`transmit`](Self::transmit) of each open connection, and calls
/// [`handle_timeout`](Self::handle_timeout) again at [`timeout`](Self::timeout).
pub trait Process {
    /// The next thing to do.
    fn want(&mut self) -> Option<Want>;
    /// When to look at the clock next.
    fn timeout(&self) -> Option<Millis>;
    /// Looks at the clock.
    fn handle_timeout(&mut self, now: Millis);
    /// A connection that was wanted is there.
    fn connected(&mut self, now: Millis, link: Link);
    /// Somebody connected; the world chose the number.
    fn accepted(&mut self, now: Millis, link: Link);
    /// Bytes arrived.
    fn receive(&mut self, now: Millis, link: Link, bytes: &[u8]);
    /// Appends at most `room` bytes to send.
    fn transmit(&mut self, now: Millis, link: Link, room: usize, out: &mut Vec<u8>);
    /// The other end closed, the connection was cut, or the attempt failed.
    fn closed(&mut self, now: Millis, link: Link);
    /// Changes an entry; `false` when its table is full.
    fn write(&mut self, now: Millis, write: Write) -> bool;
    /// What is held for a key; `None` when there is no entry, or it is over.
    fn read(&self, now: Millis, table: usize, key: u32) -> Option<Reading>;
    /// The place of a table by its name on the wire.
    fn place_of(&self, _name: &str) -> Option<usize> {
        None
    }
    /// Whether a hub calls its sums complete; `None` for others.
    fn is_complete(&self) -> Option<bool> {
        None
    }
    /// What a hub says that its sums lack, in words.
    fn missing(&self) -> String {
        String::new()
    }
    /// All keys of a table that are not over.
    fn keys(&self, now: Millis, table: usize) -> Vec<u32>;
    /// Bytes held for connections (buffers, not tables), against [`memory_bound`](Self::memory_bound).
    fn memory(&self) -> usize;
    /// Most bytes that [`memory`](Self::memory) may be now: each part may have a bound of its own.
    fn memory_bound(&self) -> usize;

    /// The process before this one is alive, and will teach.
    fn predecessor_is_there(&mut self, _now: Millis) {}
    /// Somebody who is not the process before this one connects, says this node's own name and teaches an entry.
    fn visit_by_stranger(&mut self, _now: Millis, _write: Write) {}
    /// Begins a soft stop: the process does not listen any more, and teaches the one that took its name over. A process
    /// that cannot is gone at once.
    fn stop(&mut self, _now: Millis) {}
    /// There is nobody else at this process's own name.
    fn no_successor(&mut self, _now: Millis) {}
    /// Whether a process that was told to stop may end.
    fn has_stopped(&self) -> bool {
        true
    }
    /// Whether it pushes live updates that waited as if they were new, so that lifetimes start again.
    fn restarts_lifetimes(&self) -> bool {
        false
    }
    /// Whether it ever refused what it was told, as it had no room.
    fn has_refused(&self) -> bool {
        false
    }
    /// Whether it says of its sums that nothing is left out.
    fn is_whole(&self) -> bool {
        true
    }
    /// Whether a lifetime that a message tells counts up to the table's own at most.
    fn clamps_lifetimes(&self) -> bool {
        true
    }
}
