//! What `show state` says beyond numbers: what was read at the start, what could not be, and why writing fails.

use stick_store::{Damage, Loaded, SetAside};

use crate::view::StateReport;

/// Most parts that are remembered.
const MAX_PARTS: usize = 100;

impl StateReport {
    /// Adds what was read.
    pub(crate) fn read(&mut self, loaded: &Loaded) {
        self.entries += loaded.entries;
        self.expired += loaded.expired;
        self.refused += loaded.refused;
        let files = loaded.set_aside.iter().map(|SetAside { file, name, reason }| {
            format!("{}: not read: {reason}", name.as_ref().unwrap_or(file))
        });
        let damage = loaded.damage.iter().filter(|damage| !damage.is_tail);
        let parts = damage.map(|Damage { file, offset, bytes, block, .. }| {
            let of = block
                .as_ref()
                .map_or_else(String::new, |(table, rows)| format!(", {rows} entries or keys of {table}"));
            format!("{file}: {bytes} bytes at offset {offset}{of}")
        });
        let tables =
            loaded.left_out.iter().map(|left_out| format!("{}: {}", left_out.table, left_out.reason));
        for part in files.chain(parts).chain(tables) {
            if self.unreadable.len() < MAX_PARTS {
                self.unreadable.push(part);
            } else {
                self.more_unreadable += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_tails_are_none() {
        let part = |offset, is_tail| Damage {
            file: "1.log".to_owned(),
            offset,
            bytes: 64,
            block: Some(("t".to_owned(), 3)),
            is_tail,
        };
        let damage = (0..105).map(|offset| part(offset, false)).chain([part(999, true)]).collect();
        let mut loaded = Loaded::default();
        (loaded.entries, loaded.damage) = (5, damage);
        let mut report = StateReport::default();
        report.read(&loaded);
        assert_eq!((report.entries, report.unreadable.len(), report.more_unreadable), (5, 100, 5));
        assert_eq!(report.unreadable[1], "1.log: 64 bytes at offset 1, 3 entries or keys of t");
    }
}
