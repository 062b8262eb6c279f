//! Two processes that speak 2.1 do not stay at 2.0.

use haproxy_peers::ProtocolVersion;

use crate::stage::{Invariant, Seen, Slot, Stage};

pub(super) struct Downgrade;

/// Whether a process is a stickd that speaks 2.1. A HAProxy stays at 2.0 (peers-protocol §2.4).
fn speaks_2_1(slot: &Slot) -> bool {
    !slot.old && !slot.haproxy
}

impl Invariant for Downgrade {
    fn name(&self) -> &'static str {
        "downgrade"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        if !matches!(seen, Seen::VersionsCompared) {
            return;
        }
        for connection in &stage.connections {
            let ends = connection.ends;
            let new = ends.iter().all(|end| end.open && speaks_2_1(&stage.slots[end.slot]));
            if new && connection.established && connection.version == Some(ProtocolVersion::V2_0) {
                let [one, other] = ends.map(|end| stage.name(end.slot));
                say(format!("{one} and {other} both speak 2.1, and are at 2.0 ({})", connection.id));
            }
        }
    }
}
