//! What a process is made from.

use haproxy_peers::WireKeyType;

use super::Quirks;

/// The configuration of a process, as its `peers` section and command line would tell it.
#[derive(Clone, Debug)]
pub struct HaproxyConfig {
    /// The local peer's name.
    pub name: String,
    /// Names of the remote peers.
    pub peers: Vec<String>,
    /// The tables, in the order of their ids on the wire.
    pub tables: Vec<HaproxyTable>,
    /// What this release does.
    pub quirks: Quirks,
    /// Whether it is started with old process ids (`-sf`), so that a predecessor may teach it.
    pub has_predecessor: bool,
    /// Whether it confirms lessons: no release fails to, but a peer may.
    pub confirms: bool,
    /// The process id, which hellos name.
    pub pid: u32,
    /// Seed of the random pauses.
    pub seed: u64,
}

/// A table with keys of 4 bytes, `gpc0` and `http_req_rate`.
#[derive(Clone, Debug)]
pub struct HaproxyTable {
    /// Network name (peers-protocol §7.5).
    pub name: String,
    /// What the keys are: integers, or IPv4 addresses.
    pub key_type: WireKeyType,
    /// Most entries.
    pub size: usize,
    /// Lifetime of entries in ms, 1 to 2^31 − 1; `None` when they do not expire.
    pub expire_ms: Option<u32>,
    /// Period of `http_req_rate` in ms, at least 1.
    pub rate_period_ms: u32,
    /// Where the update counter starts: 0, except for tests of what happens when ids wrap.
    pub first_update: u32,
    /// What all peers have acknowledged by then; the same, unless the peers are to be far behind.
    pub first_acked: u32,
    /// Ids on the wire are those of the update counter times this odd number: 1, except for tests of what happens when they
    /// go round. Half the ring stays half the ring.
    pub id_stride: u32,
}

impl HaproxyTable {
    /// A table of 10,000 entries that live for a minute, with rates over ten seconds.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            key_type: WireKeyType::INTEGER,
            size: 10_000,
            expire_ms: Some(60_000),
            rate_period_ms: 10_000,
            first_update: 0,
            first_acked: 0,
            id_stride: 1,
        }
    }

    /// What an id of the update counter is on the wire.
    pub(super) fn to_wire(&self, id: u32) -> u32 {
        self.first_update.wrapping_add(id.wrapping_sub(self.first_update).wrapping_mul(self.id_stride))
    }

    /// The id of the update counter that is this one on the wire.
    pub(super) fn by_wire(&self, id: u32) -> u32 {
        // By Newton's method: each step doubles the bits that are right, of which an odd number has three at first.
        let inverse = (0..4).fold(self.id_stride, |inverse, _| {
            inverse.wrapping_mul(2_u32.wrapping_sub(self.id_stride.wrapping_mul(inverse)))
        });
        self.first_update.wrapping_add(id.wrapping_sub(self.first_update).wrapping_mul(inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_on_the_wire_come_back_as_they_were() {
        for id_stride in [1, 3, (1 << 24) | 1, 0x9e37_79b9, u32::MAX] {
            let table = HaproxyTable { id_stride, first_update: u32::MAX - 5, ..HaproxyTable::new("t") };
            for id in [0, 1, 77, 1 << 31, u32::MAX - 5, u32::MAX] {
                assert_eq!(table.by_wire(table.to_wire(id)), id);
                assert_eq!(table.to_wire(id.wrapping_add(1 << 31)), table.to_wire(id).wrapping_add(1 << 31));
            }
        }
    }
}
