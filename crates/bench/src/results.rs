//! What the rounds gave, by work, size and subject, and the tables made of it.

use std::collections::BTreeMap;

use crate::learn::{Life, Measured};
use crate::report::{Table, count, spread, times};
use crate::statistics::Series;
use crate::workload::Keys;

/// Above this share of the machine used by something else, a round is marked.
pub(crate) const BUSY: f64 = 0.10;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    LearnNew,
    LearnKnown,
    Teach,
    TeachKnown,
}

impl Task {
    pub(crate) const ALL: [Self; 4] = [Self::LearnNew, Self::LearnKnown, Self::Teach, Self::TeachKnown];

    const fn title(self) -> &'static str {
        match self {
            Self::LearnNew => "Learn new entries: a lesson of timed updates, until its confirmation",
            Self::LearnKnown => {
                "Learn known entries again: live updates in another order, until the last is acknowledged"
            }
            Self::Teach => "Teach what was just learned: from the request to the end of the lesson",
            Self::TeachKnown => "Teach after everything was learned again in another order",
        }
    }
}

/// Where a result belongs: subjects are numbered in the order they are measured, stickd last.
type Place = (Task, Keys, u64, usize);

/// One kind of work by one subject.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// CPU of the subject for an entry, in ns.
    cpu: Series,
    /// Time for all, in s.
    wall: Series,
    /// CPU of the driver for an entry, in ns.
    driver: Series,
    /// Share of the time in which the driver used a processor.
    driver_share: Series,
    busy: usize,
    rounds: usize,
}

/// Results of all lives.
#[derive(Debug, Default)]
pub(crate) struct Results {
    cells: BTreeMap<Place, Cell>,
    memory: BTreeMap<(Keys, u64, usize), Series>,
    /// Percent of a processor used with nothing to do, after learning.
    idle: BTreeMap<(Keys, u64, usize), Series>,
    /// Bytes of a new entry on the wire.
    sizes: BTreeMap<Keys, f64>,
    labels: Vec<String>,
}

impl Results {
    /// For these subjects; the last one is stickd.
    pub(crate) fn new(labels: Vec<String>) -> Self {
        Self { labels, ..Self::default() }
    }

    /// Notes how many bytes a new entry takes on the wire.
    pub(crate) fn note_size(&mut self, keys: Keys, bytes: f64) {
        self.sizes.insert(keys, bytes);
    }

    /// Adds a round.
    pub(crate) fn add(&mut self, subject: usize, keys: Keys, entries: u64, life: &Life) {
        let parts = [
            (Task::LearnNew, life.learn),
            (Task::LearnKnown, life.learn_again),
            (Task::Teach, life.teach),
            (Task::TeachKnown, life.teach_again),
        ];
        for (task, measured) in parts {
            self.cells.entry((task, keys, entries, subject)).or_default().add(entries, measured);
        }
        let memory = self.memory.entry((keys, entries, subject)).or_default();
        memory.push(life.memory as f64 / entries as f64);
        self.idle.entry((keys, entries, subject)).or_default().push(100.0 * life.teach.idle);
    }

    fn stickd(&self) -> usize {
        self.labels.len() - 1
    }

    /// Median CPU for an entry in ns.
    fn cpu(&self, place: Place) -> Option<f64> {
        self.cells.get(&place)?.cpu.median()
    }

    /// The HAProxy that uses the least CPU, and stickd: names and ns for an entry.
    pub(crate) fn fastest(&self, task: Task, keys: Keys, entries: u64) -> Option<((&str, f64), f64)> {
        let haproxys = (0..self.stickd())
            .filter_map(|subject| Some((subject, self.cpu((task, keys, entries, subject))?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        let stickd = self.cpu((task, keys, entries, self.stickd()))?;
        Some(((&self.labels[haproxys.0], haproxys.1), stickd))
    }

    /// The HAProxy with the least memory for an entry, and stickd, in bytes.
    pub(crate) fn smallest(&self, keys: Keys, entries: u64) -> Option<((&str, f64), f64)> {
        let median = |subject: usize| self.memory.get(&(keys, entries, subject))?.median();
        let haproxys = (0..self.stickd())
            .filter_map(|subject| Some((subject, median(subject)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(((&self.labels[haproxys.0], haproxys.1), median(self.stickd())?))
    }

    /// All tables.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = Task::ALL.into_iter().map(|task| self.work(task)).collect();
        tables.extend([self.memory(), self.growth()]);
        tables.retain(|table| !table.rows.is_empty());
        tables
    }

    fn work(&self, task: Task) -> Table {
        let header = [
            "keys",
            "entries",
            "subject",
            "CPU ns/entry",
            "HAProxy ÷ stickd",
            "time s",
            "M entries/s",
            "driver ns/entry",
            "driver's share of the time",
            "rounds",
        ];
        let mut table = Table::new(task.title(), &header);
        let mut marked = false;
        for (&place, cell) in self.cells.iter().filter(|(place, _)| place.0 == task) {
            let (_, keys, entries, subject) = place;
            let ratio = self.cpu((task, keys, entries, self.stickd())).zip(cell.cpu.median());
            let ratio = ratio.filter(|_| subject != self.stickd()).map(|(stickd, haproxy)| haproxy / stickd);
            let rate = cell.wall.median().map_or(0.0, |wall| entries as f64 / wall / 1e6);
            marked |= cell.busy > 0;
            let mark = if cell.busy > 0 { format!(", {} busy", cell.busy) } else { String::new() };
            table.row([
                keys.label().to_owned(),
                count(entries),
                self.labels[subject].clone(),
                spread(&cell.cpu, 0),
                ratio.map_or_else(|| "–".to_owned(), times),
                spread(&cell.wall, 3),
                format!("{rate:.2}"),
                spread(&cell.driver, 0),
                format!("{:.0} %", 100.0 * cell.driver_share.median().unwrap_or(0.0)),
                format!("{}{mark}", cell.rounds),
            ]);
        }
        if task == Task::LearnNew {
            for (keys, bytes) in &self.sizes {
                table.note(format!("{}: {bytes:.1} bytes an entry on the wire.", keys.label()));
            }
        }
        if marked {
            table.note(format!(
                "busy: something else used over {:.0} % of the machine during that round.",
                100.0 * BUSY
            ));
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = Table::new(
            "Memory: growth of resident memory by learning, divided by the entries",
            &[
                "keys",
                "entries",
                "subject",
                "bytes/entry",
                "stickd ÷ HAProxy",
                "idle afterwards, % of a core",
            ],
        );
        for (&(keys, entries, subject), series) in &self.memory {
            let stickd = self.memory.get(&(keys, entries, self.stickd())).and_then(Series::median);
            let share = stickd.zip(series.median()).filter(|_| subject != self.stickd());
            table.row([
                keys.label().to_owned(),
                count(entries),
                self.labels[subject].clone(),
                spread(series, 1),
                share.map_or_else(|| "–".to_owned(), |(stickd, haproxy)| format!("{:.2}", stickd / haproxy)),
                self.idle.get(&(keys, entries, subject)).map_or_else(String::new, |idle| spread(idle, 1)),
            ]);
        }
        table
    }

    /// CPU by size, one line a subject.
    fn growth(&self) -> Table {
        let mut sizes: Vec<u64> =
            self.cells.keys().filter(|place| place.1 == Keys::Ip).map(|place| place.2).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let labels: Vec<String> = sizes.iter().map(|&size| count(size)).collect();
        let header: Vec<&str> =
            ["work", "subject"].into_iter().chain(labels.iter().map(String::as_str)).collect();
        let mut table = Table::new("Growth: CPU ns/entry by the number of entries (ip, 4 types)", &header);
        if sizes.len() < 2 {
            return table;
        }
        let works =
            [(Task::LearnNew, "learn new"), (Task::LearnKnown, "learn known"), (Task::Teach, "teach")];
        for ((task, work), (subject, label)) in
            works.into_iter().flat_map(|work| self.labels.iter().enumerate().map(move |label| (work, label)))
        {
            let values = sizes.iter().map(|&size| self.cpu((task, Keys::Ip, size, subject)));
            let values = values.map(|value| value.map_or_else(|| "–".to_owned(), |ns| format!("{ns:.0}")));
            table.row([work.to_owned(), label.clone()].into_iter().chain(values));
        }
        table
    }
}

impl Cell {
    fn add(&mut self, entries: u64, measured: Measured) {
        let ns = |time: std::time::Duration| time.as_nanos() as f64 / entries as f64;
        self.cpu.push(ns(measured.cpu));
        self.wall.push(measured.wall.as_secs_f64());
        self.driver.push(ns(measured.driver));
        self.driver_share.push(measured.driver.as_secs_f64() / measured.wall.as_secs_f64());
        self.busy += usize::from(measured.foreign > BUSY);
        self.rounds += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn life(ns: u64) -> Life {
        let measured = Measured {
            wall: Duration::from_micros(ns),
            cpu: Duration::from_micros(ns),
            driver: Duration::from_micros(ns / 10),
            foreign: 0.2,
            idle: 0.05,
        };
        let (learn, teach, learn_again, teach_again) = (measured, measured, measured, measured);
        Life { learn, memory: ns * 1_000, teach, learn_again, teach_again }
    }

    fn results() -> Results {
        let mut results = Results::new(["old", "new", "stickd"].map(str::to_owned).to_vec());
        for (subject, costs) in [(0, [1_000, 1_200, 1_100]), (1, [1_500, 900, 1_600]), (2, [100, 110, 120])] {
            for cost in costs {
                results.add(subject, Keys::Ip, 1_000, &life(cost));
            }
        }
        results
    }

    #[test]
    fn the_fastest_haproxy_by_median_is_compared() {
        let results = results();
        assert_eq!(results.fastest(Task::Teach, Keys::Ip, 1_000), Some((("old", 1_100.0), 110.0)));
        assert_eq!(results.smallest(Keys::Ip, 1_000), Some((("old", 1_100.0), 110.0)));
        assert_eq!(results.fastest(Task::Teach, Keys::String, 1_000), None);
    }

    #[test]
    fn tables_tell_ratios_and_busy_rounds() {
        let tables = results().tables();
        assert_eq!(tables.len(), 5, "one size makes no curve");
        let learn = tables[0].plain();
        assert!(learn.contains("1100 (1000–1200)") && learn.contains("10.0 ×"), "{learn}");
        assert!(learn.contains("3, 3 busy") && learn.contains("something else"), "{learn}");
        assert!(tables[4].plain().contains("0.10"), "{}", tables[4].plain());
    }
}
