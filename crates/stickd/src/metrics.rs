//! Every counter and limit, declared once: its name in `show info`, its text, its kind and unit, and how to read it from the
//! [`view`](crate::view).
//!
//! `show info` prints [`process`], in the order of the places. Other outputs have [`TABLE`], [`PEER`], [`HUB`] and [`SUM`] too,
//! one value for each object. To count something new, declare it in `metrics/counter.rs` and count it where it happens; to show
//! something that is there already, declare a gauge or a limit in `metrics/process.rs`.

pub mod counter;
mod objects;
mod process;

use counter::{Counter, Counts};

pub use objects::{HUB, PEER, SUM, TABLE};
pub use process::process;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, and begins again with the process.
    Counter,
    /// It rises and falls.
    Gauge,
    /// What the configuration allows; it stays as it is.
    Limit,
    /// A time.
    Duration,
}

/// In what a value is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, such as connections or entries.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// 1 for yes, 0 for no.
    Flag,
}

/// A row that HAProxy has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Haproxy {
    /// Its tags in `show info typed`: a letter each for origin, nature and scope.
    pub tags: &'static str,
    /// Whether HAProxy prints it as a number of 64 bits instead of 32.
    pub is_wide: bool,
}

/// A value that is shown of a `V`, which is a part of the view.
#[derive(Debug)]
pub struct Metric<V: 'static> {
    /// Its place in `show info`: HAProxy's below 1000, ours from there on, in the order of their invention. 0 for what is not there.
    pub place: u16,
    /// Its name, of the process as in `show info`.
    pub name: &'static str,
    /// What it is, as a phrase.
    pub help: &'static str,
    /// What kind of value it is.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Set when HAProxy's `show info` has it too.
    pub haproxy: Option<Haproxy>,
    /// Its name in HAProxy's exporter for Prometheus, if it is there.
    pub haproxy_exporter: Option<&'static str>,
    read: Read<V>,
}

/// How a value is read.
#[derive(Debug)]
enum Read<V> {
    Always(fn(&V) -> u64),
    /// Of something that is not everywhere.
    IfAny(fn(&V) -> Option<u64>),
    Count(Counter, fn(&V) -> &Counts),
}

impl<V> Metric<V> {
    /// The value; `None` when there is nothing that has it.
    pub fn read(&self, view: &V) -> Option<u64> {
        match &self.read {
            Read::Always(read) => Some(read(view)),
            Read::IfAny(read) => read(view),
            Read::Count(counter, counts) => Some(counts(view).get(*counter)),
        }
    }

    const fn new(kind: Kind, name: &'static str, help: &'static str, read: Read<V>) -> Self {
        Self { place: 0, name, help, kind, unit: Unit::Count, haproxy: None, haproxy_exporter: None, read }
    }

    const fn counter(name: &'static str, help: &'static str, read: fn(&V) -> u64) -> Self {
        Self::new(Kind::Counter, name, help, Read::Always(read))
    }

    const fn gauge(name: &'static str, help: &'static str, read: fn(&V) -> u64) -> Self {
        Self::new(Kind::Gauge, name, help, Read::Always(read))
    }

    const fn limit(name: &'static str, help: &'static str, read: fn(&V) -> u64) -> Self {
        Self::new(Kind::Limit, name, help, Read::Always(read))
    }

    /// The same of something that is not everywhere.
    const fn if_any(kind: Kind, name: &'static str, help: &'static str, read: fn(&V) -> Option<u64>) -> Self {
        Self::new(kind, name, help, Read::IfAny(read))
    }

    const fn at(mut self, place: u16) -> Self {
        self.place = place;
        self
    }

    const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    const fn haproxy(mut self, haproxy: Haproxy) -> Self {
        self.haproxy = Some(haproxy);
        self
    }

    const fn exported_as(mut self, name: &'static str) -> Self {
        self.haproxy_exporter = Some(name);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::view::{HubView, PeerView, ProcessView, SumView, TableView};

    #[test]
    fn each_counter_is_one_row() {
        for (number, &counter) in Counter::ALL.iter().enumerate() {
            let mut view = ProcessView::default();
            view.counts.add(counter, 7 + number as u64);
            let moved: Vec<_> = process().iter().filter(|row| row.read(&view).unwrap_or(0) > 0).collect();
            let [row] = moved[..] else { panic!("{counter:?} is shown by {} rows", moved.len()) };
            assert_eq!(row.read(&view), Some(7 + number as u64));
            assert_eq!((row.name, row.kind), (counter.declared().name, Kind::Counter));
        }
    }

    #[test]
    fn names_and_places_are_unique_and_texts_say_something() {
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        let mut look = |name: &'static str, help: &'static str, place: u16| {
            assert!(names.insert(name.to_lowercase()), "{name}");
            assert!(place == 0 || places.insert(place), "{name} is at a place that is taken");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
        };
        process().iter().for_each(|row| look(row.name, row.help, row.place));
        TABLE.iter().for_each(|row| look(row.name, row.help, row.place));
        PEER.iter().for_each(|row| look(row.name, row.help, row.place));
        HUB.iter().for_each(|row| look(row.name, row.help, row.place));
        SUM.iter().for_each(|row| look(row.name, row.help, row.place));
    }

    #[test]
    fn objects_are_read_from_their_view() {
        let table = TableView { size: 9, entries: 3, ..TableView::default() };
        let read = |name: &str| TABLE.iter().find(|row| row.name == name).and_then(|row| row.read(&table));
        assert_eq!((read("table_size"), read("table_entries")), (Some(9), Some(3)));
        let read = |name: &str, peer: &PeerView| {
            PEER.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}")).read(peer)
        };
        let peer = PeerView { silences: 4, ..PeerView::default() };
        assert_eq!((read("peer_silences", &peer), read("peer_connected", &peer)), (Some(4), Some(0)));
        assert_eq!(read("peer_session_bytes_sent", &peer), None, "there is no session");
        let hub = HubView { expected: 5, ..HubView::default() };
        assert!(HUB.iter().any(|row| row.name == "hub_nodes_expected" && row.read(&hub) == Some(5)));
        let sum = SumView { contributions: 6, ..SumView::default() };
        assert!(SUM.iter().any(|row| row.name == "sum_contributions" && row.read(&sum) == Some(6)));
    }
}
